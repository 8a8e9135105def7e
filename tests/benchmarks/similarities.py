"""`python -m tests.benchmarks.similarities`: the similarities of many maps, beside scipy and scikit-image in a loop.

Two times 64 maps of 224×224 with ties. A turn is ours, then the loop, on the same maps; the medians over the turns are
printed, and the largest difference of a similarity. The loop gets the maps scaled and in double precision already. One
thread each (`--threads 2` gives torch and BLAS two; neither side uses them).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from pytest_saliency_sanity.statistics import figure
from tests.benchmarks.bars import at_least, below, in_turn

FASTER = 5.0


def maps(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Maps in steps of an eighth, and other ones that have half of their variance in common with these."""
    stream = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, count, size, size, generator=stream)
    return (one * 8).round() / 8, ((one + other) * 8).round() / 8


def by_scipy(left: np.ndarray, right: np.ndarray) -> float:
    return float(spearmanr(left.ravel(), right.ravel()).statistic)


def by_scikit_image(left: np.ndarray, right: np.ndarray) -> float:
    return float(structural_similarity(left, right, data_range=2))


def by_hog(left: np.ndarray, right: np.ndarray) -> float:
    side = max(2, min(16, len(left) // 4))
    one, other = (hog(each, pixels_per_cell=(side, side)) for each in (left, right))
    return float(np.corrcoef(one, other)[0, 1])


# With how far they may be apart.
PEERS: Mapping[str, tuple[Callable[[np.ndarray, np.ndarray], float], float]] = {
    "spearman": (by_scipy, 1e-6),
    "ssim": (by_scikit_image, 1e-6),
    "hog_pearson": (by_hog, 1e-4),
}


def scaled(values: Tensor) -> np.ndarray:
    return (values / values.abs().flatten(1).amax(1)[:, None, None]).double().numpy()


def looped(peer: Callable[[np.ndarray, np.ndarray], float], left: np.ndarray, right: np.ndarray) -> Tensor:
    """Pair by pair."""
    return torch.tensor([peer(a, b) for a, b in zip(left, right, strict=True)], dtype=torch.float64)


def compare(name: str, left: Tensor, right: Tensor, turns: int) -> str:
    """A row of the table."""
    peer, apart = PEERS[name]
    loop = partial(looped, peer, scaled(left), scaled(right))
    difference = float((figure(name, left, right) - loop()).abs().max())
    ours, theirs, ratio, _ = in_turn(lambda: figure(name, left, right), loop, turns)
    return (
        f"{name:12} {ours * 1e3:8.0f} ms {theirs * 1e3:8.0f} ms   {at_least(ratio, FASTER)}; "
        f"largest difference {below(difference, apart)}"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    left, right = maps(given.maps, given.size)
    print(f"{given.maps} pairs of {given.size}×{given.size}, {given.turns} turns")
    print(f"{'':12} {'ours':>11} {'a loop':>11}   faster")
    for name in PEERS:
        print(compare(name, left, right, given.turns), flush=True)


if __name__ == "__main__":
    main()
