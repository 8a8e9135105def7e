"""A stored report, printed: as text, as Markdown, as a page."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from pytest_saliency_sanity.report import table
from pytest_saliency_sanity.report.comparison import Change
from pytest_saliency_sanity.report.document import Report
from pytest_saliency_sanity.report.words import closing_line

FORMATS = ("text", "markdown", "html")
_MODULES = {"html": "page"}


def text_of(report: Report, form: str) -> str:
    """The report in one of `FORMATS`."""
    if form == "text":
        return _text(report)
    module = importlib.import_module(f"pytest_saliency_sanity.report.{_MODULES.get(form, form)}")
    return str(module.written(report))


def changes(found: Iterable[Change]) -> str:
    """What differs, a line each."""
    return "\n".join([*map(str, found)] or ["no verdict differs"]) + "\n"


def _text(report: Report) -> str:
    entries = table.sorted_by_outcome(report.entries)
    messages = [
        f"{entry.nodeid}\n{entry.verdict.render()}" for entry in entries if entry.verdict.outcome != "pass"
    ]
    lines = [
        *table.lines(entries, all_of_them=True),
        *(f"LOST {sentence}" for sentence in report.lost),
        closing_line(report.counts),
    ]
    return "\n\n".join([*messages, "\n".join(lines)]) + "\n"
