"""The similarities that the paper reports: Spearman's, SSIM, and the correlation of histograms of oriented gradients.

`python -m tests.benchmarks.similarities` prints how much faster they are than a loop over SciPy and scikit-image, and
the largest difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.statistics.oriented_gradients import hog_correlation
from pytest_saliency_sanity.statistics.ranks import rank_correlations, readable
from pytest_saliency_sanity.statistics.structural_similarity import structural_similarity

Figure = Callable[[np.ndarray, np.ndarray], list[float]]


def figure(name: str, left: Tensor, right: Tensor) -> Tensor:
    """(n,) one of the paper's figures for maps (n, *S), pair by pair, in double precision on the CPU.

    Raises:
        ValueError: for an unknown name, listing the choices.
    """
    if name not in FIGURES:
        raise ValueError(f"unknown similarity {name!r}; choose from {', '.join(FIGURES)}")
    both = (readable(maps).contiguous().numpy() for maps in (left, right))
    return torch.tensor(FIGURES[name](*both), dtype=torch.float64)


def _one_by_one(of_a_pair: Callable[[np.ndarray, np.ndarray], float]) -> Figure:
    return lambda left, right: [of_a_pair(*pair) for pair in zip(left, right, strict=True)]


def _spearman(left: np.ndarray, right: np.ndarray) -> list[float]:
    """As `matched_similarity`: 1 for the same ranks, else 0 for a map of one value."""
    return rank_correlations(*(maps.reshape(len(maps), -1) for maps in (left, right)))


def _abs_spearman(left: np.ndarray, right: np.ndarray) -> list[float]:
    return _spearman(np.abs(left), np.abs(right))


FIGURES: Mapping[str, Figure] = {
    "spearman": _spearman,
    "abs_spearman": _abs_spearman,
    "ssim": _one_by_one(structural_similarity),
    "hog_pearson": _one_by_one(hog_correlation),
}
