"""Whether an explainer is the plain gradient itself, and so its own control: told by two images, on three networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.sensitivity.comparisons import RANK, by_rank
from pytest_saliency_sanity.sensitivity.interim_analyses import Measure, ends
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, Sampled
from pytest_saliency_sanity.statistics import Ranks, matched_similarity, rank

IMAGES = 2
_EQUAL = 0.999  # rank correlation from which maps are equal, but for rounding


def is_its_own(sampled: Sampled, control: Subject) -> bool:
    """Whether the maps of two images are those of the control, on the model and on its first copies.

    What is compared of a copy is how much of each map is left there, at the shallowest and the deepest judged measure.

    Raises:
        Breach, Refusal: as `explain`, where the control cannot be computed.
    """
    audit = sampled.audit
    if sampled.begun.one_sided or audit.subject.batch_effect:
        return False
    with preserved(control.model, control.snapshot):
        original = ranked(_explained(audit, control, None))
    own = ranked(tuple(part[:IMAGES] for part in sampled.first.maps))
    return are_equal(own, original) and all(
        np.abs(by_rank(original, copy)[0] - _left(sampled, measure)).max() < 1 - _EQUAL
        for measure, copy in _copies(audit, control)
    )


def ranked(maps: Maps) -> tuple[Ranks, ...]:
    """The maps of each input of the model, with their signs."""
    return tuple(map(rank, maps))


def are_equal(one: tuple[Ranks, ...], other: tuple[Ranks, ...]) -> bool:
    """Whether all maps are equal, but for rounding."""
    if [part.ranks.shape for part in one] != [part.ranks.shape for part in other]:
        return False
    pairs = zip(one, other, strict=True)
    return all(float(matched_similarity(a, b).min()) > _EQUAL for a, b in pairs)


def _copies(audit: Audit, control: Subject) -> list[tuple[Measure, tuple[Ranks, ...]]]:
    with audit.perturbation(control, ends(audit.measures), 0) as perturbed:
        return [(measure, ranked(_explained(audit, control, targets))) for measure, targets in perturbed]


def _explained(audit: Audit, control: Subject, targets: Tensor | None) -> Maps:
    stream = stream_of(control.seed, "images", 0)
    return explain(control, audit.control_meter, torch.arange(IMAGES), stream, targets)


def _left(sampled: Sampled, measure: Measure) -> np.ndarray:
    return sampled.begun.cells[measure.name, 0, 0].similarities[RANK][0][:IMAGES]
