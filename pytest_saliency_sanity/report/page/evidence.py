"""The evidence of a verdict as JSON that a page has room for: long lists are shortened, numbers rounded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_saliency_sanity.builtin import as_builtin

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict

MOST = 4000  # characters
_ITEMS, _LETTERS, _DEEPEST = 8, 300, 12
_LEFT_OUT = "… (--saliency-json has all of it)"


def text(verdict: Verdict) -> str:
    """Evidence and provenance of a verdict, and the evidence of its stages, indented."""
    stages = {stage.name: stage.evidence for stage in verdict.stages if stage.evidence}
    found = {"evidence": verdict.evidence, "stages": stages, "provenance": verdict.provenance}
    shown = {name: _short(as_builtin(value)) for name, value in found.items() if value}
    whole = json.dumps(shown, indent=1, ensure_ascii=False)
    if len(whole) <= MOST:
        return whole
    return f"{whole[:MOST].rpartition(chr(10))[0]}\n{_LEFT_OUT}"


def _short(value: Any, depth: int = 0) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, str):
        return value if len(value) <= _LETTERS else f"{value[:_LETTERS]}…"
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(name): _short(one, depth + 1) for name, one in value.items()}
    if isinstance(value, Sequence):
        return _row(value, depth)
    return value


def _row(values: Sequence[Any], depth: int) -> Any:
    """A list; one of plain values as a line of text, where JSON would give each a line."""
    shown = [_short(one, depth + 1) for one in values[:_ITEMS]]
    left = len(values) - len(shown)
    more = [f"… {left} more"] if left else []
    if any(isinstance(one, (Mapping, list)) for one in shown):
        return [*shown, *more]
    return f"[{', '.join([*map(_plain, shown), *more])}]"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
