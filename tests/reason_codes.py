"""`python -m tests.reason_codes` writes the tables of docs/reference/reason_codes.md from what the package says."""

from __future__ import annotations

import re

from pytest_saliency_sanity.report.reasons import Reason, by_outcome
from tests.manual import ROOT

PAGE = ROOT / "docs" / "reference" / "reason_codes.md"
_HEAD = "| code | meaning | what to do |\n| --- | --- | --- |\n"


def page() -> str:
    """The page as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    for outcome, reasons in by_outcome().items():
        heading = f"## {outcome.capitalize()}\n"
        before, found, rest = text.partition(heading)
        assert found, f"{PAGE} has no {heading}"
        prose, _, below = rest.partition(_HEAD)
        text = (
            f"{before}{heading}{prose}{_HEAD}{''.join(map(_row, reasons))}{re.sub(_ROWS, '', below, count=1)}"
        )
    return text


_ROWS = r"\A(?:\|.*\n)*"


def _row(reason: Reason) -> str:
    return f"| `{reason.code}` | {reason.meaning} | {reason.advice} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
