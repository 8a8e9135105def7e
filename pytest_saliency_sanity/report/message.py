"""The words of a verdict: the first line, the table, the hint, the command that replays it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pytest_saliency_sanity.text import encodable

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Stage, Verdict

_WRAPPER = textwrap.TextWrapper(110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def summary(verdict: Verdict) -> str:
    """Who, what, by how much, with the bound and the threshold, on one line."""
    caveats = f" [{'; '.join(verdict.caveats)}]" if verdict.caveats and not verdict.findings else ""
    # An explainer's exception may have a message of many lines.
    return encodable(" ".join(f"{_sentence(verdict)}{caveats}".split()))


def message(verdict: Verdict) -> str:
    """The summary, then the table of stages, the hint, the notes and the replay command."""
    parts = [
        summary(verdict),
        table(verdict),
        _labelled("hint", verdict.hint),
        *(_labelled("note", note) for note in verdict.notes),
        f"replay: {verdict.replay}" if verdict.replay else "",
    ]
    return encodable("\n\n".join(parts[:2]).strip() + "".join(f"\n{part}" for part in parts[2:] if part))


def table(verdict: Verdict) -> str:
    """The stages as aligned columns; "" when nothing was measured."""
    if not verdict.stages:
        return ""
    rows = [(*verdict.claim.columns, "interval", "verdict"), *(_row(stage) for stage in verdict.stages)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = (map(str.ljust, row, widths) for row in rows)
    return "\n".join(f"  {'  '.join(cells).rstrip()}" for cells in padded) + "\n"


def _sentence(verdict: Verdict) -> str:
    if verdict.findings:
        return _found(verdict)
    stage = verdict.deciding
    if stage is None:
        return f"{verdict.explainer}: inconclusive: nothing was measured"
    return {"fail": _failed, "pass": _passed, "inconclusive": _undecided}[stage.outcome](verdict, stage)


def _found(verdict: Verdict) -> str:
    finding = verdict.findings[0]
    lead = {"fail": "", "error": " broke the contract:", "inconclusive": ": inconclusive:", "pass": ":"}
    return f"{verdict.explainer}{lead[finding.outcome]} {finding.sentence}"


def _failed(verdict: Verdict, stage: Stage) -> str:
    return f"{verdict.explainer} {verdict.claim.fails}: {_measured(verdict, stage)} ({_bound(stage, '99 %')})"


def _passed(verdict: Verdict, stage: Stage) -> str:
    return (
        f"{verdict.explainer}: no evidence that it {verdict.claim.fails}: {_measured(verdict, stage)} "
        f"({_bound(stage, '95 %')})"
    )


def _undecided(verdict: Verdict, stage: Stage) -> str:
    return (
        f"{verdict.explainer}: inconclusive whether it {verdict.claim.fails}: {_measured(verdict, stage)} "
        f"({_between(stage)}); {stage.evidence.get('settled_by', 'more images or draws would settle it')}"
    )


def _bound(stage: Stage, level: str) -> str:
    """The bound that decided, on its side of the line: below it is good where less is better."""
    if _is_exact(stage):
        return _exact_bound(stage)
    below = (stage.outcome == "fail") == stage.more_is_better
    name, value, sign = ("upper", stage.upper, "<") if below else ("lower", stage.lower, ">")
    # At the end of the scale to reach the line is enough.
    if value in (stage.fail_below, stage.fail_above):
        sign = {"<": "≤", ">": "≥"}[sign]
    return f"{level} {name} bound {value:.2f} {sign} {stage.threshold:.2f}"


def _between(stage: Stage) -> str:
    if _is_exact(stage):
        return f"between {stage.lower:.2g} and {stage.upper:.2g}, tolerance {stage.threshold:.2g}"
    low, high = ("95 %", "99 %") if stage.more_is_better else ("99 %", "95 %")
    bounds = f"{low} lower bound {stage.lower:.2f}, {high} upper bound {stage.upper:.2f}"
    if stage.more_is_better:
        lines = (stage.fail_below, stage.pass_above, "fails", "passes")
    else:
        lines = (stage.pass_below, stage.fail_above, "passes", "fails")
    if lines[0] == lines[1]:
        return f"{bounds}, threshold {lines[0]:.2f}"
    return f"{bounds}; below {lines[0]:.2f} {lines[2]}, above {lines[1]:.2f} {lines[3]}"


def _measured(verdict: Verdict, stage: Stage) -> str:
    return f"{_number(stage, stage.statistic)} {verdict.claim.measures} {stage.sentence or stage.detail or stage.name}"


def _row(stage: Stage) -> tuple[str, ...]:
    interval = f"{_number(stage, stage.lower)} … {_number(stage, stage.upper)}"
    shown = stage.outcome if stage.judged else "(shown only)"
    return stage.name, stage.detail, _number(stage, stage.statistic), interval, shown


def _is_exact(stage: Stage) -> bool:
    """Whether nothing is inferred from a sample: a calculation that is right, or wrong by more than rounding."""
    return stage.alpha_fail == stage.alpha_pass == 0


def _exact_bound(stage: Stage) -> str:
    value, sign, name = (stage.lower, ">", "at least ") if stage.outcome == "fail" else (stage.upper, "<", "")
    return f"{'' if stage.lower == stage.upper else name}{value:.2g} {sign} {stage.threshold:.2g}"


def _number(stage: Stage, value: float) -> str:
    return f"{value:.2g}" if _is_exact(stage) else f"{value:.2f}"


def _labelled(label: str, text: str) -> str:
    if not text:
        return ""
    return _WRAPPER.fill(f"{label}: {text}")
