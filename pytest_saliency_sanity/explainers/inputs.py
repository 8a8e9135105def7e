"""One tensor or a tuple of tensors, treated alike, and many variants of them in calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from pytest_saliency_sanity.outputs import Inputs, batch_size
from pytest_saliency_sanity.text import shown

T = TypeVar("T")
Parts: TypeAlias = "tuple[Tensor, ...]"

# About 28 images of 3x224x224, or a whole small data set of digits, in one call: more makes no call faster.
VALUES_PER_CALL = 2**22


def tensors(inputs: Inputs) -> Parts:
    """The tensors of `inputs`; TypeError if there are others than floating-point tensors."""
    batch_size(inputs)
    parts = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    for part in parts:
        if not part.is_floating_point():
            raise TypeError(f"inputs must be floating-point tensors, got {part.dtype}.")
    return parts


def as_given(inputs: Inputs, parts: Iterable[T]) -> T | tuple[T, ...]:
    """`parts` in the form of `inputs`: a tuple if it was one, else the one tensor."""
    parts = tuple(parts)
    return parts if isinstance(inputs, (tuple, list)) else parts[0]


def in_calls(points: Iterable[Parts], per_call: int) -> Iterator[list[Parts]]:
    """`points` in lists of at most `per_call`; they are made only when their list is."""
    remaining = iter(points)
    return iter(lambda: list(islice(remaining, per_call)), [])


def points_per_call(inputs: Inputs, limit: int | None) -> int:
    """How many variants of the whole batch fit in one call of at most `limit` images; at least one."""
    count = batch_size(inputs)
    if limit is None:
        values = sum(part.numel() for part in tensors(inputs))
        return max(1, VALUES_PER_CALL // max(1, values))
    return max(1, whole_number("batch_size", limit) // max(1, count))


def joined(points: list[Parts]) -> Parts:
    """Variants of a batch as one batch, variant after variant."""
    return points[0] if len(points) == 1 else tuple(torch.cat(parts) for parts in zip(*points, strict=True))


def repeated(targets: Tensor, count: int) -> Tensor:
    """Targets for `count` variants of a batch, in the order of `joined`."""
    return targets.repeat(count, *[1] * (targets.dim() - 1))


def baseline_like(part: Tensor, baseline: Any) -> Tensor:
    """A baseline (None for zero, a number, a tensor) expanded to `part`; ValueError if it does not fit."""
    values = torch.as_tensor(0 if baseline is None else baseline, dtype=part.dtype, device=part.device)
    try:
        return values.detach().expand_as(part)
    except RuntimeError:
        raise ValueError(
            f"A baseline of shape {tuple(values.shape)} does not broadcast to inputs "
            f"of shape {tuple(part.shape)}."
        ) from None


def wide(values: Tensor) -> Tensor:
    """In at least single precision: sums over samples and products of gradients leave the range of half."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """`value`, or a ValueError that shows it if it is no whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {shown(value)}.")
    return value
