"""The words of a verdict: the first line, the table, the hint, the command that replays it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report import metrics
from pytest_saliency_sanity.report.numbers import line, number, of_stage
from pytest_saliency_sanity.report.words import interval_heading
from pytest_saliency_sanity.text import encodable

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Stage, Verdict

_WRAPPER = textwrap.TextWrapper(110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
_NOT = "does not "


def summary(verdict: Verdict) -> str:
    """Who, what, by how much, with the bound and the threshold, on one line."""
    caveats = f" [{'; '.join(verdict.caveats)}]" if verdict.caveats and not verdict.findings else ""
    # An explainer's exception may have a message of many lines.
    return encodable(" ".join(f"{_sentence(verdict)}{caveats}".split()))


def message(verdict: Verdict) -> str:
    """The summary, the table of stages, the reason code, the field's figures, hint, notes and replay command."""
    parts = [
        summary(verdict),
        table(verdict),
        f"reason: {verdict.reason}",
        _labelled(metrics.LABEL, metrics.sentence(verdict)),
        _labelled("hint", verdict.hint),
        *(_labelled("note", note) for note in verdict.notes),
        f"replay: {verdict.replay}" if verdict.replay else "",
    ]
    return encodable("\n\n".join(parts[:2]).strip() + "".join(f"\n{part}" for part in parts[2:] if part))


def table(verdict: Verdict) -> str:
    """The stages as aligned columns; "" when nothing was measured."""
    if not verdict.stages:
        return ""
    head = (*verdict.claim.columns, interval_heading(verdict.stages), "verdict")
    rows = [head, *(_row(stage) for stage in verdict.stages)]
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
    return f"{verdict.explainer} {verdict.claim.fails}: {_measured(verdict, stage, _bound(stage, '99 %'))}"


def _passed(verdict: Verdict, stage: Stage) -> str:
    return (
        f"{verdict.explainer}: no evidence that it {verdict.claim.fails}: "
        f"{_measured(verdict, stage, _bound(stage, '95 %'))}"
    )


def _undecided(verdict: Verdict, stage: Stage) -> str:
    return (
        f"{verdict.explainer}: inconclusive whether it {_asked(verdict.claim.fails)}: "
        f"{_measured(verdict, stage, _between(stage))}; "
        f"{stage.evidence.get('settled_by', 'more images or draws would settle it')}"
    )


def _asked(fails: str) -> str:
    """What a failing explainer does, as a question: whether it does, not whether it does not."""
    return f"does {fails.removeprefix(_NOT)}" if fails.startswith(_NOT) else fails


def _bound(stage: Stage, level: str) -> str:
    """The bound that decided, on its side of the line: below it is good where less is better."""
    if _is_exact(stage):
        return _exact_bound(stage)
    below = (stage.outcome == "fail") == stage.more_is_better
    name, value, sign = ("upper", stage.upper, "<") if below else ("lower", stage.lower, ">")
    # At the end of the scale to reach the line is enough.
    if value in (stage.fail_below, stage.fail_above):
        sign = {"<": "≤", ">": "≥"}[sign]
    return f"{level} {name} bound {number(value, stage.lines)} {sign} {line(stage.threshold, stage.interval)}"


def _between(stage: Stage) -> str:
    if _is_exact(stage):
        return f"between {stage.lower:.2g} and {stage.upper:.2g}, tolerance {stage.threshold:.2g}"
    low, high = ("95 %", "99 %") if stage.more_is_better else ("99 %", "95 %")
    ends = [number(end, stage.lines) for end in stage.interval]
    bounds = f"{low} lower bound {ends[0]}, {high} upper bound {ends[1]}"
    below, above = ("fails", "passes") if stage.more_is_better else ("passes", "fails")
    smaller, larger = (line(one, stage.interval) for one in sorted(stage.lines))
    if smaller == larger:
        return f"{bounds}, threshold {smaller}"
    return f"{bounds}; below {smaller} {below}, above {larger} {above}"


def _measured(verdict: Verdict, stage: Stage, bound: str) -> str:
    """How much, of what, with the bound; a share below zero is nothing."""
    amount, what = of_stage(stage)[0], stage.sentence or stage.detail or stage.name
    if float(amount) < 0 and verdict.claim.measures.startswith("of "):
        amount, bound = "nothing", f"{verdict.claim.columns[-1]} {amount}, {bound}"
    return f"{amount} {verdict.claim.measures} {what} ({bound})"


def _row(stage: Stage) -> tuple[str, ...]:
    shown = stage.outcome if stage.judged else "(shown only)"
    return stage.name, stage.detail, *of_stage(stage), shown


def _is_exact(stage: Stage) -> bool:
    """Whether nothing is inferred from a sample: a calculation that is right, or wrong by more than rounding."""
    return stage.alpha_fail == stage.alpha_pass == 0


def _exact_bound(stage: Stage) -> str:
    value, sign, name = (stage.lower, ">", "at least ") if stage.outcome == "fail" else (stage.upper, "<", "")
    return f"{'' if stage.lower == stage.upper else name}{value:.2g} {sign} {stage.threshold:.2g}"


def _labelled(label: str, text: str) -> str:
    if not text:
        return ""
    return _WRAPPER.fill(f"{label}: {text}")
