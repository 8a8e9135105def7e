"""Structural similarity (SSIM) of two maps (Wang, Bovik, Sheikh, Simoncelli 2004), as scikit-image defines it."""

from __future__ import annotations

import math

import numpy as np

WINDOW = 7  # pixels a side
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # (K L)² of a range L from -1 to 1
_STRIP = 24_000  # pixels at a time: what is computed of them stays in the cache


def structural_similarity(left: np.ndarray, right: np.ndarray) -> float:
    """The mean SSIM of two maps (*S), each scaled to [-1, 1] by its largest absolute value.

    Windows have the same weight everywhere and 7 pixels a side, or the largest odd number that fits. They lie
    inside the map. Variances are those of samples (n - 1). As `skimage.metrics.structural_similarity(left, right,
    data_range=2)` of the scaled maps, in double precision. NaN where no window of 3 pixels a side fits.
    """
    window = _window(left.shape)
    if window < 3:
        return math.nan
    rows, last = max(1, _STRIP // left[0].size), len(left) - window + 1
    strips = [slice(first, first + rows + window - 1) for first in range(0, last, rows)]
    scratch = np.empty((6, left[strips[0]].size))
    maps = [(np.ascontiguousarray(one), one.dtype.type(peak(one))) for one in (left, right)]
    parts = ([one[strip] / scale for one, scale in maps] for strip in strips)
    total = sum(_total(x, y, window, scratch) for x, y in parts)
    windows = math.prod(size - window + 1 for size in left.shape)
    return float(4 * total / windows)


def peak(values: np.ndarray) -> float:
    """The largest absolute value; for a map of zeros the smallest number that can be divided by."""
    return float(max(values.max(), -values.min(), np.finfo(values.dtype).tiny))


def _window(shape: tuple[int, ...]) -> int:
    smallest = min(shape)
    return min(WINDOW, smallest - 1 + smallest % 2)


def _total(left: np.ndarray, right: np.ndarray, window: int, scratch: np.ndarray) -> float:
    """A quarter of the sum of the SSIM of all windows inside (*S); `scratch` (6, P or more) is written over."""
    strides = [step // left.itemsize for step in left.strides]
    similarity = _similarity(left, right, window, strides, scratch[:, : left.size])
    inside = tuple(size - window + 1 for size in left.shape)
    steps = tuple(step * similarity.itemsize for step in strides)
    return float(np.lib.stride_tricks.as_strided(similarity, inside, steps).sum())


def _similarity(
    left: np.ndarray, right: np.ndarray, window: int, strides: list[int], scratch: np.ndarray
) -> np.ndarray:
    """A quarter of the SSIM of the windows that begin at each pixel; without meaning where they leave the map.

    With n pixels in a window all of it is multiplied by n², means and variances alike: n² x̄ȳ = Σx Σy, and
    n² (mean of xy - x̄ȳ) = n Σxy - Σx Σy.
    """
    n = window ** len(strides)
    c1, c2 = _C1 * n**2, _C2 * n * (n - 1)
    x, y, xy, squares, *free = scratch
    x[:], y[:] = left.ravel(), right.ravel()
    np.multiply(x, x, out=squares)
    squares += np.multiply(y, y, out=xy)
    np.multiply(x, y, out=xy)
    x, y, xy, squares = (_box_sums(one, window, strides, free) for one in (x, y, xy, squares))
    product: np.ndarray = np.multiply(x, y, out=free[0][: len(x)])
    x *= x
    y *= y
    x += y
    xy *= n
    xy -= product
    squares *= n
    squares -= x
    product += c1 / 2
    xy += c2 / 2
    x += c1
    squares += c2
    product *= xy
    x *= squares
    product /= x
    return product


def _box_sums(values: np.ndarray, window: int, strides: list[int], free: list[np.ndarray]) -> np.ndarray:
    """The sums of the boxes that begin at each of `values`, which are written over, as are both of `free`."""
    summed, into = values, free[1]
    for stride in strides:
        summed, into = _sums(summed, window, stride, free[0], into), values if into is free[1] else free[1]
    kept: np.ndarray = values[: len(summed)]
    if len(strides) % 2:
        kept[:] = summed
    return kept


def _sums(values: np.ndarray, window: int, stride: int, half: np.ndarray, into: np.ndarray) -> np.ndarray:
    """The sums of 3, 5 or 7 values, `stride` apart: twice those of 1, 2 or 3, and one."""
    part, count = values, window // 2
    if count > 1:
        part = np.add(values[:-stride], values[stride:], out=half[: len(values) - stride])
    if count > 2:
        part = part[:-stride]
        part += values[2 * stride :]
    length = len(values) - (window - 1) * stride
    total: np.ndarray = np.add(part[:length], part[count * stride :][:length], out=into[:length])
    total += values[(window - 1) * stride :]
    return total
