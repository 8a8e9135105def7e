"""Explainers that hide parts of the input and watch the target's score: here windows, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import ceil
from types import EllipsisType
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.explainers.inputs import (
    Parts,
    as_given,
    baseline_like,
    in_calls,
    joined,
    points_per_call,
    repeated,
    tensors,
    whole_number,
    wide,
)
from pytest_saliency_sanity.explainers.spatial import spatial
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Inputs, as_targets, class_scores, logits
from pytest_saliency_sanity.predictions import are_shares
from pytest_saliency_sanity.predictions import probabilities as read_as_probabilities
from pytest_saliency_sanity.text import shown

Window: TypeAlias = "tuple[EllipsisType | slice, ...]"  # of the last dimensions
Scorer: TypeAlias = "Callable[[list[Parts]], Tensor]"


@spatial
def occlusion(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    window: int | tuple[int, ...] | None = None,
    stride: int | tuple[int, ...] | None = None,
    baseline: float | Tensor = 0.0,
    batch_size: int | None = None,
) -> Inputs:
    """How far the target's logit drops when a window is replaced: for each pixel the mean over its windows.

    Zeiler and Fergus 2014, section 4.2; the arithmetic of captum's `Occlusion` with windows over all
    channels. The map is (N, 1, *S), positive where hiding the pixel lowers the score. `window` and `stride`
    count pixels, one number or one for each spatial dimension: by default a seventh of each side, rounded up
    to an even number, and half the window, so that an image takes some 13 × 13 windows at any size. The last
    window of each dimension reaches the border, where it is cut off.
    `baseline` is a number or a tensor that broadcasts to the inputs. `batch_size` bounds the images per
    call of the model. Of a tuple of inputs each tensor is occluded in turn, and gets its map.

    Raises ValueError for windows and strides that are not whole numbers, that do not fit or leave gaps;
    NotApplicable for inputs without a spatial dimension.
    """
    parts = tuple(part.detach() for part in tensors(inputs))
    per_call = points_per_call(inputs, batch_size)
    with entered(torch.no_grad()):
        score = scorer(model, inputs, targets)
        clean = score([parts])
        maps = []
        for index, part in enumerate(parts):
            windows = list(_windows(part, window, stride))
            occluded = (_replaced(parts, index, at, baseline) for at in windows)
            drops = torch.cat([clean - score(call) for call in in_calls(occluded, per_call)])
            maps.append(_averaged(part, windows, drops))
    return as_given(inputs, maps)


def scorer(model: Any, inputs: Inputs, targets: Any, output: str = "logit") -> Scorer:
    """A function from a list of P variants of the inputs to the scores of their targets, (P, N).

    `output` is one of `READINGS`. Raises ValueError for another, and what `class_scores` raises.
    """
    if output not in READINGS:
        choices = " or ".join(map(repr, READINGS))
        raise ValueError(f"output must be {choices}, got {shown(output)}.")
    targets = as_targets(targets, len(tensors(inputs)[0]))

    def score(points: list[Parts]) -> Tensor:
        batch, rows = as_given(inputs, joined(points)), repeated(targets, len(points))
        found = wide(class_scores(model, batch, rows, READINGS[output]))
        return torch.unflatten(found, 0, (len(points), -1))

    return score


def _probabilities(model: Any, inputs: Inputs) -> Tensor:
    outputs = logits(model, inputs)
    return read_as_probabilities(wide(outputs), are_shares(outputs))


READINGS = {"softmax": _probabilities, "logit": None}


def _windows(part: Tensor, window: Any, stride: Any) -> Iterator[Window]:
    sides = spatial_sides("occlusion", part)
    windows = per_dimension("window", window, [min(side, max(2, 2 * ceil(side / 14))) for side in sides])
    strides = per_dimension("stride", stride, [max(1, width // 2) for width in windows])
    for side, width, step in zip(sides, windows, strides, strict=True):
        if width > side:
            raise ValueError(f"A window of {width} does not fit in a side of {side}.")
        if step > width < side:
            raise ValueError(f"A stride of {step} leaves gaps between windows of {width}.")
    starts = [_starts(*dimension) for dimension in zip(sides, windows, strides, strict=True)]
    for corner in product(*starts):
        yield (..., *(slice(start, start + width) for start, width in zip(corner, windows, strict=True)))


def _starts(side: int, width: int, step: int) -> range:
    return range(0, step * (ceil((side - width) / step) + 1), step)


def spatial_sides(name: str, part: Tensor) -> tuple[int, ...]:
    """The spatial sides S of a tensor (N, C, *S); NotApplicable in the name of an explainer if there are none."""
    if part.dim() < 3:
        raise NotApplicable(
            f"{name} needs inputs (N, C, *S) with a spatial dimension, got {tuple(part.shape)}."
        )
    return tuple(part.shape[2:])


def per_dimension(name: str, value: Any, default: list[int]) -> list[int]:
    """One whole number for each spatial dimension: those given, one for all, or the default for None."""
    if value is None:
        return default
    values = list(value) if isinstance(value, (tuple, list)) else [value] * len(default)
    if len(values) != len(default):
        raise ValueError(
            f"{name} needs one number or {len(default)}, one for each spatial dimension, got {shown(value)}."
        )
    return [whole_number(name, one) for one in values]


def _replaced(parts: Parts, index: int, window: Window, baseline: float | Tensor) -> Parts:
    part = parts[index].clone()
    part[window] = baseline_like(part, baseline)[window]
    return (*parts[:index], part, *parts[index + 1 :])


def _averaged(part: Tensor, windows: list[Window], drops: Tensor) -> Tensor:
    total = drops.new_zeros(len(part), 1, *part.shape[2:])
    covering = torch.zeros_like(total[:1])
    singles = (-1, *[1] * (part.dim() - 1))
    for window, drop in zip(windows, drops, strict=True):
        total[window] += drop.view(singles)
        covering[window] += 1
    return (total / covering).to(part.dtype)
