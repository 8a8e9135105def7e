"""`python -m tests.calibration.contrast`: false alarms of the two-way mean, and of a test over images alone.

Samples of images × draws whose true mean is 0 are simulated for several shares of the variance between
images, between draws and within both; a false alarm is a one-sided lower bound above 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from pytest_saliency_sanity.statistics.contrast import two_way_mean

SIZES = ((16, 5), (8, 5))  # images, draws
LEVELS = (0.01, 0.05)
SPREADS = {  # standard deviations: between images, between draws, residual
    "residual only": (0.0, 0.0, 1.0),
    "images": (1.0, 0.0, 0.5),
    "draws": (0.0, 1.0, 0.5),
    "images and draws": (1.0, 1.0, 0.5),
    "mostly images": (1.0, 0.3, 0.5),
    "mostly draws": (0.3, 1.0, 0.5),
    "a little of both": (0.3, 0.3, 1.0),
}

Test = Callable[[np.ndarray], tuple[float, float, float]]


def samples(count: int, size: tuple[int, int], spread: tuple[float, float, float], seed: int) -> np.ndarray:
    """(count, n, K) samples of mean 0."""
    stream, (n, k) = np.random.default_rng(seed), size
    rows, columns, residual = (
        deviation * stream.standard_normal((count, *shape))
        for deviation, shape in zip(spread, ((n, 1), (1, k), (n, k)), strict=True)
    )
    return rows + columns + residual


def one_way_mean(sample: np.ndarray) -> tuple[float, float, float]:
    """Mean, variance and degrees of freedom as if images alone were random."""
    by_row = sample.mean(1)
    return float(by_row.mean()), float(by_row.var(ddof=1)) / len(by_row), len(by_row) - 1


def false_alarms(test: Test, drawn: np.ndarray, levels: tuple[float, ...] = LEVELS) -> list[float]:
    """The share of samples whose mean `test` finds above 0, at each level."""
    mean, variance, freedom = np.array([test(sample) for sample in drawn]).T
    p_values = stats.t.sf(mean / np.sqrt(variance), freedom)
    return [float((p_values < level).mean()) for level in levels]


def table(count: int, seed: int) -> str:
    """Rates in percent: sizes × spreads, both tests, both levels."""
    heads = [f"{name} {level:.0%}" for name in ("over images alone,", "two-way,") for level in LEVELS]
    lines = [f"{'images × draws':15} {'variance between':18} " + "  ".join(heads)]
    for size in SIZES:
        for name, spread in SPREADS.items():
            drawn = samples(count, size, spread, seed)
            rates = false_alarms(one_way_mean, drawn) + false_alarms(two_way_mean, drawn)
            cells = "  ".join(f"{rate:.2%}".rjust(len(head)) for rate, head in zip(rates, heads, strict=True))
            lines.append(f"{size[0]:>2} × {size[1]:<10} {name:18} {cells}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.calibration.contrast", description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000, help="simulated for each row (default: 20000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"false alarms in {options.samples} samples a row, seed {options.seed}\n")
    print(table(options.samples, options.seed))


if __name__ == "__main__":
    main()
