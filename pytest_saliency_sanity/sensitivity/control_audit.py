"""A look counts only if the control explainers pass or fail as they must, on this model and these images."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from pytest_saliency_sanity.audited.observation import unobserved
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.first_maps import glance
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity import gates
from pytest_saliency_sanity.sensitivity.comparisons import RANK
from pytest_saliency_sanity.sensitivity.control_surveys import ControlSurveys, fingerprint
from pytest_saliency_sanity.sensitivity.growth import grow, samples
from pytest_saliency_sanity.sensitivity.honest_controls import Control, asked, called
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Thresholds, judged
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, Controls, Sampled
from pytest_saliency_sanity.sensitivity.survey import Cell, Survey, chunks_for, survey
from pytest_saliency_sanity.sensitivity.suspicions import Suspicion
from pytest_saliency_sanity.statistics import matched_similarity
from pytest_saliency_sanity.verdict import Finding

_SURVEYS = ControlSurveys()
_EQUAL = 0.999  # rank correlation from which maps are equal, but for rounding


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
    """A control that passes on the first look needs no more; else it grows, beyond the explainer's sample if it must.

    It is measured at what is judged.

    It is made once for all explainers of a run.
    """
    audit, subject = sampled.audit, _controlled(sampled, control)
    begun = _surveyed(sampled, subject)
    own = _is_its_own(sampled, subject, begun)
    begun = sampled.begun if own else begun
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
    grow(begun, subject, audit.control_meter, look, audit.judging, audit.perturbation)
    return _doubts(audit, begun, look, called(control))


def _suspicious(audit: Audit, subject: Subject, begun: Survey, look: Look) -> bool:
    grow(begun, subject, audit.control_meter, look, audit.judging, audit.perturbation)
    return bool(audit.suspicions(begun, look, ALPHA_FAIL))


def _as_large(one: Look, look: Look) -> bool:
    return (one.images, one.draws) >= (look.images, look.draws)


def _is_its_own(sampled: Sampled, subject: Subject, begun: Survey) -> bool:
    """Whether the explainer is the control: equal maps of the first images, and so on the first copies.

    What is compared of a copy is how much of each map is left there, at the shallowest and the deepest judged measure.
    """
    audit, theirs = sampled.audit, sampled.begun
    if theirs.one_sided or not _equal_originals(theirs, begun):
        return False
    ends = tuple(dict.fromkeys((audit.judging[0], audit.judging[-1])))
    first = Look(len(begun.chunks[0]), 1, False, ALPHA_FAIL, ALPHA_PASS)
    grow(begun, subject, audit.control_meter, first, ends, audit.perturbation)
    cells = [(measure.name, 0, 0) for measure in ends]
    return all(_equal_cells(theirs.cells[cell], begun.cells[cell]) for cell in cells)


def _equal_originals(one: Survey, other: Survey) -> bool:
    left, right = one.originals[0].ranks, other.originals[0].ranks
    pairs = zip(left, right, strict=True)
    return len(left) == len(right) and all(float(matched_similarity(a, b).min()) > _EQUAL for a, b in pairs)


def _equal_cells(one: Cell, other: Cell) -> bool:
    pairs = zip(one.similarities[RANK], other.similarities[RANK], strict=True)
    return all(np.abs(a - b).max() < 1 - _EQUAL for a, b in pairs)


def _doubts(audit: Audit, begun: Survey, look: Look, name: str) -> tuple[tuple[Finding, ...], str]:
    """The findings against a control, and whether it passes or fails for sure; "" for neither."""
    found = samples(begun, audit.judging, chunks_for(begun, look.images), look.draws, audit.reduced)
    limits = Thresholds(audit.thresholds[0], audit.thresholds[0])
    stages = judged(found, audit.judging, limits, ALPHA_FAIL, ALPHA_PASS)
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
    audit = sampled.audit
    key = (*fingerprint(subject), subject.name, audit.measures, len(sampled.begun.chunks[0]))
    found = _SURVEYS.get(key)
    if found is None:
        begun = survey(subject, glance(subject, audit.control_meter), absolute=True)
        found = _SURVEYS.keep(key, begun)
    sampled.control = found if subject.explainer is gradient else None
    return found
