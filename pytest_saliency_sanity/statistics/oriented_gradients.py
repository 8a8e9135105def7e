"""Histograms of oriented gradients, HOG (Dalal and Triggs 2005), as scikit-image defines them."""

from __future__ import annotations

import math

import numpy as np

from pytest_saliency_sanity.statistics.structural_similarity import peak

ORIENTATIONS, BLOCK = 9, 3  # bins of 180°; cells a side of a block
_EPSILON, _CLIPPED = 1e-5, 0.2  # of L2-Hys
_STRIP = 12_000  # pixels at a time: what is computed of them stays in the cache


def hog_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Pearson correlation of the HOG of two maps, each scaled by its largest absolute value.

    NaN for maps below 6×6 pixels, and where either has no gradients.
    """
    if (
        left.ndim != 2 or min(left.shape) < 2 * BLOCK
    ):  # three cells of two pixels make the one block that HOG needs
        return math.nan
    cell = max(2, min(16, min(left.shape) // 4))
    a, b = (oriented_gradients(one, cell, peak(one)) for one in (left, right))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() * b.std() > 0 else math.nan


def oriented_gradients(values: np.ndarray, cell: int, scale: float = 1) -> np.ndarray:
    """HOG of a map (H, W) divided by `scale`, with cells of `cell` pixels a side, blocks of 3×3 cells and L2-Hys.

    As `skimage.feature.hog(values / scale, pixels_per_cell=(cell, cell))`, whose other arguments these are by
    default: one row of all blocks, of each its cells, of each its nine orientations.
    """
    rows, columns = (size // cell for size in values.shape)
    together = max(1, _STRIP // (cell * values.shape[1]))
    strips = [(first * cell, min(first + together, rows) * cell) for first in range(0, rows, together)]
    histograms = np.concatenate([_histograms(values, strip, cell, columns, scale) for strip in strips])
    blocks = np.lib.stride_tricks.sliding_window_view(histograms, (BLOCK, BLOCK), (0, 1))
    return _normalized(np.moveaxis(blocks, 2, -1).reshape(-1, BLOCK * BLOCK * ORIENTATIONS)).ravel()


def _histograms(
    values: np.ndarray, strip: tuple[int, int], cell: int, columns: int, scale: float
) -> np.ndarray:
    """(rows, columns, 9) the mean size of the gradients in each cell of a strip of rows, by their orientation."""
    across, down = (part[:, : columns * cell] for part in _gradients(values, *strip, scale))
    size = np.sqrt(across * across + down * down)
    shape = (len(across) // cell, columns, ORIENTATIONS + 1)
    row, column = (np.arange(count * cell) // cell for count in shape[:2])
    places = (row[:, None] * columns + column) * shape[2] + _bins(across, down)
    sums = np.bincount(places.ravel(), size.ravel(), math.prod(shape)).reshape(shape)
    return sums[..., :ORIENTATIONS] / cell**2


def _gradients(values: np.ndarray, first: int, end: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Of rows `first` to `end`: the difference of the neighbors of a row and of a column; 0 at the map's border."""
    begin = max(first - 1, 0)
    known = (values[begin : end + 1] / values.dtype.type(scale)).astype(np.float64)
    across, down = np.zeros((2, end - first, values.shape[1]))
    rows = known[first - begin :][: end - first]
    np.subtract(rows[:, 2:], rows[:, :-2], out=across[:, 1:-1])
    inner = known[2:] - known[:-2]
    down[begin + 1 - first :][: len(inner)] = inner
    return across, down


def _bins(across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The number of the orientation's bin: 0 from 0° to 20°, …; 9, which is none, just below 0°, as in scikit-image."""
    angle: np.ndarray = np.rad2deg(np.arctan2(down, across))
    angle -= 180.0 * (angle == 180)
    angle += 180.0 * (angle < 0)
    angle /= 180 / ORIENTATIONS
    bins: np.ndarray = angle.astype(np.intp)
    return bins


def _normalized(blocks: np.ndarray) -> np.ndarray:
    """L2-Hys of each row: scaled to length 1, cut off at .2, and scaled again."""
    clipped = np.minimum(_scaled(blocks), _CLIPPED)
    return _scaled(clipped)


def _scaled(blocks: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = blocks / np.sqrt((blocks * blocks).sum(1, keepdims=True) + _EPSILON**2)
    return scaled
