"""Explainers × checks as a table: in text, and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from pytest_saliency_sanity.report.words import INTERVALS, SYMBOLS

_COLORS = {  # background, in both color schemes; the words are there too
    "pass": "#2e7d3233",
    "fail": "#c6282833",
    "inconclusive": "#f9a82533",
    "error": "#c6282866",
    "refused": "#80808022",
    "skipped": "#80808011",
}


@dataclass(frozen=True)
class Cell:
    """What stands at an explainer and a check.

    Attributes:
        outcome: a key of `SYMBOLS`.
        number: the statistic that decided, as it is shown; "" where nothing was measured.
        interval: its bounds, as they are shown.
        words: the verdict's first line, or why there is none.
    """

    outcome: str
    number: str
    interval: str
    words: str


Cells = Mapping[tuple[str, str], Cell]


def text(explainers: Sequence[str], checks: Sequence[str], cells: Cells) -> str:
    """A line an explainer, a column a check, and below what each cell that is no pass says.

    A cell that is not there is empty: an axiom that the explainer does not claim.
    """
    rows = [
        ["", *(check.replace("_", " ") for check in checks)],
        *([name, *(_short(cells.get((name, check))) for check in checks)] for name in explainers),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    told = [
        f"{cell.outcome.upper():<12} {name}, {check}: {cell.words}"
        for name in explainers
        for check in checks
        if (cell := cells.get((name, check))) is not None and cell.outcome != "pass"
    ]
    return "\n".join([*lines, *([""] if told else []), *told])


def html(explainers: Sequence[str], checks: Sequence[str], cells: Cells) -> str:
    """The same as a table of HTML, colored, with the first line of each verdict as its title."""
    head = "".join(f"<th scope='col'>{escape(check.replace('_', ' '))}</th>" for check in checks)
    body = "".join(
        f"<tr><th scope='row'>{escape(name)}</th>{''.join(_of_html(cells.get((name, check))) for check in checks)}</tr>"
        for name in explainers
    )
    legend = (
        f"<p><small>{escape(INTERVALS)}</small></p>" if any(cell.interval for cell in cells.values()) else ""
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>{legend}"


def _short(cell: Cell | None) -> str:
    return "" if cell is None else f"{SYMBOLS[cell.outcome]} {cell.outcome} {cell.number}".rstrip()


def _of_html(cell: Cell | None) -> str:
    if cell is None:
        return "<td></td>"
    interval = f"<br><small>{cell.interval}</small>" if cell.interval else ""
    return (
        f"<td style='background:{_COLORS[cell.outcome]}' title='{escape(cell.words, quote=True)}'>"
        f"{escape(_short(cell))}{interval}</td>"
    )
