"""Partial rank correlation over supports, against a flat reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torch.testing import assert_close as close

from pytest_saliency_sanity.statistics import (
    matched_similarity,
    mismatched_similarity,
    pearson,
    rank,
    without,
)
from tests.statistics.test_similarity import sparse_maps

Flat = NDArray[np.float64]


def flat_partial(left: Flat, right: Flat, mine: Flat, theirs: Flat) -> float:
    """Ranks inside the union of the supports, less a linear regression on what is held constant, correlated."""
    union = (left > left.min()) | (right > right.min())
    a, b = (
        _residual(rankdata(left[union]), mine[:, union]),
        _residual(rankdata(right[union]), theirs[:, union]),
    )
    return float(np.corrcoef(a, b)[0, 1])


def _residual(values: Flat, known: Flat) -> Flat:
    design = np.vstack([np.ones(len(values)), known]).T
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


def held(seed: int, n: int, count: int) -> Tensor:
    made = [rank(sparse_maps(seed + k, n, share=0.9)).ranks for k in range(count)]
    return torch.stack(made, 1)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("ties", [False, True])
def test_partial_correlation_is_that_of_the_residuals(ties: bool, count: int) -> None:
    left, right, known = sparse_maps(0, 6, ties=ties), sparse_maps(1, 6, ties=ties), held(5, 6, count)
    found = matched_similarity(rank(left, one_sided=True), rank(right, one_sided=True), known)
    rows = zip(
        left.flatten(1).double().numpy(),
        right.flatten(1).double().numpy(),
        known.double().numpy(),
        strict=True,
    )
    close(
        found.double(),
        torch.tensor([flat_partial(a, b, z, z) for a, b, z in rows], dtype=torch.float64),
        atol=1e-5,
        rtol=0,
    )


def test_each_map_of_a_mismatched_pair_has_its_own_held_constant() -> None:
    left, right, known = sparse_maps(0, 2), sparse_maps(1, 2), held(5, 2, 2)
    found = mismatched_similarity(rank(left, one_sided=True), rank(right, one_sided=True), known)
    flat = [part.flatten(1).double().numpy() for part in (left, right)]
    z = known.double().numpy()
    expected = [flat_partial(flat[0][i], flat[1][1 - i], z[i], z[1 - i]) for i in (0, 1)]
    close(found.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)


def test_a_common_factor_is_taken_out() -> None:
    """Two products with the same image correlate; given the image, they do not."""
    generator = torch.Generator().manual_seed(0)
    image, one, other = (torch.rand(8, 4000, generator=generator) for _ in range(3))
    left, right = (rank(image * factor, one_sided=True) for factor in (one, other))
    assert matched_similarity(left, right).mean() > 0.4
    assert matched_similarity(left, right, rank(image).ranks[:, None]).abs().mean() < 0.05


def test_what_is_added_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    image, edges, one, other = (torch.rand(8, 4000, generator=generator) for _ in range(4))
    left, right = (rank(2 * edges + factor, one_sided=True) for factor in (one, other))
    assert matched_similarity(left, right, rank(image).ranks[:, None]).mean() > 0.7


def test_equal_maps_are_equal_whatever_is_held_constant() -> None:
    maps = rank(sparse_maps(0), one_sided=True)
    close(matched_similarity(maps, maps, maps.ranks[:, None]), torch.ones(len(maps.ranks)))


def test_a_map_that_is_what_is_held_constant_has_nothing_left() -> None:
    left, right = rank(sparse_maps(0), one_sided=True), rank(sparse_maps(1), one_sided=True)
    both = torch.stack([left.ranks, right.ranks], 1)
    full = rank(1 + torch.rand(5, 1, 60, generator=torch.Generator().manual_seed(0)), one_sided=True)
    other = rank(1 + torch.rand(5, 1, 60, generator=torch.Generator().manual_seed(1)), one_sided=True)
    close(matched_similarity(full, other, full.ranks[:, None]), torch.zeros(5), atol=1e-3, rtol=0)
    assert matched_similarity(left, right, torch.cat([both, both], 1)).isfinite().all()


@pytest.mark.parametrize("count", [1, 3])
def test_values_less_what_is_known_of_them(count: int) -> None:
    left, right, *given = (rank(sparse_maps(seed)).linear for seed in range(2 + count))
    known = torch.stack(given, 1)
    matched, _ = pearson(without(left, known), without(right, known))
    rows = zip(left.double().numpy(), right.double().numpy(), known.double().numpy(), strict=True)
    expected = [np.corrcoef(_residual(a, z), _residual(b, z))[0, 1] for a, b, z in rows]
    close(matched.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=0)
    close(without(given[0], known), torch.zeros_like(left), atol=1e-3, rtol=0)


def test_what_is_the_same_everywhere_explains_nothing() -> None:
    left, right = rank(sparse_maps(0), one_sided=True), rank(sparse_maps(1), one_sided=True)
    known = held(5, len(left.ranks), 1)
    constant = torch.full_like(known, 7.0)
    for found in (matched_similarity, mismatched_similarity):
        close(found(left, right, constant), found(left, right), atol=1e-6, rtol=0)
        close(
            found(left, right, torch.cat([known, constant], 1)), found(left, right, known), atol=1e-6, rtol=0
        )
