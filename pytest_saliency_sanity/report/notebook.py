"""A verdict as HTML, for notebooks: the first line, the pictures, the table; everything escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report import metrics, numbers, strip
from pytest_saliency_sanity.report.words import SYMBOLS, interval_heading

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Stage, Verdict

_ASK = "To see the maps, pass <code>pictures=True</code> to the check."


def html(verdict: Verdict) -> str:
    """The verdict as a part of a page."""
    said = [
        ("reason", verdict.reason),
        (metrics.LABEL, metrics.sentence(verdict)),
        ("hint", verdict.hint),
        *(("note", note) for note in verdict.notes),
        ("replay", verdict.replay),
    ]
    lines = "".join(f"<p><b>{label}</b>: {escape(text)}</p>" for label, text in said if text)
    return (
        f"<section class='saliency-verdict'>"
        f"<h4>{SYMBOLS[verdict.outcome]} {verdict.outcome}: {escape(verdict.summary)}</h4>"
        f"{strip.html(verdict.pictures) or f'<p><small>{_ASK}</small></p>'}{table(verdict)}{lines}</section>"
    )


def table(verdict: Verdict) -> str:
    """The stages; "" where nothing was measured."""
    if not verdict.stages:
        return ""
    headings = (*verdict.claim.columns, interval_heading(verdict.stages), "verdict")
    head = "".join(f"<th scope='col'>{escape(heading)}</th>" for heading in headings)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, verdict.stages))}</tbody></table>"


def _row(stage: Stage) -> str:
    shown = stage.outcome if stage.judged else "(shown only)"
    cells = (stage.detail, *numbers.of_stage(stage), shown)
    return f"<tr><th scope='row'>{escape(stage.name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
