"""What a sensitivity check would take: its explainer, its copies of the model, its controls, up to a pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.subject import Subject, held
from pytest_saliency_sanity.examination.first_maps import first_batch
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.examination.planning import first_calls, is_planned, plan_instead, troubled
from pytest_saliency_sanity.examination.trial import Calls, Trial, in_chunks, of_sizes, seconds_of, tried
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.plan import Plan, Planned
from pytest_saliency_sanity.sensitivity.control_surveys import fingerprint
from pytest_saliency_sanity.sensitivity.growth import SHOWN_DRAWS
from pytest_saliency_sanity.sensitivity.held_constant import held_constant
from pytest_saliency_sanity.sensitivity.interim_analyses import ends
from pytest_saliency_sanity.sensitivity.own_control import IMAGES, are_equal, ranked
from pytest_saliency_sanity.sensitivity.survey import Survey, cell_of, original_of
from pytest_saliency_sanity.statistics import is_one_sided

if TYPE_CHECKING:
    from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure
    from pytest_saliency_sanity.sensitivity.permuted_labels import Comparison
    from pytest_saliency_sanity.sensitivity.sequential_audit import Audit


@dataclass(frozen=True)
class _Work:
    """What is done in all.

    Attributes:
        calls: of the explainer.
        perturbations: how often the model is perturbed at all depths, one after the other.
        comparisons: of a chunk's maps with the original ones.
    """

    calls: Calls = field(default_factory=Calls)
    perturbations: int = 0
    comparisons: int = 0

    def __add__(self, other: _Work) -> _Work:
        return _Work(
            self.calls + other.calls,
            self.perturbations + other.perturbations,
            self.comparisons + other.comparisons,
        )

    def __sub__(self, other: _Work) -> _Work:
        return self + _Work(
            Calls(-other.calls.calls, -other.calls.images), -other.perturbations, -other.comparisons
        )


@dataclass(frozen=True)
class _Prices:
    """Seconds of one perturbation at all depths, and of one comparison."""

    perturbation: float
    comparison: float

    def seconds(self, work: _Work, trial: Trial) -> float:
        return (
            trial.seconds(work.calls)
            + work.perturbations * self.perturbation
            + work.comparisons * self.comparison
        )


def plan_audit_instead(audit: Audit, check: str, negates: bool) -> None:
    """Where checks only plan: end this one with its plan.

    Args:
        negates: whether the first images are explained once more, on the model with its head negated.

    Raises:
        Planned: where checks only plan.
    """
    if not is_planned():
        return
    if duplicate_findings(audit.subject):
        plan_instead(check, audit.subject, audit.began, settled=True)
    raise Planned(_plan(audit, check, negates))


def _plan(audit: Audit, check: str, negates: bool) -> Plan:
    subject, prepared = audit.subject, time.monotonic() - audit.began
    try:
        trial = tried(subject)
        prices = _Prices(_perturbing(audit), _comparing(subject, trial))
    except Stopped as stopped:
        return troubled(check, subject, stopped)
    work = _Work(first_calls(subject, trial)) + _sample(audit, trial)
    if negates:
        work += _Work(in_chunks(first_batch(subject.images)), comparisons=1)
    controls, control_seconds = _controls(audit, trial, prices)
    return Plan(
        check,
        subject.name,
        subject.model_name,
        explanations=work.calls.images,
        controls=controls,
        seconds=prepared + prices.seconds(work, trial) + control_seconds,
        memory=trial.memory,
    )


def _sample(audit: Audit, trial: Trial) -> _Work:
    """Up to the first look that may pass; the first chunk's originals are there already."""
    looks, passing = audit.looks(), _passing(audit)
    earlier = sum(look.draws for look in looks[: looks.index(passing)])
    originals = in_chunks(max(_held(audit, passing) - first_batch(audit.subject.images), 0))
    return _grown(audit, passing) + _Work(originals, perturbations=earlier)


def _controls(audit: Audit, trial: Trial, prices: _Prices) -> tuple[int, float]:
    """(maps, seconds) of the plain gradient, which passes on the first look; none that a check before has made."""
    planning = settings.current().planning
    subject = replace(audit.subject.by(gradient, gradient.__name__), alone=False)
    key = (*fingerprint(subject), *audit.asked)
    if planning is None:
        return 0, 0.0
    try:
        control = trial if subject.explainer is audit.subject.explainer else tried(subject)
    except Stopped:
        return 0, 0.0
    known = ("first maps", key) in planning.made
    own = not known and _is_control(trial.maps, control.maps)
    work = _Work() if known else _compared(audit, trial, own)
    for name, part in {} if own else _shares(audit, trial).items():
        if planning.is_first((name, key)):
            work += part
    if not work.calls.images:
        return 0, 0.0
    prices = replace(prices, comparison=_comparing(subject, control, absolute=True))
    return work.calls.images, prices.seconds(work, control)


