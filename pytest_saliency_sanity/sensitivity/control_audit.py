"""A look counts only if the control explainers pass or fail as they must, on this model and these images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_saliency_sanity.audited.observation import unobserved
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.first_maps import glance
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.control_surveys import ControlSurveys, fingerprint
from pytest_saliency_sanity.sensitivity.growth import grow, samples
from pytest_saliency_sanity.sensitivity.honest_controls import Control, asked, called
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure, Thresholds, ends, judged
from pytest_saliency_sanity.sensitivity.own_control import is_its_own
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, Controls, Sampled
from pytest_saliency_sanity.sensitivity.shared_surveys import first_maps, grown, shared_name
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
    sampled.control = begun if control is gradient else None
    _grow(audit, subject, begun, look, audit.measures)
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
    """A control that passes on the first look needs no more; else it grows, beyond the explainer's sample if it must.

    It is measured at both ends of what is judged: what lies between them keeps no more than the shallowest does.

    It is made once for all explainers of a run.
    """
    audit, subject = sampled.audit, _controlled(sampled, control)
    own = _SURVEYS.get(_key(sampled, subject)) is None and is_its_own(sampled, subject)
    begun = sampled.begun if own else _surveyed(sampled, subject)
    sampled.control = begun if control is gradient else None
    found: tuple[Finding, ...] = ()
    for one in (look,) if own else audit.looks():
        found, settled = _looked_at(audit, subject, begun, one, control)
        if settled == "pass" or (settled == "fail" and _as_large(one, look)):
            break
    if constant := gates.usable_findings(begun, chunks_for(begun, look.images)):
        return (gates.no_control(f"for {called(control)}, {constant[0].sentence}"),)
    if suspected and _suspicious(audit, subject, begun, look):
        sentence = f"the same finding holds for {called(control)}: {suspected[0].finding.sentence}"
        return (gates.no_control(sentence),)
    return found


def _looked_at(
    audit: Audit, subject: Subject, begun: Survey, look: Look, control: Control
) -> tuple[tuple[Finding, ...], str]:
    _grow(audit, subject, begun, look, ends(audit.measures))
    return _doubts(audit, begun, look, called(control))


def _suspicious(audit: Audit, subject: Subject, begun: Survey, look: Look) -> bool:
    _grow(audit, subject, begun, look, audit.judging)
    return bool(audit.suspicions(begun, look, ALPHA_FAIL))


def _grow(audit: Audit, subject: Subject, begun: Survey, look: Look, measures: Sequence[Measure]) -> None:
    """By what another process of the run has made; the rest here."""
    meter = audit.control_meter

    def rest() -> None:
        grow(begun, subject, meter, look, measures, audit.perturbation)

    grown(begun, look, measures, subject, meter, rest)


def _as_large(one: Look, look: Look) -> bool:
    return (one.images, one.draws) >= (look.images, look.draws)


def _doubts(audit: Audit, begun: Survey, look: Look, name: str) -> tuple[tuple[Finding, ...], str]:
    """The findings against a control, and whether it passes or fails for sure; "" for neither."""
    found = samples(begun, ends(audit.measures), chunks_for(begun, look.images), look.draws, audit.reduced)
    limits = Thresholds(audit.thresholds[0], audit.thresholds[0])
    stages = judged(found, ends(audit.measures), limits, ALPHA_FAIL, ALPHA_PASS)
    outcomes = {stage.outcome for stage in stages}
    if outcomes == {"pass"}:
        return (), "pass"
    worst = max(stages, key=lambda stage: stage.upper, default=None)
    what = (
        f"retains {worst.statistic:.2f} (upper bound {worst.upper:.2f}) when {worst.sentence}"
        if worst
        else "is constant"
    )
    doubt = gates.no_control(f"even {name}, which should pass, {what}")
    return (doubt,), "fail" if "fail" in outcomes else ""


def _surveyed(sampled: Sampled, subject: Subject) -> Survey:
    key = _key(sampled, subject)
    found = _SURVEYS.get(key)
    if found is None:
        found = _SURVEYS.keep(key, _begun(sampled, subject))
    return found


def _begun(sampled: Sampled, subject: Subject) -> Survey:
    meter = sampled.audit.control_meter
    name = shared_name(subject, repr(_asked(sampled)))
    first = first_maps(subject, name, meter, lambda: glance(subject, meter))
    return survey(subject, first, absolute=True, shared=name)


def _key(sampled: Sampled, subject: Subject) -> tuple[Any, ...]:
    return (*fingerprint(subject), subject.name, *_asked(sampled))


def _asked(sampled: Sampled) -> tuple[Any, ...]:
    return (*sampled.audit.asked, len(sampled.begun.chunks[0]))
