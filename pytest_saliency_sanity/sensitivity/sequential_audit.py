"""A sensitivity check, look by look: gates, then a sample that grows until the result is clear and controls agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.first_maps import Examination, blind_findings, examine
from pytest_saliency_sanity.examination.forecast import foretell
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL
from pytest_saliency_sanity.examination.liveness import alike_findings, flat_findings, unless_dead
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.comparisons import ABSOLUTE, LINEAR, RANK, SIZE
from pytest_saliency_sanity.sensitivity.growth import SHOWN_DRAWS, Perturbation, grow, samples
from pytest_saliency_sanity.sensitivity.held_constant import held_constant
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure, Thresholds, judged, looks
from pytest_saliency_sanity.sensitivity.measured_lines import excused, features_finding, with_measured_lines
from pytest_saliency_sanity.sensitivity.survey import (
    Sample,
    Survey,
    chunks_for,
    retained,
    survey,
)
from pytest_saliency_sanity.sensitivity.suspicions import Suspect, Suspicion, headless, suspicions
from pytest_saliency_sanity.sensitivity.verdicts import Account
from pytest_saliency_sanity.verdict import Finding, Stage


def unreduced(sample: Sample) -> Sample:
    """The sample itself."""
    return sample


@dataclass(frozen=True)
class Audit:
    """What a check asks of an explainer.

    Attributes:
        subject: what is audited.
        measures: what is measured, shallow to deep.
        perturbation: see `growth.grow`.
        thresholds: (signed, one-sided).
        began: `time.monotonic()` at which the check began.
        meter: the explainer's calls.
        control_meter: the calls of the control explainers, which all explainers of a run share.
        reduced: what is done to a sample before it is judged.
        most_draws: more draws than this cannot be had.
        sign_counts: whether a map that only changes its sign has changed. The gradients of a network's two logits
            are each other's negative; edges times a logit are still edges.
        similarities: names of the paper's figures to report.
    """

    subject: Subject
    measures: tuple[Measure, ...]
    perturbation: Perturbation
    thresholds: tuple[float, float]
    began: float
    meter: Meter
    control_meter: Meter
    reduced: Callable[[Sample], Sample] = unreduced
    most_draws: int | None = None
    sign_counts: bool = True
    similarities: tuple[str, ...] = ()

    @property
    def judging(self) -> tuple[Measure, ...]:
        """The measures that decide."""
        return tuple(measure for measure in self.measures if measure.judged)

    @property
    def asked(self) -> tuple[Any, ...]:
        """What is measured, and which blocks are re-initialized for it."""
        return self.measures, getattr(self.perturbation, "blocks", ())

    def looks(self) -> tuple[Look, ...]:
        """All looks that there may be."""
        return looks(self.subject.amounts, self.subject.images, self.most_draws)

    def limits_of(self, begun: Survey) -> Thresholds:
        """The lines that hold for the maps of a survey: the explainer's, or a control's."""
        signed, one_sided = self.thresholds
        return Thresholds(max(one_sided, signed) if begun.one_sided else signed, signed)

    def suspicions(self, begun: Survey, look: Look, alpha: float) -> tuple[Suspicion, ...]:
        """What speaks against maps whose ranks change."""
        chunks = chunks_for(begun, look.images)
        suspect = Suspect(
            begun=begun,
            samples=lambda kind: {
                measure.name: begun.sample(measure.name, chunks, look.draws, kind) for measure in self.judging
            },
            reduced=self.reduced,
            limits=self.limits_of(begun),
            alpha=alpha,
            signs=not self.sign_counts,
        )
        return suspicions(suspect)

    def heads(self, begun: Survey, look: Look) -> tuple[Sample, ...]:
        """Of the re-initialized head alone, where it is measured and not judged itself."""
        kinds = (RANK, ABSOLUTE) if begun.absolute else (RANK,)
        draws = min(look.draws, SHOWN_DRAWS)
        found = [
            begun.sample(measure.name, 1, draws, kind)
            for measure in self.measures
            for kind in kinds
            if measure.blocks == 1 and not measure.judged
        ]
        return tuple(sample for sample in found if len(sample.repeated) > 1)

    def account(self, findings: tuple[Finding, ...], stages: tuple[Stage, ...] = (), **known: Any) -> Account:
        """What its verdict is made of."""
        return Account(
            self.subject,
            self.thresholds,
            self.began,
            self.meter,
            self.control_meter,
            findings,
            stages,
            **known,
        )


@dataclass(frozen=True)
class Controls:
    """What the controls have to say.

    Attributes:
        doubts: of an audit at a look, with what is suspected of the explainer: why nothing can be shown.
        absolute: the survey of a control, at least as large as the look, compared without signs as well; None where
            no control can be computed.
    """

    doubts: Callable[[Sampled, Look, tuple[Suspicion, ...]], tuple[Finding, ...]]
    absolute: Callable[[Sampled, Look], Survey | None]


@dataclass
class Sampled:
    """An audit of an explainer that has kept its contract. Mutable: its sample and its controls fill.

    Attributes:
        audit: its subject is called as the explainer has to be.
        first: how the explainer behaved on the first images.
        begun: its sample.
        control: the plain gradient's sample, once it was needed.
        control_seconds: of everything done for the controls.
        notes: what a reader has to know of them.
    """

    audit: Audit
    first: Examination
    begun: Survey
    control: Survey | None = None
    control_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def account(
        self, findings: tuple[Finding, ...], stages: tuple[Stage, ...], exception: BaseException | None = None
    ) -> Account:
        """What its verdict is made of."""
        subject = self.audit.subject
        noted = replace(self.audit, subject=replace(subject, notes=(*subject.notes, *self.notes)))
        return noted.account(
            findings,
            stages,
            first=self.first,
            begun=self.begun,
            gradient_maps=self.control.originals[0].maps if self.control else None,
            control_seconds=self.control_seconds,
            exception=exception,
        )


def run(audit: Audit, controls: Controls) -> Account:
    """What precedes the measurements, and the measurements of the look that settled it (or of the last one).

    Args:
        controls: see `control_audit.CONTROLS`.
    """
    if duplicates := duplicate_findings(audit.subject):
        return audit.account(duplicates)
    try:
        first = examine(audit.subject, audit.meter)
    except Stopped as stopped:
        return audit.account((stopped.finding,), exception=stopped.cause)
    except OutOfBudget:
        return audit.account((_budget_finding(audit, ()),))
    audit = replace(audit, subject=first.applied(audit.subject))
    foretell(audit.subject, audit.meter, _needed(audit))
    early = (
        alike_findings(audit.subject)
        or flat_findings(audit.subject)
        or accuracy_findings(audit.subject)
        or blind_findings(first)
    )
    if early:
        return audit.account(early, first=first)
    return _run(audit, first, controls)


def _needed(audit: Audit) -> int:
    """How many maps the first look takes that may pass."""
    look = next(look for look in audit.looks() if look.may_pass)
    return look.images * (1 + look.draws * len(audit.measures))


def _run(audit: Audit, first: Examination, controls: Controls) -> Account:
    hold = partial(held_constant, audit.subject, audit.control_meter)
    sampled = Sampled(audit, first, survey(audit.subject, first, audit.similarities, hold))
    try:
        return sampled.account(*_looked(sampled, controls))
    except Stopped as stopped:
        return sampled.account((stopped.finding,), _known(sampled), stopped.cause)
    except OutOfBudget:
        known = _known(sampled)
        return sampled.account((_budget_finding(sampled.audit, known),), known)


def _looked(sampled: Sampled, controls: Controls) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    """Look until a finding or the stages settle it and the controls agree; the last look ends it anyway."""
    audit, begun = sampled.audit, sampled.begun
    doubted: tuple[Finding, ...] = ()
    open_question: tuple[Finding, ...] = ()
    stages: tuple[Stage, ...] = ()
    for look in audit.looks():
        grow(begun, audit.subject, audit.meter, look, audit.measures, audit.perturbation)
        findings, stages = _judged(sampled, look)
        if findings:
            return unless_dead(findings, audit.subject, audit.control_meter.deadline), stages
        failed = any(stage.outcome == "fail" for stage in stages if stage.judged)
        suspected = () if failed else _suspected(sampled, look, controls)
        if failed and excused(stages, audit.measures, begun, look, audit.reduced):
            open_question = (features_finding(stages),)
            continue
        open_question = ()
        if not failed and not _any_fails(suspected):
            stages = _with_lines(sampled, look, stages, controls)
        if failed or _any_fails(suspected) or _all_pass(stages, look):
            doubted = controls.doubts(sampled, look, suspected)
            if not doubted:
                return tuple(one.finding for one in suspected), (*stages, *_rows(suspected))
            if not suspected:  # the controls have grown as far as they may
                return doubted, stages
        elif look.may_pass and _between(stages):
            return (), stages
    return open_question or doubted, stages


def _suspected(sampled: Sampled, look: Look, controls: Controls) -> tuple[Suspicion, ...]:
    """That the head is unused, where the control uses it; or what else speaks against maps whose ranks change."""
    audit, begun = sampled.audit, sampled.begun
    unused = headless(audit.heads(begun, look), look.alpha_fail)
    if unused and (control := controls.absolute(sampled, look)):
        unused = () if headless(audit.heads(control, look), ALPHA_FAIL) else unused
    return unused or audit.suspicions(begun, look, look.alpha_fail)


def _with_lines(
    sampled: Sampled, look: Look, stages: tuple[Stage, ...], controls: Controls
) -> tuple[Stage, ...]:
    """The stages of maps of one sign, where they may pass and do not: by a line that is measured."""
    audit, begun = sampled.audit, sampled.begun
    if not (begun.one_sided and look.may_pass) or begun.hold is None or _all_pass(stages, look):
        return stages
    control = controls.absolute(sampled, look)
    if control is None:
        return stages
    return with_measured_lines(stages, audit.measures, begun, control, look, audit.reduced)


def _any_fails(suspected: tuple[Suspicion, ...]) -> bool:
    return any(one.finding.outcome == "fail" for one in suspected)


def _rows(suspected: tuple[Suspicion, ...]) -> tuple[Stage, ...]:
    return tuple(row for one in suspected for row in one.rows)


def _judged(sampled: Sampled, look: Look) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    audit, begun = sampled.audit, sampled.begun
    chunks = chunks_for(begun, look.images)
    unusable = gates.usable_findings(begun, chunks)
    if unusable:
        return unusable, ()
    found = samples(begun, audit.measures, chunks, look.draws, audit.reduced)
    judging = judged(found, audit.measures, audit.limits_of(begun), look.alpha_fail, look.alpha_pass)
    stages = tuple(
        replace(stage, evidence={**stage.evidence, **_others(sampled, stage)}) for stage in judging
    )
    # At the shallowest depth, even if it is only shown: DeconvNet's one map for all images lasts longest there.
    blind = gates.image_findings(next(iter(found.values())), begun)
    if blind:  # a ratio of what is left to what could be left says nothing where nothing could be
        return blind, ()
    return gates.copies_findings(begun, [measure.name for measure in audit.judging]), stages


def _others(sampled: Sampled, stage: Stage) -> dict[str, Any]:
    """What other similarities than the deciding one retain."""
    audit, begun = sampled.audit, sampled.begun
    draws = min(stage.draws, SHOWN_DRAWS) if audit.most_draws is None else 1
    by_value = {kind: retained(begun.sample(stage.name, 1, draws, kind)) for kind in (LINEAR, SIZE)}
    figures = {"similarities": begun.figures(stage.name)} if audit.similarities else {}
    return {"retained_by_value": by_value, **figures}


def _all_pass(stages: tuple[Stage, ...], look: Look) -> bool:
    return look.may_pass and {stage.outcome for stage in stages if stage.judged} == {"pass"}


def _between(stages: tuple[Stage, ...]) -> bool:
    """Whether a judged stage lies between the lines for sure and none can fail: more looks settle nothing."""
    judging = [stage for stage in stages if stage.judged]
    lines = [(stage, *stage.lines) for stage in judging]
    return all(stage.upper < fails for stage, fails, _ in lines) and any(
        stage.lower > passes for stage, _, passes in lines
    )


def _known(sampled: Sampled) -> tuple[Stage, ...]:
    """The stages of the largest rectangle that was measured before the check was stopped; none if too little."""
    audit, begun = sampled.audit, sampled.begun
    names = [measure.name for measure in audit.judging]
    chunks, draws = begun.complete(names)
    if draws < min(2, audit.most_draws or 2):
        return ()
    found = {name: audit.reduced(begun.sample(name, chunks, draws)) for name in names}
    if any(len(sample.repeated) < 2 for sample in found.values()):
        return ()
    first = audit.looks()[0]
    return judged(found, audit.judging, audit.limits_of(begun), first.alpha_fail, first.alpha_pass)


def _budget_finding(audit: Audit, known: tuple[Stage, ...]) -> Finding:
    cost = audit.meter
    so_far = f"; so far {known[0].statistic:.2f} is retained at {known[0].name!r}" if known else ""
    sentence = (
        f"the budget of {audit.subject.amounts.max_seconds:g} s was used up after {cost.images} maps "
        f"({cost.seconds / max(cost.images, 1):.2f} s each){so_far}; raise max_seconds, or use the profile 'smoke'"
    )
    return Finding("budget", "inconclusive", sentence)
