"""Verdicts as a table of text: failures first, with what each check took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_saliency_sanity.report import metrics, numbers
from pytest_saliency_sanity.report.document import Entry
from pytest_saliency_sanity.report.words import INTERVALS, ORDER, SYMBOLS

MOST = 40  # rows, unless all are asked for; what is left out is counted
_SLOW = 3  # checks that are named as the slowest
_WORTH_NAMING = 1.0  # seconds
HEAD = ("verdict", "check", "explainer", "model", "statistic", "interval", "seconds")


def sorted_by_outcome(entries: Iterable[Entry]) -> list[Entry]:
    """Failures first; of equal outcomes in the order of their keys, so that two runs read the same."""
    return sorted(entries, key=lambda entry: (ORDER.index(entry.counted), entry.key))


def lines(entries: Sequence[Entry], all_of_them: bool = False) -> list[str]:
    """The table, and what took longest; nothing where there are no entries."""
    if not entries:
        return []
    shown = entries if all_of_them else entries[:MOST]
    rows = [HEAD, *(row(entry) for entry in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *table = (f"  {'  '.join(map(str.ljust, cells, widths)).rstrip()}" for cells in rows)
    left = len(entries) - len(shown)
    return [
        head,
        *(line for entry, cells in zip(shown, table, strict=True) for line in (cells, *_beside(entry))),
        *([f"  … and {left} more, -v shows them"] if left else []),
        *([f"  {INTERVALS}"] if any(entry.verdict.interval for entry in shown) else []),
        *_slowest(entries),
    ]


def row(entry: Entry) -> tuple[str, ...]:
    """The cells of one verdict."""
    verdict = entry.verdict
    return (
        f"{SYMBOLS[entry.counted]} {entry.counted}",
        verdict.check,
        verdict.explainer,
        verdict.model,
        *numbers.of_verdict(verdict),
        "" if entry.seconds is None else f"{entry.seconds:.1f}",
    )


def _beside(entry: Entry) -> list[str]:
    """The field's figures of a verdict, below its row."""
    figures = metrics.in_short(entry.verdict)
    return [f"    {metrics.LABEL}: {figures}"] if figures else []


def _slowest(entries: Sequence[Entry]) -> list[str]:
    if len(entries) < 2:
        return []
    timed = [(entry.seconds, entry) for entry in entries if (entry.seconds or 0) >= _WORTH_NAMING]
    longest = sorted(timed, key=lambda one: (-(one[0] or 0), one[1].key))[:_SLOW]
    return (
        [f"  slowest: {', '.join(_named(seconds, entry) for seconds, entry in longest)}"] if longest else []
    )


def _named(seconds: float | None, entry: Entry) -> str:
    return f"{entry.verdict.check} of {entry.verdict.explainer} {seconds:.0f} s"
