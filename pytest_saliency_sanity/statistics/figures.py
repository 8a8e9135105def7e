"""The similarities that the paper reports: Spearman's, SSIM, and the correlation of histograms of oriented gradients.

SSIM and HOG are scikit-image's, computed in torch: `python -m tests.benchmarks.similarities` prints how much faster
that is than a loop over scikit-image, and the largest difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from pytest_saliency_sanity.statistics.similarity import average_ranks, is_constant, sortable

_WINDOW = 7
_LUMINANCE, _CONTRAST = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2  # (k L)², of values in [-1, 1]
_ORIENTATIONS, _CELL, _BLOCK = 9, 16, 3
_EPS, _CLIPPED = 1e-5, 0.2


def figure(name: str, left: Tensor, right: Tensor) -> Tensor:
    """(n,) one of the paper's figures for maps (n, *S), pair by pair.

    Raises:
        ValueError: for an unknown name, listing the choices.
    """
    if name not in FIGURES:
        raise ValueError(f"unknown similarity {name!r}; choose from {', '.join(FIGURES)}")
    return FIGURES[name](left, right)


def _spearman(left: Tensor, right: Tensor) -> Tensor:
    """Of average ranks, in double precision; 1 for maps in the same order, else 0 where one is constant."""
    pairs = zip(_ranks(left), _ranks(right), strict=True)
    return torch.stack([_correlation(a, b) for a, b in pairs]).cpu()


def _ranks(maps: Tensor) -> Tensor:
    flat = sortable(maps)
    return average_ranks(flat, is_constant(flat))


def _correlation(one: Tensor, other: Tensor) -> Tensor:
    middle = (len(one) + 1) / 2
    a, b = one.to(_double(one)) - middle, other.to(_double(other)) - middle
    products, squares = a @ b, (a @ a) * (b @ b)
    defined = torch.where(squares > 0, products / squares.clamp_min(1).sqrt(), 0)
    return torch.where((one == other).all(), 1, defined)


def _abs_spearman(left: Tensor, right: Tensor) -> Tensor:
    return _spearman(left.abs(), right.abs())


# Structural similarity.


def _ssim(left: Tensor, right: Tensor) -> Tensor:
    """Structural similarity of the maps scaled to [-1, 1] by their largest absolute value; NaN for maps below 3 pixels.

    The mean over all windows of 7 pixels a side that fit (less in smaller maps), with sample covariances.

    Source: Wang et al., Image Quality Assessment, IEEE TIP 2004, section III; as scikit-image.
    """
    smallest = min(left.shape[1:], default=0)
    window = min(_WINDOW, smallest - 1 + smallest % 2)
    if window < 3:
        return torch.full((len(left),), torch.nan, dtype=torch.float64)
    # One pair at a time stays in the processor's cache.
    pairs = zip(_scaled(left), _scaled(right), strict=True)
    return torch.stack([_ssim_of_pair(a, b, window) for a, b in pairs]).cpu()


def _ssim_of_pair(a: Tensor, b: Tensor, window: int) -> Tensor:
    count = window**a.ndim
    sums = _windows(torch.stack([a, b, a * a + b * b, a * b]), window)
    mean_a, mean_b, squares, products = sums / count
    means, both = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    scale = count / (count - 1)
    covariance, variances = scale * (products - means), scale * (squares - both)
    above = (2 * means + _LUMINANCE) * (2 * covariance + _CONTRAST)
    below = (both + _LUMINANCE) * (variances + _CONTRAST)
    similarity: Tensor = (above / below).mean()
    return similarity


def _windows(values: Tensor, window: int) -> Tensor:
    """Sums over all windows (k, *S') of the axes behind the first."""
    for axis in range(1, values.ndim):
        values = _runs(values, window, axis)
    return values


def _runs(values: Tensor, window: int, axis: int) -> Tensor:
    """Sums over `window` neighbors (an odd number) along an axis: of runs of 1, 2, 4, … values, put together."""
    length, done, power = values.shape[axis] - window + 1, 1, 1
    total = values.narrow(axis, 0, length)
    while done < window:
        rest = values.shape[axis] - power
        values = values.narrow(axis, 0, rest) + values.narrow(axis, power, rest)
        power *= 2
        if (window - done) & power:
            total = total + values.narrow(axis, done, length)
            done += power
    return total


# Histograms of oriented gradients.


def _hog_pearson(left: Tensor, right: Tensor) -> Tensor:
    """Pearson correlation of the histograms of oriented gradients; NaN for maps below 6×6 pixels.

    Nine orientations without sign, cells of up to 16 pixels a side, blocks of 3×3 cells, normalized by L2-Hys.

    Source: Dalal and Triggs, Histograms of Oriented Gradients, CVPR 2005, section 6; as scikit-image.
    """
    if (
        left.ndim != 3 or min(left.shape[1:]) < 6
    ):  # three cells of two pixels make the one block that HOG needs
        return torch.full((len(left),), torch.nan, dtype=torch.float64)
    one, other = (_centered(_hog(_scaled(maps))) for maps in (left, right))
    lengths = one.norm(dim=1) * other.norm(dim=1)
    return torch.where(lengths > 0, (one * other).sum(1) / lengths, torch.nan).cpu()


def _centered(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _hog(maps: Tensor) -> Tensor:
    """(n, F) of maps (n, H, W)."""
    side = max(2, min(_CELL, min(maps.shape[1:]) // 4))
    cells = _oriented(maps, side)
    blocks = cells.unfold(1, _BLOCK, 1).unfold(2, _BLOCK, 1).flatten(3)
    clipped = _normalized(blocks).clamp_max(_CLIPPED)
    return _normalized(clipped).flatten(1)


def _normalized(blocks: Tensor) -> Tensor:
    return blocks / (blocks.square().sum(-1, keepdim=True) + _EPS**2).sqrt()


def _oriented(maps: Tensor, side: int) -> Tensor:
    """(n, rows, columns, 9) the mean magnitude of the gradients of each orientation in each cell."""
    n, rows, columns = len(maps), maps.shape[1] // side, maps.shape[2] // side
    down, across = torch.zeros_like(maps), torch.zeros_like(maps)
    down[:, 1:-1] = maps[:, 2:] - maps[:, :-2]
    across[:, :, 1:-1] = maps[:, :, 2:] - maps[:, :, :-2]
    down, across = (part[:, : rows * side, : columns * side] for part in (down, across))
    degrees = torch.atan2(down, across).rad2deg().remainder(180)
    # Rounding can make 180 of an angle just below 0: scikit-image counts it nowhere.
    kind = (degrees / (180 / _ORIENTATIONS)).long().clamp_max(_ORIENTATIONS)
    cell = torch.arange(rows, device=maps.device).repeat_interleave(side)[:, None] * columns
    cell = cell + torch.arange(columns, device=maps.device).repeat_interleave(side)
    places = (cell * (_ORIENTATIONS + 1) + kind).flatten(1)
    sums = maps.new_zeros(n, rows * columns * (_ORIENTATIONS + 1))
    sums.scatter_add_(1, places, torch.hypot(down, across).flatten(1))
    return sums.view(n, rows, columns, -1)[..., :_ORIENTATIONS] / side**2


def _scaled(maps: Tensor) -> Tensor:
    """Each map divided by its largest absolute value, in double precision if the device has it."""
    peak = maps.flatten(1).abs().amax(1).clamp_min(torch.finfo(maps.dtype).tiny)
    scaled = maps / peak.view(-1, *[1] * (maps.ndim - 1))
    return scaled.to(_double(maps))


def _double(values: Tensor) -> torch.dtype:
    return torch.float32 if values.device.type == "mps" else torch.float64


FIGURES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "spearman": _spearman,
    "abs_spearman": _abs_spearman,
    "ssim": _ssim,
    "hog_pearson": _hog_pearson,
}
