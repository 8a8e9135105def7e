"""Verdicts as Markdown for a comment on a pull request, or for the summary of a CI job: short enough for both.

GitHub drops a comment above 65,536 characters and a summary above 1,024 KiB whole, so it is cut below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pytest_saliency_sanity.report import metrics, table
from pytest_saliency_sanity.report.document import Entry, Report
from pytest_saliency_sanity.report.words import INTERVALS, closing_line

COMMENT = 64_000  # bytes
_COLUMNS = (*table.HEAD[:-1], "test")
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~&@:])")
_TOLD = 20  # messages below the table


def written(report: Report, most: int = COMMENT) -> str:
    """The text of the Markdown file.

    Args:
        most: bytes of UTF-8 that it may have.
    """
    entries = table.sorted_by_outcome(report.entries)
    title = f"### {escaped(closing_line(report.counts))}"
    head = "\n\n".join(part for part in (title, _changed(report), _lost(report)) if part)
    rows = [_row(entry) for entry in entries]
    messages = [_told(entry) for entry in entries if entry.counted not in ("pass", "observed", "xfail")][
        :_TOLD
    ]
    return _fitting(head, rows, [*_figures(entries), *messages], most)


def escaped(text: str) -> str:
    """`text` as Markdown shows it: nothing in it is markup, a link, a mention or a cell's end."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _changed(report: Report) -> str:
    if not report.changes:
        return ""
    lines = [f"- **{escaped(change.kind)}**: {escaped(change.sentence)}" for change in report.changes]
    return "#### Against the baseline\n\n" + "\n".join(_cut(lines, "more changes"))


def _lost(report: Report) -> str:
    return "\n".join(f"- **lost**: {escaped(sentence)}" for sentence in _cut(report.lost, "more lost"))


def _cut(lines: Sequence[str], what: str, most: int = 50) -> list[str]:
    left = len(lines) - most
    return [*lines[:most], *([f"- … and {left} {what}"] if left > 0 else [])]


def _row(entry: Entry) -> str:
    cells = (*table.row(entry)[:-1], entry.nodeid)  # where it is, in place of what it took
    return f"| {' | '.join(_short(escaped(cell)) for cell in cells)} |"


def _told(entry: Entry) -> str:
    message = entry.verdict.render()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", message)), default=0))
    summary = escaped(f"{entry.counted}: {entry.verdict.check} of {entry.verdict.explainer}")
    text = message if len(message) < 4000 else f"{message[:4000]}…"
    return f"<details><summary>{summary}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _figures(entries: Sequence[Entry]) -> list[str]:
    """The field's figures as a table of their own; nothing where there are none."""
    rows = [
        f"| {' | '.join(_short(escaped(cell)) for cell in cells)} |"
        for entry in entries
        for one in metrics.of(entry.verdict)
        for cells in [(entry.verdict.check, entry.verdict.explainer, one.title, one.value, one.remark)]
    ]
    if not rows:
        return []
    head = "| check | explainer | figure | value | |\n| --- | --- | --- | --- | --- |"
    return ["\n".join(["#### Beside the verdicts: they decide nothing\n", head, *_cut(rows, "more figures")])]


def _short(cell: str, most: int = 300) -> str:
    return cell if len(cell) <= most else f"{cell[:most].rstrip(chr(92))}…"


def _fitting(head: str, rows: Sequence[str], messages: Sequence[str], most: int) -> str:
    """The parts with as many rows as fit, then as many messages; what is left out is counted."""
    spare = most - len(head.encode()) - len(_HEAD.encode()) - 300
    kept = list(_within(rows, spare))
    spare -= sum(len(row.encode()) + 1 for row in kept)
    told = list(_within(messages, spare))
    left = len(rows) - len(kept)
    shown = "\n".join([_HEAD, *kept, "", INTERVALS]) if rows else "No verdict was reached."
    note = f"… and {left} more verdicts; the JSON report has all." if left else ""
    return "\n\n".join(part for part in (head, shown, note, *told) if part) + "\n"


def _within(parts: Iterable[str], spare: int) -> Iterable[str]:
    for part in parts:
        spare -= len(part.encode()) + 2
        if spare < 0:
            return
        yield part
