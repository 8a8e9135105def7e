"""The sign-flip test and its bounds."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pytest_saliency_sanity.statistics.sign_flips import fewest_values, sign_flip_bounds, sign_flip_p


def test_few_values_are_flipped_in_all_ways() -> None:
    values = np.array([0.5, 0.2, -0.1, 0.9, 0.3])
    sums = [float(np.dot(signs, values)) for signs in product([1, -1], repeat=5)]
    assert sign_flip_p(values) == np.mean([total >= values.sum() - 1e-9 for total in sums])


def test_many_values_are_flipped_at_random_and_repeatably() -> None:
    values = np.random.default_rng(0).standard_normal(40) + 0.1
    assert sign_flip_p(values, 3) == sign_flip_p(values, 3)
    assert abs(sign_flip_p(values, 3) - sign_flip_p(values, 4)) < 0.05


def test_the_bounds_invert_the_test() -> None:
    values = np.random.default_rng(1).standard_normal(16) + 1
    lower, upper = sign_flip_bounds(values, 0.05, 0.01)
    assert lower < values.mean() < upper
    assert sign_flip_p(values - (lower - 1e-3)) <= 0.05 <= sign_flip_p(values - (lower + 1e-3)) + 0.01
    assert sign_flip_p((upper + 1e-3) - values) <= 0.01 + 1e-3


def test_too_few_values_reject_nothing() -> None:
    lower, upper = sign_flip_bounds(np.array([1.0, 1.1, 0.9]), 0.05, 0.05)
    assert (lower, upper) == (-np.inf, np.inf)


@pytest.mark.parametrize("alpha, fewest", [(0.05, 5), (0.01, 7), (0.005, 8), (0.25, 3)])
def test_how_many_values_reject_anything(alpha: float, fewest: int) -> None:
    values = np.linspace(1, 1.2, fewest)
    assert fewest_values(alpha) == fewest
    assert np.isfinite(sign_flip_bounds(values, alpha, alpha)).all()
    assert not np.isfinite(sign_flip_bounds(values[1:], alpha, alpha)).any()


def test_equal_values_are_their_own_bounds() -> None:
    assert sign_flip_bounds(np.zeros(8), 0.05, 0.01) == (0, 0)


@pytest.mark.parametrize("n", [8, 16])
def test_false_alarms_are_as_rare_as_asked_for(n: int) -> None:
    stream = np.random.default_rng(n)
    draws = [stream.standard_t(3, n) for _ in range(600)]
    assert np.mean([sign_flip_p(values) <= 0.05 for values in draws]) <= 0.08
