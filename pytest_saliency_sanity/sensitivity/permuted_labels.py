"""Data sensitivity, step by step: gates on the networks, then on the maps, then one look at the agreement."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from pytest_saliency_sanity.audited.observation import unobserved
from pytest_saliency_sanity.audited.subject import Subject, held
from pytest_saliency_sanity.examination.first_maps import Examination, blind_findings, examine
from pytest_saliency_sanity.examination.forecast import foretell
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.examination.liveness import USABLE, alike_findings, flat_findings, unless_dead
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.comparisons import LINEAR, SIZE
from pytest_saliency_sanity.sensitivity.honest_controls import Control, asked, called
from pytest_saliency_sanity.sensitivity.interim_analyses import Measure, Thresholds, judged
from pytest_saliency_sanity.sensitivity.memorization import (
    accuracy_on_inputs,
    generalization_findings,
    memorization_findings,
    read_by,
)
from pytest_saliency_sanity.sensitivity.network_agreement import Agreement, agreement
from pytest_saliency_sanity.sensitivity.survey import Survey, retained
from pytest_saliency_sanity.sensitivity.suspicions import Suspect, Suspicion, suspicions
from pytest_saliency_sanity.sensitivity.verdicts import Account
from pytest_saliency_sanity.trained_networks.networks import Network
from pytest_saliency_sanity.verdict import Finding, Stage

AGREES = 0.05  # S_true - X at or below this: networks of the same data do not agree in these maps
_STAGE = "permuted labels"


@dataclass(frozen=True)
class Comparison:
    """What the check asks of an explainer.

    Attributes:
        subject: what is audited; its model is the first network of the true labels.
        networks: those of the true labels first.
        thresholds: (signed, one-sided).
        began: `time.monotonic()` at which the check began.
        meter: the explainer's calls.
        control_meter: the control's, the plain gradient for most.
        similarities: names of the paper's figures to report.
    """

    subject: Subject
    networks: tuple[Network, ...]
    thresholds: tuple[float, float]
    began: float
    meter: Meter
    control_meter: Meter
    similarities: tuple[str, ...] = ()

    def limits_of(self, begun: Survey) -> Thresholds:
        """The lines that hold for maps of this kind."""
        signed, one_sided = self.thresholds
        return Thresholds(max(one_sided, signed) if begun.one_sided else signed, signed)

    def account(
        self, findings: tuple[Finding, ...], stages: tuple[Stage, ...] = (), **known: Any
    ) -> Compared:
        """What its verdict is made of."""
        return Compared(
            self.subject, self.thresholds, self.began, self.meter, self.control_meter, findings, stages,
            similarities=self.similarities, **known,
        )  # fmt: skip


@dataclass(frozen=True)
class Compared(Account):
    """What the check has done.

    Attributes:
        accuracies: of each network on the explained images; empty where a network had not memorized its labels.
        found: the agreement of the maps over the networks; None where none were compared.
        similarities: names of the paper's figures to report.
    """

    accuracies: tuple[float | None, ...] = ()
    found: Agreement | None = None
    similarities: tuple[str, ...] = ()


@dataclass
class _Matched:
    """A comparison whose maps are there. Mutable: what the controls cost, and have to tell, is added."""

    comparison: Comparison
    first: Examination
    found: Agreement
    accuracies: tuple[float | None, ...]
    control_seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def account(
        self, findings: tuple[Finding, ...], stages: tuple[Stage, ...] = (), **known: Any
    ) -> Compared:
        subject = self.comparison.subject
        noted = replace(self.comparison, subject=replace(subject, notes=(*subject.notes, *self.notes)))
        return noted.account(
            findings,
            stages,
            first=self.first,
            begun=self.found.surveys[0],
            control_seconds=self.control_seconds,
            accuracies=self.accuracies,
            found=self.found,
            **known,
        )


def run(comparison: Comparison) -> Compared:
    """What precedes the comparison, and its numbers."""
    audited = comparison.subject
    if duplicates := duplicate_findings(audited):
        return comparison.account(duplicates)
    for trained in comparison.networks:
        if unlearned := memorization_findings(trained, audited.amounts.max_seconds):
            return comparison.account(unlearned)
    subjects = read_by(audited, comparison.networks)
    accuracies = tuple(accuracy_on_inputs(one) for one in subjects)
    first: Examination | None = None
    try:
        with held(audited) as kept:
            first = examine(kept, comparison.meter)
        comparison = replace(comparison, subject=first.applied(audited))
        early = (
            alike_findings(comparison.subject)
            or flat_findings(comparison.subject)
            or generalization_findings(subjects, comparison.networks)
            or blind_findings(first)
        )
        if early:
            return comparison.account(early, first=first, accuracies=accuracies)
        foretell(comparison.subject, comparison.meter, audited.images * len(comparison.networks))
        found = _agreement(comparison, comparison.subject, comparison.meter, first)
    except Stopped as stopped:
        return comparison.account(
            (stopped.finding,), first=first, accuracies=accuracies, exception=stopped.cause
        )
    except OutOfBudget:
        return comparison.account((_budget_finding(comparison),), first=first, accuracies=accuracies)
    return _run(_Matched(comparison, first, found, accuracies))


def _run(matched: _Matched) -> Compared:
    try:
        findings, stages = _judged(matched)
    except OutOfBudget:
        return matched.account((_budget_finding(matched.comparison),))
    return matched.account(findings, stages)


def _agreement(comparison: Comparison, audited: Subject, meter: Meter, first: Examination) -> Agreement:
    models = [trained.model for trained in comparison.networks]
    true = sum(trained.labels == "true" for trained in comparison.networks)
    return agreement(audited, meter, models, true, first, comparison.similarities)


def _judged(matched: _Matched) -> tuple[tuple[Finding, ...], tuple[Stage, ...]]:
    comparison, found = matched.comparison, matched.found
    blind = _usable_findings(found) or _scale_findings(found)
    if blind:
        with held(comparison.subject) as kept:
            return unless_dead(blind, kept, comparison.control_meter.deadline), ()
    stages = _stages(comparison, found)
    if stages[0].outcome == "inconclusive":
        return (), stages
    suspected = () if stages[0].outcome == "fail" else _suspected(comparison, found)
    fails = stages[0].outcome == "fail" or suspected
    doubts = gates.edge_findings(comparison.subject) or (
        _control_findings(matched, suspected) if fails else ()
    )
    if doubts or not suspected:
        return doubts, stages
    return (suspected[0].finding,), (*stages, *suspected[0].rows)


def _stages(comparison: Comparison, found: Agreement) -> tuple[Stage, ...]:
    limits = comparison.limits_of(found.surveys[0])
    stages = judged({_STAGE: found.sample()}, [_measure(comparison, found)], limits, ALPHA_FAIL, ALPHA_PASS)
    evidence = {
        "settled_by": stages[0].evidence["settled_by"],
        "retained_by_value": {kind: retained(found.sample(kind)) for kind in (LINEAR, SIZE)},
    }
    return (replace(stages[0], draws=len(comparison.networks) - found.true, evidence=evidence),)


def _measure(comparison: Comparison, found: Agreement) -> Measure:
    table = found.table()
    return Measure(
        name=_STAGE,
        detail=", ".join(f"{labels} {value:.2f}" for labels, value in table.items()),
        sentence="one of them is trained on permuted labels",
        judged=True,
    )


def _usable_findings(found: Agreement) -> tuple[Finding, ...]:
    """Inconclusive when too few maps are not constant, on the networks of either kind."""
    usable, total = int(found.usable.sum()), len(found.usable)
    if usable < max(2, total * USABLE):
        sentence = f"its maps of {total - usable} of {total} images are constant; too few are left to compare"
        return (Finding("gate.constant_maps", "inconclusive", sentence),)
    if found.constant_share > gates.MOSTLY_CONSTANT:
        sentence = (
            f"{found.constant_share:.0%} of its maps are constant on the networks trained on permuted labels; a "
            f"constant map cannot show what is left"
        )
        return (Finding("gate.constant_copies", "inconclusive", sentence),)
    return ()


def _scale_findings(found: Agreement) -> tuple[Finding, ...]:
    """A map that is the same for every image fails; maps in which no two networks agree show nothing."""
    sample, table = found.sample(), found.table()
    shared = float(sample.mismatched.mean())
    if not found.surveys[0].replay and 1 - shared <= gates.SAME_FOR_ALL:
        sentence = (
            f"depends on neither image nor training data: its map of an image has a rank correlation of {shared:.2f} "
            f"with the maps of other images on networks trained on permuted labels"
        )
        return (Finding("input_independent", "fail", sentence),)
    agrees = float((sample.repeated - sample.mismatched).mean())
    if agrees > AGREES:
        return ()
    sentence = (
        f"its maps of two networks trained on the same labels agree too little for a loss to be measured: rank "
        f"correlation {table['true–true']:.2f}, and {table['different images']:.2f} between different images (more "
        f"than {AGREES:g} above that is needed); more training data, or more samples of a stochastic explainer, may "
        f"help"
    )
    return (Finding("gate.agreement", "inconclusive", sentence),)


def _suspected(comparison: Comparison, found: Agreement) -> tuple[Suspicion, ...]:
    """What speaks against maps whose ranks change: strong edges over a faint rest, nothing but another sign."""
    begun = found.surveys[0]
    suspect = Suspect(
        begun=begun,
        samples=lambda kind: {_STAGE: found.sample(kind)},
        reduced=lambda sample: sample,
        limits=comparison.limits_of(begun),
        alpha=ALPHA_FAIL,
        signs=True,
    )
    return suspicions(suspect)


def _control_findings(matched: _Matched, suspected: tuple[Suspicion, ...]) -> tuple[Finding, ...]:
    """Where an explainer fails, a control must not: else these networks, not it, are the reason."""
    start = time.monotonic()
    try:
        with unobserved():
            found, matched.notes = asked(
                lambda control: _honest_findings(matched.comparison, suspected, control)
            )
    finally:
        matched.control_seconds += time.monotonic() - start
    return found


def _honest_findings(
    comparison: Comparison, suspected: tuple[Suspicion, ...], control: Control
) -> tuple[Finding, ...]:
    audited = replace(comparison.subject.by(control, control.__name__), alone=False)
    with held(audited) as kept:
        first = examine(kept, comparison.control_meter)
    found = _agreement(comparison, audited, comparison.control_meter, first)
    if _usable_findings(found):
        return (gates.no_control(f"even {called(control)} is constant"),)
    if _scale_findings(found):
        return ()  # it shows nothing, also nothing against these networks
    stage = _stages(comparison, found)[0]
    if stage.outcome == "fail" or (suspected and _suspected(comparison, found)):
        sentence = f"even {called(control)} retains {stage.statistic:.2f} when the labels are permuted"
        return (gates.no_control(sentence),)
    return ()


def _budget_finding(comparison: Comparison) -> Finding:
    seconds, maps = comparison.subject.amounts.max_seconds, comparison.meter.images
    sentence = f"the budget of {seconds:g} s was used up after {maps} maps; raise max_seconds"
    return Finding("budget", "inconclusive", sentence)