def _compared(audit: Audit, trial: Trial, own: bool) -> _Work:
    """What tells whether the explainer is the control: two images; if so, one also at each end of the first draw."""
    if all(map(is_one_sided, trial.maps)) or audit.subject.batch_effect:
        return _Work()
    both, copies = of_sizes(min(IMAGES, audit.subject.images)), len(ends(audit.measures))
    return _Work(both) + (_Work(of_sizes(1) * copies, 1, copies) if own else _Work())


def _shares(audit: Audit, trial: Trial) -> dict[str, _Work]:
    """What is asked of the control, in parts that checks share.

    The first look, at both ends of what is judged. Of maps of one sign the look at which they may pass, for the line
    by which they pass is that of the control.
    """
    n, looks = first_batch(audit.subject.images), audit.looks()
    first = _grown(audit, looks[0], ends(audit.measures))
    parts = {"first maps": _Work(of_sizes(n, min(2, n))), "first look": first}
    if all(map(is_one_sided, trial.maps)) and not trial.random:
        passing = _held(audit, _passing(audit))
        chunks = in_chunks(passing)
        parts["features"] = _Work(chunks)
        if any(measure.blocks for measure in audit.measures):
            whole = _grown(audit, _passing(audit)) + _Work(in_chunks(max(passing - n, 0)))
            parts["passing look"] = whole - first
    return parts


def _grown(audit: Audit, look: Look, measures: Sequence[Measure] | None = None) -> _Work:
    """The cells of a look: what is only shown is measured on the first chunk, a few draws.

    Args:
        measures: None means all.
    """
    measures = audit.measures if measures is None else measures
    images, judging = _held(audit, look), sum(measure.judged for measure in measures)
    chunks, shown = in_chunks(images), len(measures) - judging
    judged, few = judging * look.draws, shown * min(look.draws, SHOWN_DRAWS)
    calls = chunks * judged + of_sizes(first_batch(images)) * few
    return _Work(calls, look.draws, chunks.calls * judged + few)


def _held(audit: Audit, look: Look) -> int:
    """How many images the chunks of a look hold: one more where that one would be left alone."""
    whole = audit.subject.images
    return whole if whole == look.images + 1 else look.images


def _passing(audit: Audit) -> Look:
    return next(look for look in audit.looks() if look.may_pass)


def _is_control(maps: Maps, others: Maps) -> bool:
    return not all(map(is_one_sided, maps)) and are_equal(ranked(maps), ranked(others))


def _perturbing(audit: Audit) -> float:
    """Seconds of a draw: the model at every depth, one after the other, and given back. No draw that is examined."""

    def perturb() -> None:
        last = min(1, (audit.most_draws or 2) - 1)
        with audit.perturbation(audit.subject, audit.measures, last) as perturbed:
            for _ in perturbed:
                pass

    return seconds_of(perturb)


def _comparing(subject: Subject, trial: Trial, absolute: bool = False) -> float:
    """Seconds that it takes to rank the maps of a chunk and to compare them with the original ones."""
    index = torch.arange(first_batch(subject.images))
    one_sided = all(map(is_one_sided, trial.maps))
    hold = partial(held_constant, subject, Meter()) if one_sided and not trial.random else None
    begun = Survey((index,), one_sided, False, hold=hold, absolute=absolute)
    made = tuple(_drawn(part, len(index), one_sided) for part in trial.maps)
    with preserved(subject.model, subject.snapshot):
        original = original_of(begun, index, made, np.ones(len(index)))
    return seconds_of(lambda: cell_of(begun, original, made))


def _drawn(part: Tensor, images: int, one_sided: bool) -> Tensor:
    """Maps of this shape without any sense."""
    drawn = torch.randn(images, *part.shape[1:], generator=torch.Generator().manual_seed(0))
    return (drawn.clamp_min(0) if one_sided else drawn).to(part)


def plan_comparison(comparison: Comparison, missing: int) -> Plan:
    """Of networks of true and permuted labels, of which so many are trained first.

    Args:
        comparison: of which the explainer is tried on the first network, trained or not.
    """
    subject, began = comparison.subject, time.monotonic()
    with held(subject) as kept:
        try:
            trial = tried(kept)
            comparing = _comparing(kept, trial)
        except Stopped as stopped:
            return troubled("data_sensitivity", subject, stopped)
    work = _of_networks(subject, trial, len(comparison.networks))
    prepared = began - comparison.began
    return Plan(
        "data_sensitivity",
        subject.name,
        subject.model_name,
        explanations=work.calls.images,
        networks=missing,
        seconds=prepared + _Prices(0.0, comparing).seconds(work, trial),
        memory=trial.memory,
    )


def _of_networks(subject: Subject, trial: Trial, networks: int) -> _Work:
    """The maps of all images on each network, compared pair by pair and both ways; the first ones are there already."""
    whole, n = in_chunks(subject.images), first_batch(subject.images)
    calls = first_calls(subject, trial) + whole * (networks - 1) + in_chunks(max(subject.images - n, 0))
    return _Work(calls, comparisons=whole.calls * networks * (networks - 1))
