"""The two-way interval against a flat analysis of variance, and what its error rates are."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pytest_saliency_sanity.statistics import Contrast, holm_levels, retained_fraction
from pytest_saliency_sanity.statistics.contrast import mean_squares, settled_by, two_way_mean
from tests.calibration.contrast import SPREADS, false_alarms, one_way_mean, samples

LEVELS = {"threshold": 0.3, "alpha_fail": 0.01, "alpha_pass": 0.05}


def made(
    seed: int,
    mean: float = 0.3,
    size: tuple[int, int] = (16, 5),
    spread: tuple[float, float, float] = (0.1, 0.1, 0.1),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T, X and N of a sample whose true rho is `mean`: X around 0, N = 1."""
    matched = mean + samples(1, size, spread, seed)[0]
    return matched, 0.02 * samples(1, size, (1, 0, 1), seed + 1)[0], np.ones(size[0])


def flat_anova(sample: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of a two-way layout with one observation a cell, sum by sum."""
    n, k = sample.shape
    overall = sum(sample[i, j] for i in range(n) for j in range(k)) / (n * k)
    rows = [sum(sample[i, j] for j in range(k)) / k for i in range(n)]
    columns = [sum(sample[i, j] for i in range(n)) / n for j in range(k)]
    between_rows = k * sum((row - overall) ** 2 for row in rows)
    between_columns = n * sum((column - overall) ** 2 for column in columns)
    total = sum((sample[i, j] - overall) ** 2 for i in range(n) for j in range(k))
    residual = total - between_rows - between_columns
    return between_rows / (n - 1), between_columns / (k - 1), residual / ((n - 1) * (k - 1))


# The two-way mean.


@pytest.mark.parametrize("size", [(2, 2), (16, 5), (7, 20)])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_mean_squares_are_those_of_an_analysis_of_variance(
    size: tuple[int, int], spread: tuple[float, float, float]
) -> None:
    sample = 1 + samples(1, size, spread, 0)[0]
    assert mean_squares(sample) == pytest.approx(flat_anova(sample), abs=1e-12)


def test_variance_and_degrees_of_freedom_of_satterthwaite() -> None:
    sample = samples(1, (16, 5), (1.0, 1.0, 0.5), 0)[0]
    rows, columns, residual = flat_anova(sample)
    synthetic = rows + columns - residual
    freedom = synthetic**2 / (rows**2 / 15 + columns**2 / 4 + residual**2 / 60)
    assert synthetic > max(rows, columns)
    assert two_way_mean(sample) == pytest.approx((sample.mean(), synthetic / 80, freedom))


def test_the_variance_is_never_below_that_of_rows_or_columns_alone() -> None:
    sample = samples(1, (16, 5), (0.0, 0.0, 1.0), 3)[0]
    rows, columns, residual = flat_anova(sample)
    assert rows + columns - residual < max(rows, columns)
    freedom = 15 if rows >= columns else 4
    assert two_way_mean(sample) == pytest.approx((sample.mean(), max(rows, columns) / 80, freedom))


def test_one_column_is_a_one_way_sample() -> None:
    sample = samples(1, (16, 1), (1.0, 0.0, 0.0), 0)[0]
    mean, variance, freedom = two_way_mean(sample)
    found = stats.ttest_1samp(sample[:, 0], 0, alternative="greater")
    assert freedom == 15
    assert stats.t.sf(mean / math.sqrt(variance), freedom) == pytest.approx(found.pvalue)


def test_columns_that_repeat_each_other_are_a_one_way_sample() -> None:
    column = samples(1, (16, 1), (1.0, 0.0, 0.0), 0)[0]
    assert two_way_mean(column.repeat(5, 1)) == pytest.approx(two_way_mean(column))


@given(hnp.arrays(np.float64, (6, 4), elements=st.floats(-1, 1)), st.randoms())
def test_the_order_of_images_and_draws_does_not_matter(sample: np.ndarray, random: object) -> None:
    rows, columns = np.arange(6), np.arange(4)
    random.shuffle(rows), random.shuffle(columns)  # type: ignore[attr-defined]
    mean, variance, _ = two_way_mean(sample)
    assert two_way_mean(sample[rows][:, columns])[:2] == pytest.approx((mean, variance), abs=1e-12)


# The interval inverts the test.


def bound(sample: tuple[np.ndarray, np.ndarray, np.ndarray], theta: float, alpha: float, side: int) -> float:
    """The one-sided bound of mean D(theta), with scipy's t."""
    matched, mismatched, repeated = sample
    mean, variance, freedom = two_way_mean((matched - mismatched) - theta * (repeated[:, None] - mismatched))
    return mean + side * stats.t.ppf(1 - alpha, freedom) * math.sqrt(variance)


@given(
    st.integers(0, 10_000),
    st.floats(-0.3, 1),
    st.tuples(st.integers(2, 20), st.integers(1, 8)),
    st.tuples(*[st.sampled_from([0.0, 0.05, 0.3])] * 3),
    st.sampled_from([0.01, 0.05]),
)
def test_a_bound_crosses_zero_at_each_end(
    seed: int, mean: float, size: tuple[int, int], spread: tuple[float, float, float], alpha: float
) -> None:
    sample = made(seed, mean, size, spread)
    found = retained_fraction(*sample, threshold=0.3, alpha_fail=alpha, alpha_pass=alpha)
    assert found.lower <= found.statistic <= found.upper
    for end, side in ((found.lower, -1), (found.upper, 1)):
        if math.isfinite(end):
            assert bound(sample, end - 1e-6, alpha, side) > 0 > bound(sample, end + 1e-6, alpha, side)


@given(st.integers(0, 10_000), st.floats(0.1, 0.8), st.tuples(st.integers(4, 20), st.integers(2, 8)))
def test_p_value_and_interval_agree(seed: int, mean: float, size: tuple[int, int]) -> None:
    found = retained_fraction(*made(seed, mean, size), **LEVELS)
    assume(abs(found.lower - 0.3) > 1e-6)
    assert (found.p_value < 0.01) == (found.lower > 0.3)


def test_a_wide_interval_is_open() -> None:
    matched, mismatched, repeated = made(0, size=(3, 2), spread=(0.1, 0.1, 0.1))
    found = retained_fraction(matched, mismatched, repeated - [0.9, 1.1, 1.0] + 0.01, **LEVELS)
    assert found.lower == -math.inf or found.upper == math.inf


def test_rho_is_a_ratio_of_means() -> None:
    matched, mismatched, repeated = made(0)
    expected = (matched - mismatched).mean() / (repeated[:, None] - mismatched).mean()
    found = retained_fraction(matched, mismatched, repeated, **LEVELS)
    assert found.statistic == pytest.approx(expected)
    assert (found.images, found.draws) == (16, 5)


def test_rho_counts_from_what_any_two_maps_share() -> None:
    """T = .6 where any two maps share .2 and a repetition agrees .8 retains two thirds."""
    found = retained_fraction(np.full((4, 3), 0.6), np.full((4, 3), 0.2), np.full(4, 0.8), **LEVELS)
    assert found.statistic == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "rho, p_value", [(1.0, 0.0), (0.3 + 1e-9, 0.0), (0.3 - 1e-9, 1.0), (0.0, 1.0), (-0.2, 1.0)]
)
def test_without_variance_the_sign_decides(rho: float, p_value: float) -> None:
    found = retained_fraction(np.full((8, 5), rho), np.zeros((8, 5)), np.ones(8), **LEVELS)
    assert found.p_value == pytest.approx(p_value, abs=1e-12)
    assert (found.lower, found.upper) == pytest.approx((rho, rho), abs=1e-9)
    assert (found.lower > 0.3) == (p_value == 0)


