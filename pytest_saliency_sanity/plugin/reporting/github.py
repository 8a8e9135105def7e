"""GitHub Actions: the verdicts in the job's summary, and annotations of those that fail.

GitHub drops a summary above 1,024 KiB whole, and shows ten annotations of a kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pytest_saliency_sanity.report import markdown
from pytest_saliency_sanity.report.document import Entry, Report
from pytest_saliency_sanity.report.table import sorted_by_outcome

_SUMMARY = "GITHUB_STEP_SUMMARY"
_MOST = 1_000_000  # bytes of a summary, in all
_ANNOTATIONS = 10
_KINDS = {"error": "error", "fail": "error", "inconclusive": "warning"}


def summarize(report: Report) -> str:
    """Append the verdicts to the job's summary, if there is one and it has room; what is to be said of a failure."""
    path = os.environ.get(_SUMMARY)
    if not path or not (report.entries or report.lost or report.changes):
        return ""
    try:
        present = Path(path).stat().st_size if Path(path).exists() else 0
        if present < _MOST - 10_000:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(f"\n{markdown.written(report, _MOST - present)}")
    except Exception as error:  # of any kind: a report never changes the tests' outcome
        return f"could not write {path}: {getattr(error, 'strerror', None) or error}"
    return ""


def workflow_commands(report: Report) -> list[str]:
    """Workflow commands, at most ten of a kind; empty outside of GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    entries = sorted_by_outcome(report.entries)
    return [line for kind in ("error", "warning") for line in _of_kind(kind, entries)]


def _of_kind(kind: str, entries: list[Entry]) -> Iterator[str]:
    found = [entry for entry in entries if _KINDS.get(entry.counted) == kind]
    for entry in found[:_ANNOTATIONS]:
        path = entry.nodeid.partition("::")[0]
        title = f"{entry.verdict.check} of {entry.verdict.explainer}"
        place = f"file={_property(path)}," if path.endswith(".py") else ""
        yield f"::{kind} {place}title={_property(title)}::{_data(entry.verdict.summary)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
