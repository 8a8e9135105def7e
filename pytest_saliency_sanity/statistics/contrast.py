"""How much of a map survives a perturbation, as a ratio with an interval, from a sample of images × draws.

    D_ik(theta) = (T_ik - X_ik) - theta (N_i - X_ik)

Images and draws are both random: a two-way random-effects mean with Satterthwaite's degrees of freedom. A test
over images alone had 5-23 % false alarms where 1 % was asked for; `python -m tests.calibration.contrast` prints
this one's. The interval of rho = mean(T - X) / mean(N - X) inverts the same test that decides (Fieller's
method), so that text and decision cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

_WIDEST = 5.0  # an interval's end beyond this is reported as infinite
_MOST = 4096  # more images or draws than this is "thousands"
_POWER = 0.8  # how often the number of images or draws that is named has to settle it


@dataclass(frozen=True)
class Contrast:
    """A retained fraction with its one-sided bounds.

    Attributes:
        statistic: rho, 1 for a map that the perturbation does not change, 0 for one of which nothing survives.
        lower: one-sided lower bound at level 1 - alpha_fail.
        upper: one-sided upper bound at level 1 - alpha_pass.
        p_value: of "rho is at most the threshold", one-sided.
        images, draws: the sample.
    """

    statistic: float
    lower: float
    upper: float
    p_value: float
    images: int
    draws: int


def retained_fraction(
    matched: np.ndarray,
    mismatched: np.ndarray,
    repeated: np.ndarray,
    *,
    threshold: float,
    alpha_fail: float,
    alpha_pass: float,
) -> Contrast:
    """The retained fraction of a sample, with bounds.

    Args:
        matched: (n, K) T, similarity of the map under draw k with the original of the same image.
        mismatched: (n, K) X, similarity with the originals of other images.
        repeated: (n,) or (n, K) N, similarity of the original with its repetition.
        threshold: theta of the p-value.
        alpha_fail: one-sided level of the lower bound.
        alpha_pass: one-sided level of the upper bound.
    """
    survived, scale = _parts(matched, mismatched, repeated)
    mean, variance, freedom = two_way_mean(survived - threshold * scale)
    return Contrast(
        statistic=_ratio(survived, scale),
        lower=_crossing(survived, scale, alpha_fail, -1),
        upper=_crossing(survived, scale, alpha_pass, +1),
        p_value=_tail(mean, variance, freedom),
        images=matched.shape[0],
        draws=matched.shape[1],
    )


def _parts(
    matched: np.ndarray, mismatched: np.ndarray, repeated: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """T - X, and N - X."""
    return matched - mismatched, repeated.reshape(len(matched), -1) - mismatched


def two_way_mean(sample: np.ndarray) -> tuple[float, float, float]:
    """Mean, its variance and the degrees of freedom of a (n, K) sample whose rows and columns are random.

    V = (MS_rows + MS_columns - MS_residual) / (nK), never below max(MS_rows, MS_columns) / (nK). With one
    column the rows alone are random (one-way, n - 1 degrees of freedom).
    """
    n, k = sample.shape
    rows, columns, residual = mean_squares(sample)
    if k == 1:
        return float(sample.mean()), rows / n, n - 1
    synthetic = rows + columns - residual
    if synthetic <= max(rows, columns):
        return float(sample.mean()), max(rows, columns) / (n * k), (n - 1) if rows >= columns else (k - 1)
    parts = rows**2 / (n - 1) + columns**2 / (k - 1) + residual**2 / ((n - 1) * (k - 1))
    freedom = synthetic**2 / parts if parts else min(n, k) - 1  # squares of tiny variances underflow
    return float(sample.mean()), synthetic / (n * k), freedom


def mean_bounds(sample: np.ndarray, alpha_lower: float, alpha_upper: float) -> tuple[float, float, float]:
    """Mean of a (n, K) sample whose rows and columns are random, with its lower and upper one-sided bound.

    Args:
        alpha_lower: one-sided level of the lower bound is 1 - alpha_lower.
        alpha_upper: the same of the upper bound.
    """
    mean, variance, freedom = two_way_mean(sample)
    spread = math.sqrt(variance)
    below, above = (float(stdtrit(freedom, 1 - alpha)) * spread for alpha in (alpha_lower, alpha_upper))
    return mean, mean - below, mean + above


def pseudo_values(statistic: Callable[[Sequence[int]], np.ndarray], units: int) -> np.ndarray:
    """(n, units) jackknife pseudo-values, whose columns spread as the units do (Efron and Tibshirani 1993, ch. 11).

    Args:
        statistic: of a choice of the units (their indices), (n,) values.
        units: how many there are, at least 3 for a statistic of pairs.
    """
    whole = statistic(range(units))
    without = [statistic([unit for unit in range(units) if unit != left_out]) for left_out in range(units)]
    return np.stack([units * whole - (units - 1) * part for part in without], -1)


def mean_squares(sample: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of rows, columns and residual of a (n, K) sample; 0 where there is one row or column."""
    n, k = sample.shape
    by_row, by_column, overall = sample.mean(1), sample.mean(0), sample.mean()
    residual = sample - by_row[:, None] - by_column[None, :] + overall
    rows = k * float(((by_row - overall) ** 2).sum()) / max(n - 1, 1)
    columns = n * float(((by_column - overall) ** 2).sum()) / max(k - 1, 1)
    return rows, columns, float((residual**2).sum()) / max((n - 1) * (k - 1), 1)


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tests each of several hypotheses, in the order given.

    The smallest p-value is tested at alpha / m, the next at alpha / (m - 1), until one is not rejected; that
    one and all after it are left at the level where the procedure stopped.
    """
    levels = [alpha / len(p_values)] * len(p_values) if p_values else []
    level = alpha / max(len(p_values), 1)
    stopped = False
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        if not stopped:
            level = alpha / (len(p_values) - step)
            stopped = p_values[index] > level
        levels[index] = level
    return levels


def settled_by(
    matched: np.ndarray,
    mismatched: np.ndarray,
    repeated: np.ndarray,
    *,
    pass_below: float,
    fail_above: float,
    alpha_fail: float,
    alpha_pass: float,
) -> tuple[int, int] | None:
    """How many images and draws, in all, would settle an open question in about four of five repetitions.

    Of the two only the one that varies more grows, unless that alone cannot settle it. None when rho lies
    where no amount settles it: between two thresholds, at one, or so close that thousands would be needed.
    """
    survived, scale = _parts(matched, mismatched, repeated)
    rho = _ratio(survived, scale)
    if math.isnan(rho) or pass_below <= rho <= fail_above:
        return None
    theta, alpha = (pass_below, alpha_pass) if rho < pass_below else (fail_above, alpha_fail)
    return enough(survived - theta * scale, alpha)


def enough(sample: np.ndarray, alpha: float) -> tuple[int, int] | None:
    """How many rows and columns would show, in about four of five repetitions, that the mean is not 0.

    Of the two only the one that varies more grows, unless that alone is not enough; None where thousands are needed.
    """
    n, k = sample.shape
    by_row, by_column, spread = _components(sample)
    more_images = by_row / n >= by_column / k
    for images_grow, draws_grow in ((more_images, not more_images), (True, k > 1)):
        for factor in _FACTORS:
            rows, columns = (
                math.ceil(n * factor) if images_grow else n,
                math.ceil(k * factor) if draws_grow else k,
            )
            if max(rows, columns) > _MOST:
                break
            variance = by_row / rows + by_column / columns + spread / (rows * columns)
            freedom = max(min(rows, columns if by_column > 0 else rows) - 1, 1)
            needed = stdtrit(freedom, 1 - alpha) + stdtrit(freedom, _POWER)
            if abs(sample.mean()) > needed * math.sqrt(variance):
                return rows, columns
    return None


_FACTORS = [1.25**step for step in range(1, 40)]


def _components(sample: np.ndarray) -> tuple[float, float, float]:
    """Variance components of rows, columns and residual, not below 0."""
    n, k = sample.shape
    rows, columns, residual = mean_squares(sample)
    if k == 1:
        return rows, 0.0, 0.0
    return max(rows - residual, 0) / k, max(columns - residual, 0) / n, residual


def _crossing(survived: np.ndarray, scale: np.ndarray, alpha: float, side: int) -> float:
    """The theta at which the one-sided bound of mean D(theta) crosses 0: the end of rho's interval."""

    def bound(theta: float) -> float:
        mean, variance, freedom = two_way_mean(survived - theta * scale)
        return float(mean + side * stdtrit(freedom, 1 - alpha) * math.sqrt(variance))

    rho = _ratio(survived, scale)
    return side * math.inf if math.isnan(rho) else _beside(bound, rho, side)


def _ratio(survived: np.ndarray, scale: np.ndarray) -> float:
    """mean(T - X) / mean(N - X); NaN where nothing can survive, because any two maps agree as well as a repetition."""
    return float(survived.mean() / scale.mean()) if scale.mean() > 0 else math.nan


def _beside(bound: Callable[[float], float], center: float, side: int) -> float:
    """The sign change of `bound` on the given side of rho: its value falls as theta grows."""
    from scipy.optimize import brentq

    end = side * _WIDEST
    if abs(center) >= _WIDEST or side * bound(end) > 0:
        return side * math.inf
    if side * bound(center) <= 0:  # no spread at all: the interval is rho itself
        return center
    return float(brentq(bound, center, end, xtol=1e-12))


def _tail(mean: float, variance: float, freedom: float) -> float:
    """One-sided p-value of a mean above 0; without variance the sign decides."""
    if variance <= 0:
        return 0.0 if mean > 0 else 1.0
    return float(stdtr(freedom, -mean / math.sqrt(variance)))