def test_nothing_can_be_retained_where_any_two_maps_agree_as_well_as_a_repetition() -> None:
    found = retained_fraction(np.full((4, 3), 0.9), np.full((4, 3), 1.0), np.full(4, 1.0), **LEVELS)
    assert math.isnan(found.statistic)
    assert (found.lower, found.upper) == (-math.inf, math.inf)


def test_a_contrast_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Contrast(0.1, 0.0, 0.2, 0.5, 16, 5).statistic = 1.0  # type: ignore[misc]


# Error rates.


@pytest.mark.parametrize("size", [(16, 5), (8, 5)])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
def test_false_alarms(size: tuple[int, int], spread: tuple[float, float, float]) -> None:
    """Of 3,000 samples at the threshold: at most 1.7 % at 1 %, 6 % at 5 % (three standard errors above)."""
    at_one, at_five = false_alarms(two_way_mean, samples(3000, size, spread, 1))
    assert at_one < 0.017
    assert at_five < 0.065


def test_a_test_over_images_alone_raises_false_alarms() -> None:
    drawn = samples(1000, (16, 5), (0.3, 1.0, 0.5), 1)
    assert false_alarms(one_way_mean, drawn)[0] > 0.2


def test_intervals_cover() -> None:
    """The true rho lies below the lower bound in about 1 %, above the upper one in about 5 % of samples."""
    found = [retained_fraction(*made(seed, 0.4, (8, 4)), **LEVELS) for seed in range(0, 800, 2)]
    assert sum(one.lower > 0.4 for one in found) <= 12
    assert 5 <= sum(one.upper < 0.4 for one in found) <= 36


