"""Where the channels of inputs and maps are: (N, C, *S), unless `channel_axis` says otherwise, as in scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from torch import Tensor

from pytest_saliency_sanity.loans import Loan, holding
from pytest_saliency_sanity.text import shown

_axis: ContextVar[int | None] = ContextVar("saliency_channel_axis", default=None)


def using_channel_axis(axis: int | None) -> Loan[None]:
    """Within this context, the package's own explainers take inputs whose channels are on this axis; None is 1."""
    return holding(_axis, axis)


def current_channel_axis() -> int | None:
    """The axis that `using_channel_axis` has set here, or None."""
    return _axis.get()


def axis_of(part: Tensor, axis: int | None) -> int:
    """The axis of the channels of (N, …): 1 for None, and where there is no other."""
    return 1 if axis is None or part.ndim < 3 else axis % part.ndim


def space_of(part: Tensor, axis: int | None) -> tuple[int, ...]:
    """The sides S of a tensor (N, C, *S) whose channels are on `axis`."""
    channels = axis_of(part, axis)
    return tuple(side for place, side in enumerate(part.shape) if place not in (0, channels))


def channels_first(part: Tensor, axis: int | None) -> Tensor:
    """A view (N, C, *S) of a tensor whose channels are on `axis`."""
    return part if part.ndim < 3 else part.movedim(axis_of(part, axis), 1)


def channels_back(part: Tensor, axis: int | None) -> Tensor:
    """What `channels_first` has been applied to."""
    return part if part.ndim < 3 else part.movedim(1, axis_of(part, axis))


def check_channel_axis(axis: Any, parts: Sequence[Tensor]) -> int | None:
    """The axis as a number, or None.

    Raises:
        TypeError, ValueError: for what is no axis of all inputs, in one sentence.
    """
    if axis is None:
        return None
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"channel_axis must be a whole number, such as 1 or -1, not {shown(axis)}")
    number: int = axis.__index__()
    deep = [part for part in parts if part.ndim > 2]
    if not deep:
        shapes = ", ".join(str(tuple(part.shape)) for part in parts)
        raise ValueError(
            f"channel_axis={number} is for inputs of three or more dimensions, not of shape {shapes}"
        )
    for part in deep:
        if not -part.ndim < number < part.ndim or number == 0:
            raise ValueError(
                f"channel_axis={number} cannot be the axis of the channels in inputs of shape "
                f"{tuple(part.shape)}; use 1 for (N, C, *S), or -1 for (N, *S, C)"
            )
    return number
