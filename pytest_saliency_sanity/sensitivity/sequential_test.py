"""The course of a sensitivity check: gates, then a sample that grows look by look until it settles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.first_maps import Examination, blind_findings, examine
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.examination.liveness import alike_findings, flat_findings, unless_dead
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Breach, Meter, OutOfBudget, Refusal, Stopped
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.control_surveys import ControlSurveys, fingerprint
from pytest_saliency_sanity.sensitivity.honest_controls import asked, called
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure, Thresholds, judged, looks
from pytest_saliency_sanity.sensitivity.survey import (
    LINEAR,
    SIZE,
    Sample,
    Survey,
    chunks_for,
    explain_originals,
    fill,
    retained,
    survey,
)
from pytest_saliency_sanity.sensitivity.suspicions import Suspect, Suspicion, suspicions
from pytest_saliency_sanity.verdict import Finding, Stage

_SHOWN_DRAWS = 5  # draws of a depth that is shown and not judged
_CONTROLS = ControlSurveys()
Perturbation = Callable[
    [Subject, Sequence[Measure], int], AbstractContextManager[Iterable[tuple[Measure, "Tensor | None"]]]
]


@dataclass
class Audit:
    """One run of a check; it fills as the sample grows.

    Attributes:
        subject: what is audited.
        measures: what is measured, shallow to deep.
        perturbation: context manager (subject, measures, draw) that yields the measures one after the other, with
            the model perturbed for each, and with the targets to explain (None: the subject's own).
        reduced: what is done to a sample before it is judged.
        thresholds: (signed, one-sided).
        began: `time.monotonic()` at which the check began.
        meter: the explainer's calls.
        control_meter: the calls of the control explainers, which all explainers of a run share.
        control_seconds: of everything done for the controls.
        most_draws: more draws than this cannot be had.
        sign_counts: whether a map that only changes its sign has changed. The gradients of a network's two logits
            are each other's negative; edges times a logit are still edges.
        first: how the explainer behaved on the first images.
        begun: its sample.
        control: the plain gradient's sample.
        exception: what the explainer raised.
    """

    subject: Subject
    measures: tuple[Measure, ...]
    perturbation: Perturbation
    thresholds: tuple[float, float]
    began: float
    meter: Meter
    control_meter: Meter
    control_seconds: float = 0.0
    reduced: Callable[[Sample], Sample] = lambda sample: sample
    most_draws: int | None = None
    sign_counts: bool = True
    similarities: tuple[str, ...] = ()
    first: Examination | None = None
    begun: Survey | None = None
    control: Survey | None = None
    exception: BaseException | None = None

    @property
    def limits(self) -> Thresholds:
        """The lines that hold for this explainer's kind of maps."""
        return self.limits_of(self.begun)

    def limits_of(self, begun: Survey) -> Thresholds:
        """The lines that hold for the maps of a survey: the explainer's, or a control's."""
        signed, one_sided = self.thresholds
        return Thresholds(max(one_sided, signed) if begun.one_sided else signed, signed)

    @property
    def gradient_maps(self) -> Maps | None:
        """The plain gradient's maps of the first images, where it was needed."""
        return self.control.originals[0].maps if self.control else None


def run(audit: Audit) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    """What precedes the measurements, and the measurements of the look that settled it (or of the last one)."""
    try:
        if duplicates := duplicate_findings(audit.subject):
            return duplicates, ()
        audit.first = examine(audit.subject, audit.meter)
        audit.subject = audit.first.applied(audit.subject)
        early = (
            alike_findings(audit.subject)
            or flat_findings(audit.subject)
            or accuracy_findings(audit.subject)
            or blind_findings(audit.first)
        )
        if early:
            return early, ()
        audit.begun = survey(audit.subject, audit.first, audit.similarities)
        return _looked(audit)
    except Stopped as stopped:
        audit.exception = stopped.cause
        return (stopped.finding,), _known(audit)
    except OutOfBudget:
        return (_budget_finding(audit),), _known(audit)


def _looked(audit: Audit) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    """Look until a finding or the stages settle it and the controls agree; the last look ends it anyway."""
    doubts: tuple[Finding, ...] = ()
    stages: tuple[Stage, ...] = ()
    for look in looks(audit.subject.amounts, audit.subject.images, audit.most_draws):
        grow(audit, audit.begun, audit.subject, audit.meter, look)
        findings, stages = _judged(audit, look)
        if findings:
            return unless_dead(findings, audit.subject, audit.control_meter.deadline), stages
        failed = any(stage.outcome == "fail" for stage in stages if stage.judged)
        suspected = () if failed else _suspicions(audit, audit.begun, look, look.alpha_fail)
        if failed or _convicting(suspected) or _acquitted(stages, look):
            doubts = _control_findings(audit, look, suspected)
            if not doubts:
                return tuple(one.finding for one in suspected), (*stages, *_rows(suspected))
            if not suspected:  # the controls have grown as far as they may
                return doubts, stages
        elif look.may_pass and _between(stages):
            return (), stages
    return doubts, stages


def _convicting(suspected: tuple[Suspicion, ...]) -> bool:
    return any(one.finding.outcome == "fail" for one in suspected)


def _rows(suspected: tuple[Suspicion, ...]) -> tuple[Stage, ...]:
    return tuple(row for one in suspected for row in one.rows)


def grow(audit: Audit, begun: Survey, subject: Subject, meter: Meter, look: Look) -> None:
    """Fill the sample of `begun` up to what `look` wants."""
    chunks = chunks_for(begun, look.images)
    explain_originals(subject, meter, begun, chunks)
    for draw in range(look.draws):
        missing = [measure for measure in audit.measures if _wanted(begun, measure, chunks, draw)]
        if missing:
            _fill_draw(audit, begun, subject, meter, chunks, draw, missing)


def _wanted(begun: Survey, measure: Measure, chunks: int, draw: int) -> list[tuple[str, int, int]]:
    """The cells of a draw that are missing; what is only shown is measured on the first chunk, a few draws."""
    if not measure.judged:
        chunks = 1 if draw < _SHOWN_DRAWS else 0
    cells = [(measure.name, chunk, draw) for chunk in range(chunks)]
    return [cell for cell in cells if cell not in begun.cells]


def _fill_draw(
    audit: Audit,
    begun: Survey,
    subject: Subject,
    meter: Meter,
    chunks: int,
    draw: int,
    missing: Sequence[Measure],
) -> None:
    with audit.perturbation(subject, missing, draw) as perturbed:
        for measure, targets in perturbed:
            for cell in _wanted(begun, measure, chunks, draw):
                _fill_cell(subject, meter, begun, cell, targets)


def _fill_cell(
    subject: Subject, meter: Meter, begun: Survey, cell: tuple[str, int, int], targets: Tensor | None
) -> None:
    try:
        fill(subject, meter, begun, cell, targets)
    except Breach as breach:
        if (
            breach.finding.reason == "contract.finite"
            and not predicted(subject, begun.chunks[cell[1]]).isfinite().all()
        ):
            raise Stopped(unusable(f"the logits at {cell[0]!r} are not finite")) from breach
        sentence = f"{breach.finding.sentence} (at {cell[0]!r})"
        raise Breach(breach.finding.reason, sentence, breach.cause) from breach
    except Refusal as refusal:
        raise Refusal(f"{refusal.finding.sentence} (at {cell[0]!r})", refusal.cause) from refusal


def unusable(what: str) -> Finding:
    return Finding(
        "gate.randomization", "inconclusive", f"{what}; such a copy of the model cannot show anything"
    )


def _judged(audit: Audit, look: Look) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    begun, chunks = audit.begun, chunks_for(audit.begun, look.images)
    unusable = gates.usable_findings(begun, chunks)
    if unusable:
        return unusable, ()
    samples = _samples(audit, begun, chunks, look.draws)
    stages = _with_figures(
        audit, judged(samples, audit.measures, audit.limits, look.alpha_fail, look.alpha_pass)
    )
    judging = [measure.name for measure in audit.measures if measure.judged]
    # At the shallowest depth, be it only shown: DeconvNet's one map for all images lasts longest there.
    blind = gates.image_findings(next(iter(samples.values())), begun)
    if blind:  # a ratio of what is left to what could be left says nothing where nothing could be
        return blind, ()
    return gates.copies_findings(begun, judging), stages


def _suspicions(audit: Audit, begun: Survey, look: Look, alpha: float) -> tuple[Suspicion, ...]:
    """What speaks against maps whose ranks change."""
    chunks = chunks_for(begun, look.images)
    judging = [measure.name for measure in audit.measures if measure.judged]
    suspect = Suspect(
        begun=begun,
        samples=lambda kind: {name: begun.sample(name, chunks, look.draws, kind) for name in judging},
        reduced=audit.reduced,
        limits=audit.limits_of(begun),
        alpha=alpha,
        signs=not audit.sign_counts,
    )
    return suspicions(suspect)


def _samples(audit: Audit, begun: Survey, chunks: int, draws: int) -> dict[str, Sample]:
    rectangles = {
        measure.name: (chunks, draws) if measure.judged else (1, min(draws, _SHOWN_DRAWS))
        for measure in audit.measures
    }
    samples = {name: audit.reduced(begun.sample(name, *rectangle)) for name, rectangle in rectangles.items()}
    return {name: sample for name, sample in samples.items() if len(sample.repeated) > 1}


def _with_figures(audit: Audit, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages with what other similarities than the deciding one retain."""
    return tuple(replace(stage, evidence={**stage.evidence, **_others(audit, stage)}) for stage in stages)


def _others(audit: Audit, stage: Stage) -> dict[str, Any]:
    draws = min(stage.draws, _SHOWN_DRAWS) if audit.most_draws is None else 1
    by_value = {kind: retained(audit.begun.sample(stage.name, 1, draws, kind)) for kind in (LINEAR, SIZE)}
    figures = {"similarities": audit.begun.figures(stage.name)} if audit.similarities else {}
    return {"retained_by_value": by_value, **figures}


def _acquitted(stages: tuple[Stage, ...], look: Look) -> bool:
    return look.may_pass and {stage.outcome for stage in stages if stage.judged} == {"pass"}


def _between(stages: tuple[Stage, ...]) -> bool:
    """Whether a judged stage lies between the lines for sure and none can fail: more looks settle nothing."""
    judging = [stage for stage in stages if stage.judged]
    return all(stage.upper < stage.fail_above for stage in judging) and any(
        stage.lower > stage.pass_below for stage in judging
    )


def _known(audit: Audit) -> tuple[Stage, ...]:
    """The stages of the largest rectangle that was measured before the check was stopped; none if too little."""
    if audit.begun is None:
        return ()
    names = [measure.name for measure in audit.measures if measure.judged]
    chunks, draws = audit.begun.complete(names)
    if draws < min(2, audit.most_draws or 2):
        return ()
    present = tuple(measure for measure in audit.measures if measure.judged)
    samples = {name: audit.reduced(audit.begun.sample(name, chunks, draws)) for name in names}
    if any(len(sample.repeated) < 2 for sample in samples.values()):
        return ()
    first = looks(audit.subject.amounts, audit.subject.images, audit.most_draws)[0]
    return judged(samples, present, audit.limits, first.alpha_fail, first.alpha_pass)


def _budget_finding(audit: Audit) -> Finding:
    cost = audit.meter
    known = _known(audit)
    so_far = f"; so far {known[0].statistic:.2f} is retained at {known[0].name!r}" if known else ""
    sentence = (
        f"the budget of {audit.subject.amounts.max_seconds:g} s ended after {cost.images} maps "
        f"({cost.seconds / max(cost.images, 1):.2f} s each){so_far}; raise max_seconds, or take the profile 'smoke'"
    )
    return Finding("budget", "inconclusive", sentence)


def _control_findings(audit: Audit, look: Look, suspected: tuple[Suspicion, ...]) -> tuple[Finding, ...]:
    """The plain gradient has to pass, and Sobel to fail, on this model and these images, at this look.

    Args:
        suspected: what speaks against the explainer's maps must not speak against the plain gradient's.
    """
    start = time.monotonic()
    try:
        return _honest_control_findings(audit, look, suspected) or gates.edge_findings(audit.subject)
    finally:
        audit.control_seconds += time.monotonic() - start


def _honest_control_findings(
    audit: Audit, look: Look, suspected: tuple[Suspicion, ...]
) -> tuple[Finding, ...]:
    found, notes = asked(lambda control: _honest_findings(audit, look, suspected, control))
    new = tuple(note for note in notes if note not in audit.subject.notes)
    audit.subject = replace(audit.subject, notes=(*audit.subject.notes, *new))
    return found


def _honest_findings(
    audit: Audit, look: Look, suspected: tuple[Suspicion, ...], control: Callable[..., Any]
) -> tuple[Finding, ...]:
    """Its sample grows beyond the explainer's where it has to: it is made once for all explainers of a run."""
    subject = replace(audit.subject.by(control, control.__name__), alone=False)
    doubts: tuple[Finding, ...] = ()
    begun = _control_survey(audit, subject)
    for larger in _from(audit, look):
        grow(audit, begun, subject, audit.control_meter, larger)
        doubts, settled = _doubts(audit, begun, larger, called(control))
        if settled:
            break
    if constant := gates.usable_findings(begun, chunks_for(begun, look.images)):
        return (gates.no_control(f"of {called(control)}, {constant[0].sentence}"),)
    if suspected and _suspicions(audit, begun, look, ALPHA_FAIL):
        return (
            gates.no_control(
                f"the same speaks against {called(control)}: it {suspected[0].finding.sentence}"
            ),
        )
    return doubts


def _from(audit: Audit, look: Look) -> tuple[Look, ...]:
    every = looks(audit.subject.amounts, audit.subject.images, audit.most_draws)
    return tuple(larger for larger in every if (larger.images, larger.draws) >= (look.images, look.draws))


def _doubts(audit: Audit, begun: Survey, look: Look, called: str) -> tuple[tuple[Finding, ...], bool]:
    """What speaks against a control, and whether a larger sample would say the same."""
    samples = _samples(audit, begun, chunks_for(begun, look.images), look.draws)
    limits = Thresholds(audit.thresholds[0], audit.thresholds[0])
    stages = judged(samples, [m for m in audit.measures if m.judged], limits, ALPHA_FAIL, ALPHA_PASS)
    outcomes = {stage.outcome for stage in stages}
    if outcomes == {"pass"}:
        return (), True
    worst = max(stages, key=lambda stage: stage.upper, default=None)
    found = (
        f"retains {worst.statistic:.2f}, at most {worst.upper:.2f}, when {worst.sentence}"
        if worst
        else "is constant"
    )
    return (gates.no_control(f"even {called} {found}, and should pass"),), "fail" in outcomes


def _control_survey(audit: Audit, subject: Subject) -> Survey:
    key = (*fingerprint(subject), subject.name, audit.measures, len(audit.begun.chunks[0]))
    found = _CONTROLS.get(key)
    if found is None:
        found = _CONTROLS.keep(key, survey(subject, examine(subject, audit.control_meter)))
    audit.control = found if subject.explainer is gradient else None
    return found


def predicted(subject: Subject, index: Tensor) -> Tensor:
    """(n, K) logits of the images at `index`, of the model as it now stands, on the CPU."""
    with entered(torch.no_grad()), replayed(subject.seed):
        return logits(subject.model, subject.chosen(index), subject.forward).float().cpu()
