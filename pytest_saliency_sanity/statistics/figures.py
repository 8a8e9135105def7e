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
from pytest_saliency_sanity.statistics.ranks import rank_correlation
from pytest_saliency_sanity.statistics.similarity import is_constant
from pytest_saliency_sanity.statistics.structural_similarity import structural_similarity


def figure(name: str, left: Tensor, right: Tensor) -> Tensor:
    """(n,) one of the paper's figures for maps (n, *S), pair by pair, in double precision on the CPU.

    Raises:
        ValueError: for an unknown name, listing the choices.
    """
    if name not in FIGURES:
        raise ValueError(f"unknown similarity {name!r}; choose from {', '.join(FIGURES)}")
    pairs = zip(_on_cpu(left), _on_cpu(right), strict=True)
    return torch.tensor([FIGURES[name](a, b) for a, b in pairs], dtype=torch.float64)


def _spearman(left: np.ndarray, right: np.ndarray) -> float:
    """As `matched_similarity`: 1 for the same ranks, else 0 for a map of one value."""
    return rank_correlation(*(_one_value_if_constant(one.ravel()) for one in (left, right)))


def _one_value_if_constant(values: np.ndarray) -> np.ndarray:
    constant = bool(is_constant(torch.from_numpy(values)[None]))
    return np.zeros_like(values) if constant else values


def _abs_spearman(left: np.ndarray, right: np.ndarray) -> float:
    return _spearman(np.abs(left), np.abs(right))


FIGURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "spearman": _spearman,
    "abs_spearman": _abs_spearman,
    "ssim": structural_similarity,
    "hog_pearson": hog_correlation,
}


def _on_cpu(maps: Tensor) -> np.ndarray:
    single = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()  # numpy has no bfloat16
    return single.detach().cpu().contiguous().numpy()
