"""`python -m tests.benchmarks.ranks`: ranking 16 maps of 224×224 here, by scipy, and the order alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import rankdata

from pytest_saliency_sanity.statistics import rank
from tests.benchmarks.bars import seconds


def milliseconds(call: Callable[[], object], repeat: int = 10) -> float:
    """The fastest of `repeat` calls."""
    call()
    return min(seconds(call) for _ in range(repeat)) * 1e3


def main() -> None:
    """Print all rows."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(2)
    maps = torch.randn(16, 224 * 224)
    ours = milliseconds(lambda: rank(maps))
    print(f"rank: {ours:.0f} ms")
    for name, call in {
        "torch.sort": lambda: maps.sort(dim=1),
        "numpy.argsort": lambda: np.argsort(maps.numpy(), axis=1),
        "scipy.stats.rankdata": lambda: rankdata(maps.numpy(), axis=1),
    }.items():
        other = milliseconds(call)
        print(f"{name}: {other:.0f} ms, ×{other / ours:.1f}")


if __name__ == "__main__":
    main()
