"""A look counts only if the control explainers pass or fail as they must, on this model and these images."""

from __future__ import annotations

import time
from dataclasses import replace

from pytest_saliency_sanity.audited.observation import unobserved
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.first_maps import examine
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.control_surveys import ControlSurveys, fingerprint
from pytest_saliency_sanity.sensitivity.growth import grow, samples
from pytest_saliency_sanity.sensitivity.honest_controls import Control, asked, called
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Thresholds, judged
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, Controls, Sampled
from pytest_saliency_sanity.sensitivity.survey import Survey, chunks_for, survey
from pytest_saliency_sanity.sensitivity.suspicions import Suspicion
from pytest_saliency_sanity.verdict import Finding

_SURVEYS = ControlSurveys()


def doubts(sampled: Sampled, look: Look, suspected: tuple[Suspicion, ...]) -> tuple[Finding, ...]:
    """Why nothing can be shown: the plain gradient has to pass, and Sobel to fail, at this look.

    Args:
        suspected: what speaks against the explainer's maps must not speak against the plain gradient's.
    """
    start = time.monotonic()
    try:
        with unobserved():
            return _of_honest_ones(sampled, look, suspected) or gates.edge_findings(sampled.audit.subject)
    finally:
        sampled.control_seconds += time.monotonic() - start


def absolute(sampled: Sampled, look: Look) -> Survey | None:
    """The survey of the control at a look, compared without signs as well; None if no control can be computed."""
    start = time.monotonic()
    made: list[Survey] = []

    def grown(control: Control) -> tuple[Finding, ...]:
        made.append(_grown(sampled, look, control))
        return ()

    try:
        with unobserved():
            asked(grown)
    finally:
        sampled.control_seconds += time.monotonic() - start
    return made[-1] if made else None


CONTROLS = Controls(doubts, absolute)


def _grown(sampled: Sampled, look: Look, control: Control) -> Survey:
    audit, subject = sampled.audit, _controlled(sampled, control)
    begun = _surveyed(sampled, subject)
    grow(begun, subject, audit.control_meter, look, audit.measures, audit.perturbation)
    return begun


def _controlled(sampled: Sampled, control: Control) -> Subject:
    return replace(sampled.audit.subject.by(control, control.__name__), alone=False)


def _of_honest_ones(sampled: Sampled, look: Look, suspected: tuple[Suspicion, ...]) -> tuple[Finding, ...]:
    found, notes = asked(lambda control: _of_one(sampled, look, suspected, control))
    sampled.notes += [note for note in notes if note not in sampled.notes]
    return found


def _of_one(
    sampled: Sampled, look: Look, suspected: tuple[Suspicion, ...], control: Control
) -> tuple[Finding, ...]:
    """Its sample grows beyond the explainer's where it has to: it is made once for all explainers of a run."""
    audit, subject = sampled.audit, _controlled(sampled, control)
    found: tuple[Finding, ...] = ()
    begun = _surveyed(sampled, subject)
    for larger in _from(audit, look):
        grow(begun, subject, audit.control_meter, larger, audit.measures, audit.perturbation)
        found, settled = _doubts(audit, begun, larger, called(control))
        if settled:
            break
    if constant := gates.usable_findings(begun, chunks_for(begun, look.images)):
        return (gates.no_control(f"for {called(control)}, {constant[0].sentence}"),)
    if suspected and audit.suspicions(begun, look, ALPHA_FAIL):
        sentence = f"the same finding holds for {called(control)}: {suspected[0].finding.sentence}"
        return (gates.no_control(sentence),)
    return found


def _from(audit: Audit, look: Look) -> tuple[Look, ...]:
    return tuple(one for one in audit.looks() if (one.images, one.draws) >= (look.images, look.draws))


def _doubts(audit: Audit, begun: Survey, look: Look, name: str) -> tuple[tuple[Finding, ...], bool]:
    """The findings against a control, and whether they are final."""
    found = samples(begun, audit.measures, chunks_for(begun, look.images), look.draws, audit.reduced)
    limits = Thresholds(audit.thresholds[0], audit.thresholds[0])
    stages = judged(found, audit.judging, limits, ALPHA_FAIL, ALPHA_PASS)
    outcomes = {stage.outcome for stage in stages}
    if outcomes == {"pass"}:
        return (), True
    worst = max(stages, key=lambda stage: stage.upper, default=None)
    what = (
        f"retains {worst.statistic:.2f} (upper bound {worst.upper:.2f}) when {worst.sentence}"
        if worst
        else "is constant"
    )
    return (gates.no_control(f"even {name}, which should pass, {what}"),), "fail" in outcomes


def _surveyed(sampled: Sampled, subject: Subject) -> Survey:
    audit = sampled.audit
    key = (*fingerprint(subject), subject.name, audit.measures, len(sampled.begun.chunks[0]))
    found = _SURVEYS.get(key)
    if found is None:
        begun = survey(subject, examine(subject, audit.control_meter), absolute=True)
        found = _SURVEYS.keep(key, begun)
    sampled.control = found if subject.explainer is gradient else None
    return found
