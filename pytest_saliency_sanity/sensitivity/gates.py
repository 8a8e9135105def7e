"""Conditions under which a verdict means something: accuracy, working copies, controls, repeatability."""

from __future__ import annotations

import torch

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.liveness import USABLE
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.explainers.inputs import tensors
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.sensitivity.survey import Sample, Survey
from pytest_saliency_sanity.statistics import mismatched_similarity, rank
from pytest_saliency_sanity.verdict import Finding

SAME_FOR_ALL = 0.1  # N - X at or below this: the map does not depend on the image
REPEATABLE = 0.2  # N - X below this, for an explainer that cannot be replayed: nothing can be seen
MOSTLY_CONSTANT = 0.75  # share of constant maps on re-initialized networks above which nothing can be seen
_EDGES_ON = 8  # images that Sobel is tried on


def image_findings(sample: Sample, begun: Survey) -> tuple[Finding, ...]:
    """Of the shallowest depth: a map that is the same for every image, or one that cannot be repeated."""
    scale = float((sample.repeated[:, None] - sample.mismatched).mean())
    if begun.replay and scale < REPEATABLE:
        sentence = (
            f"two runs of it agree by only {float(sample.repeated.mean()):.2f}, and they cannot be replayed, "
            f"because it draws from a random generator of its own; let it draw from torch's global generator, or "
            f"raise its number of samples"
        )
        return (Finding("gate.repeatability", "inconclusive", sentence),)
    if not begun.replay and scale <= SAME_FOR_ALL:
        sentence = (
            f"depends on neither image nor model: its map of an image has a rank correlation of "
            f"{float(sample.mismatched.mean()):.2f} with its maps of other images on re-initialized models"
        )
        return (Finding("input_independent", "fail", sentence),)
    return ()


def usable_findings(begun: Survey, chunks: int) -> tuple[Finding, ...]:
    """Inconclusive when fewer than two, or less than a quarter, of the maps are not constant.

    GradCAM honestly returns zero for an image whose weighted channels are all negative; such images are left out.
    """
    constant = sum(int(original.constant.sum()) for original in begun.originals[:chunks])
    total = sum(len(original.constant) for original in begun.originals[:chunks])
    if total - constant >= max(2, total * USABLE):
        return ()
    sentence = (
        f"{constant} of its {total} maps on the trained model are constant; too few are left to compare"
    )
    return (Finding("gate.constant_maps", "inconclusive", sentence),)


def copies_findings(begun: Survey, depths: list[str]) -> tuple[Finding, ...]:
    """Inconclusive when nearly all maps of the re-initialized networks are constant."""
    for depth in depths:
        share = begun.constant_share(depth)
        if share > MOSTLY_CONSTANT:
            sentence = (
                f"{share:.0%} of its maps are constant on the networks re-initialized at depth {depth!r}; "
                f"a constant map cannot show what survives"
            )
            return (Finding("gate.constant_copies", "inconclusive", sentence),)
    return ()


def edge_findings(subject: Subject) -> tuple[Finding, ...]:
    """Sobel's maps do not use the model, so T = N = 1: they fail wherever images differ in their edges (X below 1)."""
    if subject.explained[0].ndim < 3:
        return ()
    index = torch.arange(min(_EDGES_ON, subject.images))
    images = subject.explained_at(index)[0]
    targets = subject.targets[index.to(subject.targets.device)]
    with using_channel_axis(subject.channel_axis):
        (filtered,) = tensors(controls.sobel(subject.model, images, targets))
        edges = rank(filtered.flatten(1))
    shared = float(mismatched_similarity(edges, edges).mean())
    if edges.constant.all() or 1 - shared <= SAME_FOR_ALL:
        return (
            no_control(
                f"even Sobel's edges cannot tell the images apart (rank correlation {shared:.2f} between "
                f"different images)"
            ),
        )
    return ()


def no_control(what: str) -> Finding:
    """The finding that a control explainer has not done what it has to."""
    return Finding(
        "gate.controls",
        "inconclusive",
        f"{what}; with this model and these images, it cannot be shown whether an explainer depends on the model",
    )
