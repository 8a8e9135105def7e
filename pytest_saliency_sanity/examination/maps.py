"""What an explainer returned, read as maps: one for each image, finite, and without an axis of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.examination.meter import Breach, Stopped
from pytest_saliency_sanity.layout import axis_of
from pytest_saliency_sanity.outputs import unreadable
from pytest_saliency_sanity.verdict import Finding

CANCELLED = "gate.channels"
_ROUNDING = 4.0  # times eps and the root of the channels; BERT's gradients before its LayerNorm reach 1.6
_NOTHING = 0.05  # of the largest value, in a dtype that is coarser
Maps = tuple[Tensor, ...]  # for each input of the model (n, *S): summed over the channels, with their sign


def parts_of(returned: Any, count: int) -> tuple[Any, ...]:
    """What was returned, for each of `count` inputs of the model."""
    if isinstance(returned, (tuple, list)):
        if len(returned) == count:
            return tuple(returned)
        needed = "one tensor" if count == 1 else f"a map for each of the {count} inputs of the model"
        raise Breach(
            "contract.type", f"it returned a {type(returned).__name__} of {len(returned)}; {needed} is needed"
        )
    if count > 1:
        raise Breach(
            "contract.type",
            f"it returned one {type(returned).__name__} for the {count} inputs of the model; a map for each is "
            f"needed",
        )
    return (returned,)


def without_channels(returned: Any, image: Tensor, channel_axis: int | None, watch: bool) -> Tensor:
    """The maps of the images, on the CPU, summed over their channels; `watch` whether these cancel.

    From here on they are compared on the CPU: the one time that a map's device is waited for.
    """
    part = _as_maps(returned)
    if part.ndim == 0 or len(part) != len(image):
        raise Breach(
            "contract.count",
            f"it returned maps of shape {_shape(part)} for {len(image)} inputs; one map for each is needed",
        )
    axis = _channels_of(part, image, channel_axis)
    summed = axis is not None and part.ndim == image.ndim
    total = (part.sum(axis) if summed else part).cpu()
    _check_finite(part, total)
    if watch and summed:
        _check_sums(part, total, image.dtype)
    return total


def _check_sums(part: Tensor, total: Tensor, dtype: torch.dtype) -> None:
    """Stopped where the channels of all maps add up to 0, but for rounding in the model's `dtype`."""
    largest, channels = float(part.abs().max()), part.numel() / max(total.numel(), 1)
    rounding = min(_ROUNDING * torch.finfo(dtype).eps * channels**0.5, _NOTHING) * largest
    if channels < 2 or largest == 0 or float(total.abs().max()) > rounding:
        return
    sentence = (
        f"the channels of its maps sum to 0 everywhere (at most {float(total.abs().max()):.1e}, while single "
        f"values reach {largest:.1e}), as they do for a gradient taken before a LayerNorm; return maps whose "
        f"channels are combined in another way, such as (gradient * inputs).sum(-1) or gradient.norm(dim=-1)"
    )
    raise Stopped(Finding(CANCELLED, "inconclusive", sentence))


def _channels_of(part: Tensor, image: Tensor, channel_axis: int | None) -> int | None:
    """The axis of the image that is none of the map's; None where the image has no axis of channels.

    Inputs of three dimensions may be signals (N, C, L) or embeddings (N, L, D) if the user has not said which: a
    map of their full shape is that of signals, one that has lost an axis tells which.
    """
    unsaid = channel_axis is None and image.ndim == 3
    axes = (1, 2) if unsaid else (axis_of(image, channel_axis),)
    fitting = [axis for axis in axes if tuple(part.shape) in _choices(image, axis)]
    if not fitting:
        choices = ", ".join(str(shape) for shape in _choices(image, axes[0]))
        raise Breach(
            "contract.shape",
            f"it returned maps of shape {_shape(part)} for inputs of shape {_shape(image)}; the shape must be one of "
            f"{choices}",
        )
    if len(fitting) > 1 and part.shape != image.shape:
        sentence = (
            f"it returned maps of shape {_shape(part)} for inputs of shape {_shape(image)}, which may be signals (N, "
            f"C, L) or embeddings (N, L, D); pass channel_axis=1 for signals, channel_axis=-1 for embeddings"
        )
        raise Stopped(Finding("gate.channel_axis", "inconclusive", sentence))
    return fitting[0] if image.ndim > 2 else None


def _choices(image: Tensor, axis: int) -> tuple[tuple[int, ...], ...]:
    """The shapes that a map may have where the channels are on `axis`."""
    whole = tuple(image.shape)
    if image.ndim < 3:
        return (whole,)
    without = (*whole[:axis], *whole[axis + 1 :])
    return tuple(dict.fromkeys((whole, (*whole[:axis], 1, *whole[axis + 1 :]), without)))


def _as_maps(returned: Any) -> Tensor:
    if isinstance(returned, np.ma.MaskedArray) and (hidden := int(np.ma.getmaskarray(returned).sum())):
        raise Breach(
            "contract.finite",
            f"it returned a masked array with {hidden} of {returned.size} values masked; return .filled(0)",
        )
    if isinstance(returned, Tensor) and returned.is_floating_point() and returned.element_size() == 1:
        returned = returned.float()  # float8
    if isinstance(returned, Tensor) and (reason := unreadable(returned)):
        raise Breach("contract.type", f"it returned a tensor that is {reason}")
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "fiub":
        # torch takes native bytes and widths only; nothing is copied where it would have taken the array itself
        single = returned.dtype.kind == "f" and returned.dtype.itemsize <= 4
        returned = torch.from_numpy(np.ascontiguousarray(returned, np.float32 if single else np.float64))
    if not isinstance(returned, Tensor) or returned.is_complex():
        kind = returned.dtype if isinstance(returned, (Tensor, np.ndarray)) else type(returned).__name__
        raise Breach("contract.type", f"it returned {kind}; a tensor or an array of real numbers is needed")
    part = returned.detach()
    return part if part.dtype in (torch.float32, torch.float64) else part.float()


def _check_finite(part: Tensor, total: Tensor) -> None:
    if total.sum().isfinite():  # ten times cheaper than a look at each value; an overflow takes the look
        return
    broken = ~part.isfinite().flatten(1).all(1)
    if broken.any():
        kind = "NaN" if part.isnan().any() else "infinite values"
        raise Breach("contract.finite", f"it returned {kind} in {int(broken.sum())} of {len(part)} maps")


def _shape(part: Tensor) -> str:
    return str(tuple(part.shape))
