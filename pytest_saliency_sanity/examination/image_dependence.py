"""Whether there are images to tell apart, and whether an explainer's maps tell them apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain_for
from pytest_saliency_sanity.examination.maps import CANCELLED, Maps
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.layout import axis_of, current_channel_axis
from pytest_saliency_sanity.outputs import Inputs
from pytest_saliency_sanity.statistics import is_one_sided, matched_similarity, rank
from pytest_saliency_sanity.verdict import Finding

SAME = 0.98  # correlation of maps of different images from which they are the same map; honest ones stay below .94
GRADIENTS = 0.95  # that of the plain gradient's maps from which the model is to blame


def duplicate_findings(subject: Subject) -> tuple[Finding, ...]:
    """Inconclusive when there is but one image, however often."""
    if subject.different > 1:
        return ()
    sentence = (
        f"{subject.images} images were given, but they all count as {subject.different}: identical and "
        f"nearly identical images count once; at least 2 are needed, 16 are better"
    )
    return (Finding("gate.images", "inconclusive", sentence),)


def shared_by_images(
    audited: Subject, meter: Meter, index: Tensor, stream: int, maps: Maps | None = None
) -> float | None:
    """How alike the maps of different images are, for the same target, at the same place, on the same random stream.

    At each place of the batch the next image is explained for the target of the one before. A map that is made of the
    weights, the target, the place or the stream alone stays.

    Args:
        index: the images of the batch, at least two.
        maps: of the images in this order, where they are known.

    Returns:
        The mean absolute correlation, by ranks or by values, whichever is larger; None where fewer than two pairs of
        maps are not constant.
    """
    rows = audited.targets[index.to(audited.targets.device)]
    before = explain_for(audited, meter, index, rows, stream) if maps is None else maps
    after = explain_for(audited, meter, index.roll(-1), rows, stream)
    found = [_correlations(a, b) for a, b in zip(before, after, strict=True)]
    usable = torch.stack([~constant for constant, _ in found]).any(0)
    if usable.sum() < 2:
        return None
    alike = torch.stack([torch.where(constant, 0, value) for constant, value in found]).sum(0)
    counted = torch.stack([~constant for constant, _ in found]).sum(0)
    return float((alike[usable] / counted[usable]).mean())


def same_findings(shared: float | None, gradients: float | None) -> tuple[Finding, ...]:
    """A fail for maps that are the same for every image, unless the plain gradient's are nearly so too.

    Args:
        shared, gradients: by the explainer and by the plain gradient; None means unknown.
    """
    if shared is None or shared < SAME or (gradients is not None and gradients >= GRADIENTS):
        return ()
    sentence = (
        f"draws the same map for every image: another image, explained for the same target at the same position "
        f"in the batch, gets a map with a correlation of {shared:.2f}"
    )
    return (Finding("input_independent", "fail", sentence),)


def linear_note(shared: float | None, gradients: float | None) -> tuple[str, ...]:
    """The note that excuses maps that are the same for every image."""
    if shared is None or shared < SAME or same_findings(shared, gradients):
        return ()
    return (
        f"its maps are nearly the same for every image (correlation {shared:.2f}), and so are the plain gradient's "
        f"({gradients:.2f}): for a fixed target, this model is nearly linear on these images",
    )


def gradients_share(audited: Subject, deadline: float, index: Tensor, stream: int) -> float | None:
    """`shared_by_images` of the plain gradient; None where it cannot be taken.

    Before a LayerNorm its channels add up to nothing but rounding, which says nothing of the model; then each channel
    is given a sign of its own before they are added. Of embeddings (N, L, D) the larger of the two counts: a token
    that rules all maps, as the first one of BERT, may be lost in the sum over D.
    """
    meter, known = Meter(deadline), []
    for control in (gradient, signed_gradient):
        plain = audited.by(control, "gradient")
        try:
            rows = plain.targets[index.to(plain.targets.device)]
            maps = explain_for(plain, meter, index, rows, stream, watch_inputs=True)
            known.append(shared_by_images(plain, meter, index, stream, maps))
        except Stopped as stopped:
            if stopped.finding.reason != CANCELLED:
                return None
        if known and audited.channel_axis in (None, 1):
            break
    return max((one for one in known if one is not None), default=None)


def signed_gradient(model: Any, inputs: Inputs, targets: Tensor) -> Inputs:
    """The plain gradient, the values of every channel multiplied by 1 or -1, at random but always the same."""
    maps = gradient(model, inputs, targets)
    if not isinstance(maps, Tensor):
        return tuple(_with_signs(part) for part in maps)
    return _with_signs(maps)


def _with_signs(part: Tensor) -> Tensor:
    axis = axis_of(part, current_channel_axis())
    channels = part.shape[axis]
    signs = torch.randint(2, (channels,), generator=torch.Generator().manual_seed(channels)) * 2 - 1
    shape = [1] * part.ndim
    shape[axis] = channels
    return part * signs.to(part).view(shape)


def _correlations(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) whether either map is constant, and (n,) the absolute correlation of the two.

    Maps of one sign are compared where either leaves its floor: a background that all images share is no likeness.
    """
    one_sided = is_one_sided(before)
    a, b = (rank(part, one_sided=one_sided) for part in (before, after))
    within = torch.ones_like(a.ranks, dtype=torch.bool)
    if a.floor is not None and b.floor is not None:
        within = ~(a.floor & b.floor)
    found = matched_similarity(a, b), _by_values(a.linear, b.linear, within)
    # Two marks at different places are opposites over their union; a map of one sign has no opposite.
    alike = torch.maximum(*(one.clamp_min(0) if one_sided else one.abs() for one in found))
    return a.constant | b.constant, alike.double()


def _by_values(left: Tensor, right: Tensor, within: Tensor) -> Tensor:
    """(n,) Pearson's correlation of rows (n, P) over the places `within`; 0 where it is undefined."""
    count = within.sum(1, keepdim=True).clamp_min(1)
    a, b = ((part - (part * within).sum(1, keepdim=True) / count).double() * within for part in (left, right))
    norm = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(norm > 0, (a * b).sum(1) / norm.clamp_min(torch.finfo(norm.dtype).tiny), 0.0)
