"""The words, symbols and colors of what a verdict counts as; failures come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Stage

LABELS = {
    "pass": "passed",
    "fail": "failed",
    "xfail": "failed as expected",
    "inconclusive": "inconclusive",
    "refused": "refused",
    "error": "errors",
    "observed": "observed",
    "lost": "lost",
}
SYMBOLS = {
    "pass": "✓",
    "fail": "✗",
    "xfail": "x",
    "inconclusive": "?",
    "refused": "–",
    "error": "!",
    "observed": "o",
    "skipped": "·",
    "lost": "!",
}
ORDER = ("lost", "error", "fail", "inconclusive", "xfail", "refused", "observed", "pass")
BOUNDS = "one-sided bounds, 99 % on the side where a check fails, 95 % on the side where it passes"
INTERVALS = f"interval: {BOUNDS}"
_LOW, _HIGH = "99 % … 95 %", "95 % … 99 %"  # where less, or more, is better
_ONLY_IF_ANY = ("xfail", "refused", "observed", "lost")


def closing_line(counts: Counter[str]) -> str:
    """E.g. "saliency sanity: 5 passed, 1 failed, 2 inconclusive, 0 errors"."""
    shown = [name for name in LABELS if counts[name] or name not in _ONLY_IF_ANY]
    return "saliency sanity: " + ", ".join(f"{counts[name]} {label(name, counts[name])}" for name in shown)


def label(name: str, count: int) -> str:
    """The word behind a count: "failed"; "error" or "errors"."""
    return "error" if name == "error" and count == 1 else LABELS[name]


def interval_heading(stages: Iterable[Stage]) -> str:
    """The heading of intervals, with the levels of their bounds, lower … upper, where there are any."""
    shown = levels(stages)
    return f"interval ({shown})" if shown else "interval"


def levels(stages: Iterable[Stage]) -> str:
    """The levels of their bounds, lower … upper; several stages and looks are corrected for; "" for exact numbers."""
    inferred = [stage for stage in stages if not stage.alpha_fail == stage.alpha_pass == 0]
    found = {_HIGH if stage.more_is_better else _LOW for stage in inferred}
    if not found:
        return ""
    return found.pop() if len(found) == 1 else "95 or 99 %"
