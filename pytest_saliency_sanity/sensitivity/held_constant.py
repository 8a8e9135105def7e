"""What is held constant when maps of one sign are compared: the size of the input, and of the last feature map.

A map that is multiplied by the input (input × gradient), or that weighs feature maps (class activation maps), has a
factor that no re-initialization of upper layers changes. Without signs this factor alone keeps half of the ranks and
more. Held constant, what is left of honest maps is what is left of the plain gradient without its signs, while edges
that were added to a map stay (`python -m tests.calibration.one_sided`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.sharing import found_once
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.explainers.cam import mean_activation
from pytest_saliency_sanity.layout import channels_first
from pytest_saliency_sanity.statistics import few, rank

_BACKGROUND = 0.1  # share of a channel's values from which its most frequent one is a background


@dataclass(frozen=True)
class HeldConstant:
    """Of the images of a chunk, for one input of the model.

    Attributes:
        everything: (n, q, P) over `few` pixels the ranks of the input's size, of its distance from the background, and
            of the features.
        values: (n, q, P) the values behind these ranks, less their mean, scaled to length 1.
        features: whether the last of them are the features: the mean absolute activation of the last feature map.
    """

    everything: Tensor
    values: Tensor
    features: bool


def held_constant(
    subject: Subject, meter: Meter, index: Tensor, maps: Maps
) -> tuple[HeldConstant | None, ...]:
    """For each input of the model what has the shape of its maps (n, *S); None where nothing has.

    In an `audit` once for all explainers whose maps have these shapes.
    """
    shapes = tuple(part.shape for part in maps)
    key = "held constant", tuple(index.tolist()), shapes
    return found_once(subject.known, key, lambda: _all_held(subject, meter, index, shapes))


def _all_held(
    subject: Subject, meter: Meter, index: Tensor, shapes: tuple[torch.Size, ...]
) -> tuple[HeldConstant | None, ...]:
    features = _features(subject, meter, index) if len(shapes) == 1 else None
    return tuple(
        _held(shape, channels_first(images, subject.channel_axis), features)
        for shape, images in zip(shapes, subject.explained_at(index), strict=True)
    )


def _held(shape: torch.Size, images: Tensor, features: Tensor | None) -> HeldConstant | None:
    sizes = [made for made in _sizes(images.detach()) if made.shape == shape]
    if features is not None and features.shape != shape:
        features = None
    known = [rank(few(one)) for one in (*sizes, *([] if features is None else [features]))]
    if not known:
        return None
    ranks, values = (torch.stack([getattr(one, kind) for one in known], 1) for kind in ("ranks", "linear"))
    return HeldConstant(ranks, values, features is not None)


def _sizes(images: Tensor) -> list[Tensor]:
    """Of images (n, C, *S) the absolute values, and the distances from the background, summed over channels."""
    if images.ndim < 3:
        return [images.abs()]
    channels = images.movedim(1, 0).flatten(1)
    common = channels.mode(1).values
    share = (channels == common[:, None]).to(torch.float32).mean(1)
    from_background = (images - common.view(1, -1, *[1] * (images.ndim - 2))).abs().sum(1)
    size = images.abs().sum(1)
    return [size, from_background] if bool((share >= _BACKGROUND).all()) and common.any() else [size]


def _features(subject: Subject, meter: Meter, index: Tensor) -> Tensor | None:
    """(n, *S) the mean activation of the last feature map; None where there is none that can be found."""
    known = replace(subject.by(mean_activation, mean_activation.__name__), alone=False)
    try:
        (found,) = explain(known, meter, index, stream_of(subject.seed, "images", 0))
    except Stopped:
        return None
    return found
