"""A mean of differences that are symmetric about 0 if there is none: the sign-flip test, and its bounds."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq

FLIPS = 4096


def sign_flip_p(values: np.ndarray, seed: int = 0) -> float:
    """One-sided p-value of "the mean of `values` (n,) is above 0", by flipping their signs (Fisher 1935).

    All 2^n flips where these are few, else 4,096 drawn from `seed`, the given signs among them.
    """
    flipped = _signs(len(values), seed) @ values
    return float((flipped >= values.sum() - 1e-12 * np.abs(values).sum()).mean())


def sign_flip_bounds(
    values: np.ndarray, alpha_lower: float, alpha_upper: float, seed: int = 0
) -> tuple[float, float]:
    """The one-sided bounds of the means that the test does not reject: the test, inverted.

    Infinite where there are too few values to reject anything at that level.
    """
    return _lower(values, alpha_lower, seed), 0.0 - _lower(-values, alpha_upper, seed)  # no -0


def fewest_values(alpha: float) -> int:
    """How many values are needed before the test can reject anything at a level: with n its p-value is 2^-n or more."""
    return math.floor(-math.log2(alpha)) + 1


def _lower(values: np.ndarray, alpha: float, seed: int) -> float:
    if np.ptp(values) == 0:
        return float(values.mean())
    reach = np.abs(values - values.mean()).max()
    low, high = values.mean() - 2 * reach, values.mean()

    def excess(theta: float) -> float:
        return sign_flip_p(values - theta, seed) - alpha

    return float(brentq(excess, low, high, xtol=1e-6 * reach)) if excess(low) < 0 else -np.inf


def _signs(n: int, seed: int) -> np.ndarray:
    if 2**n <= FLIPS:
        return 1.0 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    signs = np.random.default_rng([seed, n]).integers(0, 2, (FLIPS, n)) * 2.0 - 1
    signs[0] = 1
    return signs
