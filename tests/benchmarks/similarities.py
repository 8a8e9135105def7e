"""`python -m tests.benchmarks.similarities`: the paper's similarities, beside scikit-image and SciPy in a loop.

64 pairs of maps of 224×224 pixels, half of them with ties, two threads. Each similarity is computed by this package (A)
and by one call of the other library for each pair (B), A B A B in one process. Printed are the median of the ratios,
the largest difference, and whether both are within their bars.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from pytest_saliency_sanity.statistics import figure

FASTER = 5.0
LARGEST = {"spearman": 1e-6, "ssim": 1e-6, "hog_pearson": 1e-4}
Pair = Callable[[np.ndarray, np.ndarray], float]


def spearman_of(left: np.ndarray, right: np.ndarray) -> float:
    """By SciPy."""
    return float(spearmanr(left.ravel(), right.ravel()).statistic)


def ssim_of(left: np.ndarray, right: np.ndarray) -> float:
    """By scikit-image."""
    return float(structural_similarity(left, right, data_range=2.0))


def hog_of(left: np.ndarray, right: np.ndarray) -> float:
    """By scikit-image, and NumPy."""
    one, other = (hog(part, pixels_per_cell=(16, 16)) for part in (left, right))
    return float(np.corrcoef(one, other)[0, 1])


LOOPED: dict[str, Pair] = {"spearman": spearman_of, "ssim": ssim_of, "hog_pearson": hog_of}


def maps(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Pairs that have something in common; the values of the second half are few."""
    torch.manual_seed(0)
    left = torch.randn(count, size, size)
    right = 0.5 * left + torch.randn(count, size, size)
    for part in (left, right):
        part[count // 2 :] = part[count // 2 :].mul(4).round()
        part /= part.flatten(1).abs().amax(1)[:, None, None]
    return left, right


def looped(one: Pair, left: Tensor, right: Tensor) -> Tensor:
    """Pair by pair, in double precision."""
    pairs = zip(left.double().numpy(), right.double().numpy(), strict=True)
    return torch.tensor([one(a, b) for a, b in pairs], dtype=torch.float64)


def timed(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what it returns."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(2)
    left, right = maps(given.maps, given.size)
    for name, one in LOOPED.items():
        figure(name, left[:2], right[:2])
        runs = []
        for _ in range(given.runs):
            ours, found = timed(lambda name=name: figure(name, left, right))
            theirs, expected = timed(lambda one=one: looped(one, left, right))
            runs.append((ours, theirs))
        ratio = median(theirs / ours for ours, theirs in runs)
        apart = float((found.double() - expected).abs().max())
        met = ratio >= FASTER and apart < LARGEST[name]
        print(
            f"{name}: {median(ours for ours, _ in runs):.3f} s, looped {median(theirs for _, theirs in runs):.3f} s: "
            f"×{ratio:.1f}, at most {apart:.1e} apart "
            f"(bars: ×{FASTER:g}, {LARGEST[name]:g}: {'met' if met else 'missed'})",
            flush=True,
        )


if __name__ == "__main__":
    main()
