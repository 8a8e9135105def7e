"""A test's properties, which JUnit's XML prints: each verdict whole, and what a dashboard shows of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

Properties = list[tuple[str, Any]]
_WHOLE = "saliency_verdict"
_SHOWN = (
    "check", "explainer", "model", "number", "outcome", "reason", "observed", "statistic", "interval", "threshold",
    "seed", "caveats",
)  # fmt: skip
_IF_ANY = {"picture"}
_PARTS = ("outcome", "statistic", "interval", "threshold")
_OURS = re.compile(rf"{_WHOLE}|saliency\..*\.({'|'.join(_PARTS)})", re.DOTALL)


def replaced(properties: Properties, verdicts: Iterable[dict[str, Any]]) -> Properties:
    """The properties with those of these verdicts, and of no others.

    Args:
        properties: of the test.
        verdicts: `Verdict.to_json()`, with `number` and `observed`, and the path of its `picture`, if any.
    """
    found = list(verdicts)
    shown = [{name: one[name] for name in (*_SHOWN, *(_IF_ANY & one.keys()))} for one in found]
    whole = [(_WHOLE, json.dumps(one, allow_nan=False)) for one in shown]
    return [*without_verdicts(properties), *whole, *(part for one in found for part in _parts(one))]


def without_verdicts(properties: Properties) -> Properties:
    """The properties but for those of verdicts."""
    return [one for one in properties if not _OURS.fullmatch(str(one[0]))]


def _parts(verdict: dict[str, Any]) -> Properties:
    """saliency.CHECK.EXPLAINER.outcome and so on; what was not measured is left out."""
    number = f"#{verdict['number'] + 1}" if verdict["number"] else ""
    name = f"saliency.{verdict['check']}.{verdict['explainer']}{number}"
    texts = {**verdict, "interval": _ends(verdict["interval"])}
    return [(f"{name}.{part}", str(texts[part])) for part in _PARTS if texts[part] is not None]


def _ends(interval: list[float | None] | None) -> str | None:
    if interval is None:
        return None
    return " … ".join("" if end is None else repr(end) for end in interval)
