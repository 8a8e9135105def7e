"""The words, symbols and colors of what a verdict counts as; failures come first."""

from __future__ import annotations

from collections import Counter

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
_ONLY_IF_ANY = ("xfail", "refused", "observed", "lost")


def closing_line(counts: Counter[str]) -> str:
    """E.g. "saliency sanity: 5 passed, 1 failed, 2 inconclusive, 0 errors"."""
    shown = [name for name in LABELS if counts[name] or name not in _ONLY_IF_ANY]
    return "saliency sanity: " + ", ".join(f"{counts[name]} {label(name, counts[name])}" for name in shown)


def label(name: str, count: int) -> str:
    """The word behind a count: "failed"; "error" or "errors"."""
    return "error" if name == "error" and count == 1 else LABELS[name]