# Holm's correction.


def flat_holm(p_values: list[float], alpha: float) -> list[bool]:
    """Rejections of Holm (1979): step down until one is not rejected."""
    rejected = [False] * len(p_values)
    remaining = dict(enumerate(p_values))
    while remaining:
        index = min(remaining, key=lambda key: remaining[key])
        if remaining[index] > alpha / len(remaining):
            return rejected
        rejected[index] = True
        del remaining[index]
    return rejected


@given(st.lists(st.sampled_from([0.0, 0.001, 0.0033, 0.004, 0.005, 0.009, 0.01, 0.02, 0.5]), max_size=5))
def test_holm_rejects_what_the_flat_procedure_rejects(p_values: list[float]) -> None:
    levels = holm_levels(p_values, 0.01)
    assert [p <= level for p, level in zip(p_values, levels, strict=True)] == flat_holm(p_values, 0.01)
    assert all(0.01 / len(p_values) <= level <= 0.01 for level in levels)


def test_holm_levels_by_hand() -> None:
    assert holm_levels([0.5, 0.001, 0.004], 0.01) == pytest.approx([0.01, 0.01 / 3, 0.005])
    assert holm_levels([0.5, 0.2, 0.004], 0.01) == pytest.approx([0.01 / 3] * 3)
    assert holm_levels([0.02], 0.01) == [0.01]
    assert holm_levels([], 0.01) == []


# What would settle it.

RATES = {"pass_below": 0.3, "fail_above": 0.3, "alpha_fail": 0.01, "alpha_pass": 0.05}


def settles(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> bool:
    found = retained_fraction(*sample, **LEVELS)
    return found.lower > 0.3 or found.upper < 0.3


@pytest.mark.parametrize("mean", [0.1, 0.6])
@pytest.mark.parametrize(
    "spread", [(0.3, 0.02, 0.1), (0.05, 0.3, 0.1), (0.2, 0.2, 0.2)], ids=["images", "draws", "both"]
)
def test_the_numbers_it_names_settle_most_runs(mean: float, spread: tuple[float, float, float]) -> None:
    open_ = [made(seed, mean, (8, 4), spread) for seed in range(0, 120, 2)]
    open_ = [sample for sample in open_ if not settles(sample)]
    named = [found for sample in open_ if (found := settled_by(*sample, **RATES)) and max(found) < 500]
    settled = [settles(made(1000 + i, mean, size, spread)) for i, size in enumerate(named)]
    assert len(named) > 0.8 * len(open_) > 5
    assert sum(settled) > 0.6 * len(settled)


@pytest.mark.parametrize(
    "spread, grows", [((0.3, 0.02, 0.1), 0), ((0.02, 0.3, 0.1), 1)], ids=["images", "draws"]
)
def test_only_what_varies_more_grows_where_that_is_enough(
    spread: tuple[float, float, float], grows: int
) -> None:
    found = [settled_by(*made(seed, 0.05, (8, 4), spread), **RATES) for seed in range(0, 40, 2)]
    grown = [(images > 8, draws > 4) for images, draws in filter(None, found)]
    assert sum(both[grows] and not both[1 - grows] for both in grown) > len(grown) / 2


def test_one_draw_of_its_own_for_each_image_cannot_grow() -> None:
    """Target sensitivity averages an image's other classes: only more images help."""
    matched, mismatched, repeated = made(0, 0.25, (8, 1), (0.3, 0.0, 0.0))
    images, draws = settled_by(matched, mismatched, repeated, **RATES) or (0, 0)
    assert images > 8 and draws == 1


@pytest.mark.parametrize("mean", [0.4, 0.5, 0.7])
def test_nothing_settles_what_lies_between_two_lines(mean: float) -> None:
    assert settled_by(*made(0, mean, spread=(0.01, 0.01, 0.01)), **{**RATES, "fail_above": 0.8}) is None


def test_nothing_settles_what_has_no_ratio() -> None:
    assert settled_by(np.full((4, 3), 0.9), np.full((4, 3), 1.0), np.full(4, 1.0), **RATES) is None
