"""The objects of planted images: how they are drawn, where they are put, and where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Offsets: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]
# (rows, columns, radius, stroke) → bool: rows and columns count from the middle, radius is the largest of them
Shape: TypeAlias = Callable[[Offsets, Offsets, int, float], Mask]

SHAPES = ("cross", "ring", "frame", "saltire")


def drawn(random: np.random.Generator, shape: str, size: int) -> Mask:
    """The shape's pixels, in a square of an odd number of pixels, about a third of the image's side."""
    radius = int(random.integers(round(size / 8), round(size / 6), endpoint=True))
    stroke = max(1.0, size / 24)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return _DRAWINGS[shape](y, x, radius, stroke)


def placed(pixels: Mask, size: int, top: int, left: int) -> Mask:
    """The mask (S, S) of a shape at that place."""
    mask = np.zeros((size, size), dtype=bool)
    mask[top : top + len(pixels), left : left + len(pixels)] = pixels
    return mask


def boxes(masks: Tensor) -> Tensor:
    """(N, 4) left, top, right, bottom of masks (N, S, S), the last two exclusive."""
    edges = []
    for lines in (masks.any(1), masks.any(2)):  # the columns, then the rows that an object touches
        first = lines.int().argmax(1)
        edges.append((first, first + _extent(lines)))
    (left, right), (top, bottom) = edges
    return torch.stack([left, top, right, bottom], dim=1)


def _extent(lines: Tensor) -> Tensor:
    """How many lines lie from the first True to the last, for each row of (N, S)."""
    return lines.shape[1] - lines.flip(1).int().argmax(1) - lines.int().argmax(1)


def _cross(y: Offsets, x: Offsets, radius: int, stroke: float) -> Mask:
    return np.minimum(abs(y), abs(x)) <= stroke


def _ring(y: Offsets, x: Offsets, radius: int, stroke: float) -> Mask:
    return abs(np.hypot(y, x) - (radius - stroke / 2)) <= stroke / 2 + 0.5


def _frame(y: Offsets, x: Offsets, radius: int, stroke: float) -> Mask:
    return np.maximum(abs(y), abs(x)) > radius - stroke - 0.5


def _saltire(y: Offsets, x: Offsets, radius: int, stroke: float) -> Mask:
    inside: Mask = np.minimum(abs(y - x), abs(y + x)) <= stroke
    return inside


_DRAWINGS: Mapping[str, Shape] = MappingProxyType(
    {"cross": _cross, "ring": _ring, "frame": _frame, "saltire": _saltire}
)
