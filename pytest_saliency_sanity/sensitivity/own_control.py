"""Whether an explainer is the plain gradient itself, and so its own control: told by two images, on three networks."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.sensitivity.comparisons import RANK, mean_over_inputs
from pytest_saliency_sanity.sensitivity.interim_analyses import ends
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, Sampled
from pytest_saliency_sanity.statistics import Ranks, matched_similarity, rank

IMAGES = 2
_EQUAL = 0.999  # rank correlation from which maps are equal, but for rounding


def is_its_own(sampled: Sampled, control: Subject) -> bool:
    """Whether the maps of two images are those of the control, on the model, and one of each on its first copies.

    What is compared of a copy is how much of a map is left there: of the first image's at the shallowest judged
    measure, of the second's at the deepest.

    Raises:
        Breach, Refusal: as `explain`, where the control cannot be computed.
    """
    audit = sampled.audit
    if sampled.begun.one_sided or audit.subject.batch_effect:
        return False
    with preserved(control.model, control.snapshot):
        original = _explained(audit, control, range(IMAGES), None)
    own = tuple(part[:IMAGES] for part in sampled.first.maps)
    return are_equal(ranked(own), ranked(original)) and _left_alike(sampled, control, original)


def ranked(maps: Maps) -> tuple[Ranks, ...]:
    """The maps of each input of the model, with their signs."""
    return tuple(map(rank, maps))


def are_equal(one: tuple[Ranks, ...], other: tuple[Ranks, ...]) -> bool:
    """Whether all maps are equal, but for rounding."""
    if [part.ranks.shape for part in one] != [part.ranks.shape for part in other]:
        return False
    pairs = zip(one, other, strict=True)
    return all(float(matched_similarity(a, b).min()) > _EQUAL for a, b in pairs)


def _left_alike(sampled: Sampled, control: Subject, original: Maps) -> bool:
    """Whether as much is left of the control's map on each copy as of the explainer's."""
    audit = sampled.audit
    with audit.perturbation(control, ends(audit.measures), 0) as perturbed:
        for image, (measure, targets) in enumerate(perturbed):
            before = tuple(part[image : image + 1] for part in original)
            after = _explained(audit, control, range(image, image + 1), targets)
            pairs = zip(ranked(before), ranked(after), strict=True)
            left = mean_over_inputs(matched_similarity(a, b) for a, b in pairs).item()
            explained = sampled.begun.cells[measure.name, 0, 0].similarities[RANK][0]
            if abs(left - float(explained[image])) >= 1 - _EQUAL:
                return False
    return True


def _explained(audit: Audit, control: Subject, images: range, targets: Tensor | None) -> Maps:
    stream = stream_of(control.seed, "images", 0)
    return explain(control, audit.control_meter, torch.tensor(images), stream, targets)
