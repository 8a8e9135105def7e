"""Rank correlations against scipy, pair by pair, and what holds for all maps."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from torch import Tensor

from pytest_saliency_sanity.statistics import (
    is_constant,
    is_one_sided,
    matched_similarity,
    mismatched_similarity,
    rank,
)

close = torch.testing.assert_close


def maps_of(seed: int, n: int = 5, size: tuple[int, ...] = (7, 6), ties: bool = False) -> Tensor:
    maps = torch.randn(n, *size, generator=torch.Generator().manual_seed(seed))
    return (maps * 2).round() if ties else maps


def sparse_maps(seed: int, n: int = 5, size: int = 60, share: float = 0.4, ties: bool = False) -> Tensor:
    """Non-negative maps of which about `share` of the pixels are not zero."""
    stream = torch.Generator().manual_seed(seed)
    values = 0.1 + torch.rand(n, size, generator=stream)
    values = (values * 4).ceil() if ties else values
    return values * (torch.rand(n, size, generator=stream) < share)


def similarities(left: Tensor, right: Tensor, one_sided: bool = False) -> Tensor:
    return matched_similarity(rank(left, one_sided=one_sided), rank(right, one_sided=one_sided)).double()


def flat_spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Pearson's correlation of average ranks; 1 for maps in the same order, else 0 where it is undefined."""
    a, b = rankdata(left), rankdata(right)
    if np.array_equal(a, b):
        return 1.0
    return float(spearmanr(left, right).statistic) if np.ptp(left) and np.ptp(right) else 0.0


def flat_union_spearman(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman over the pixels where either non-negative map is above its smallest value."""
    if np.array_equal(rankdata(left), rankdata(right)):
        return 1.0
    union = (left > left.min()) | (right > right.min())
    a, b = left[union], right[union]
    return float(spearmanr(a, b).statistic) if len(a) > 1 and np.ptp(a) and np.ptp(b) else 0.0


def reference(one: object, left: Tensor, right: Tensor) -> Tensor:
    flat = zip(left.flatten(1).double().numpy(), right.flatten(1).double().numpy(), strict=True)
    return torch.tensor([one(a, b) for a, b in flat], dtype=torch.float64)  # type: ignore[operator]


# Ranks.


@pytest.mark.parametrize("ties", [False, True])
def test_ranks_are_those_of_scipy(ties: bool) -> None:
    maps = maps_of(0, ties=ties)
    expected = np.stack([rankdata(one, method="average") for one in maps.flatten(1).numpy()])
    close(rank(maps).ranks.double(), torch.from_numpy(expected))


@given(hnp.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.integers(-3, 3)))
def test_ranks_with_many_ties(values: np.ndarray) -> None:
    expected = np.stack([rankdata(one) for one in values])
    close(rank(torch.from_numpy(values).float()).ranks.double(), torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    values=hnp.arrays(
        np.int16, st.tuples(st.integers(1, 3), st.integers(1, 60)), elements=st.integers(-99, 99)
    )
)
def test_ranks_with_few_ties(dtype: torch.dtype, values: np.ndarray) -> None:
    expected = np.stack([rankdata(one) for one in values])
    close(rank(torch.from_numpy(values).to(dtype)).ranks.double(), torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_that_differ_by_rounding_tie(dtype: torch.dtype) -> None:
    """At the scale of a map, and without a warning where its range overflows."""
    eps, most = torch.finfo(dtype).eps, torch.finfo(dtype).max
    close, apart = (torch.tensor([1, 1 + k * eps, 1 + k * eps / 2], dtype=dtype) for k in (4, 8))
    wide = torch.tensor([most, -most, 0], dtype=dtype)
    ranked = rank(torch.stack([close, apart, wide]))
    assert ranked.ranks.tolist() == [[2, 2, 2], [1, 3, 2], [3, 1, 2]]
    assert ranked.constant.tolist() == [True, False, False]


def test_ranks_of_a_map_that_is_no_longer_contiguous() -> None:
    maps = maps_of(1, size=(6, 7)).transpose(1, 2)
    close(rank(maps).ranks, rank(maps.contiguous()).ranks)


# Spearman with the sign kept.


@pytest.mark.parametrize("ties", [False, True])
def test_matched_is_spearman(ties: bool) -> None:
    left, right = maps_of(0, ties=ties), maps_of(1, ties=ties) + maps_of(0)
    close(similarities(left, right), reference(flat_spearman, left, right), atol=1e-6, rtol=0)


def test_mismatched_is_the_mean_over_all_other_images() -> None:
    left, right = maps_of(0), maps_of(1) + maps_of(0).roll(1, 0)
    n = len(left)
    table = [[flat_spearman(a.flatten().numpy(), b.flatten().numpy()) for b in right] for a in left]
    expected = [sum(table[i][j] for j in range(n) if j != i) / (n - 1) for i in range(n)]
    found = mismatched_similarity(rank(left), rank(right)).double()
    close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["constant", "signed", "binary"])
@pytest.mark.parametrize("one_sided", [False, True])
def test_identical_maps_have_similarity_one(kind: str, one_sided: bool) -> None:
    made = {"constant": torch.full((3, 8), 2.0), "signed": maps_of(0, 3), "binary": sparse_maps(0, 3).sign()}
    assert (similarities(made[kind], made[kind].clone(), one_sided) == 1).all()


@pytest.mark.parametrize("one_sided", [False, True])
def test_identical_binary_maps_of_different_images_have_similarity_one_too(one_sided: bool) -> None:
    same = sparse_maps(0, 1).sign().expand(3, -1)
    ranks = rank(same, one_sided=one_sided)
    close(mismatched_similarity(ranks, ranks), torch.ones(3))


@pytest.mark.parametrize("one_sided", [False, True])
def test_a_constant_map_has_nothing_in_common_with_any_other(one_sided: bool) -> None:
    constant, other = torch.ones(3, 60), sparse_maps(0, 3)
    assert (similarities(constant, other, one_sided) == 0).all()
    assert (similarities(other, constant, one_sided) == 0).all()
    found = mismatched_similarity(rank(constant, one_sided=one_sided), rank(other, one_sided=one_sided))
    assert (found == 0).all()


@pytest.mark.parametrize("scale", [1e12, 1e-12, 1e-30])
@pytest.mark.parametrize("one_sided", [False, True])
def test_scale_does_not_matter(scale: float, one_sided: bool) -> None:
    left, right = (sparse_maps(seed) for seed in (0, 1))
    expected = similarities(left, right, one_sided)
    close(similarities(left * scale, right, one_sided), expected, atol=1e-6, rtol=0)
    assert not is_constant(left * scale).any()


@pytest.mark.parametrize("dtype", [torch.half, torch.double])
@pytest.mark.parametrize("one_sided", [False, True])
def test_half_and_double(dtype: torch.dtype, one_sided: bool) -> None:
    left, right = (sparse_maps(seed, ties=True) for seed in (0, 1))  # values that half precision holds
    expected = similarities(left, right, one_sided)
    close(similarities(left.to(dtype), right.to(dtype), one_sided), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("one_sided", [False, True])
def test_large_maps_keep_their_precision(one_sided: bool) -> None:
    left, right = sparse_maps(0, 2, 90_000), sparse_maps(0, 2, 90_000) + 0.05 * sparse_maps(1, 2, 90_000)
    one = flat_union_spearman if one_sided else flat_spearman
    close(similarities(left, right, one_sided), reference(one, left, right), atol=1e-4, rtol=0)


pairs = hnp.arrays(np.float32, (2, 3, 12), elements=st.integers(-20, 20).map(float))


@given(pairs)
def test_symmetric_and_within_one(pair: np.ndarray) -> None:
    for one_sided in (False, True):
        left, right = (torch.from_numpy(part).abs() if one_sided else torch.from_numpy(part) for part in pair)
        there, back = similarities(left, right, one_sided), similarities(right, left, one_sided)
        close(there, back, atol=1e-6, rtol=0)
        assert (there.abs() <= 1 + 1e-6).all()


@given(pairs)
def test_monotone_transforms_change_nothing(pair: np.ndarray) -> None:
    left, right = torch.from_numpy(pair).unbind(0)
    expected = similarities(left, right)
    close(similarities(left**3 + 2 * left - 5, right), expected, atol=1e-6, rtol=0)
    close(
        similarities(left.abs(), right.abs(), True),
        similarities(left**2, right.abs(), True),
        atol=1e-6,
        rtol=0,
    )


@given(pairs)
def test_signs_turn_the_correlation_around(pair: np.ndarray) -> None:
    left, right = torch.from_numpy(pair).unbind(0)
    there = similarities(left, right)
    apart = (rank(left).ranks != rank(right).ranks).any(1) & (rank(-left).ranks != rank(right).ranks).any(1)
    close(similarities(-left, -right), there, atol=1e-6, rtol=0)
    close(similarities(-left, right)[apart], -there[apart], atol=1e-6, rtol=0)


# Maps of one sign: over the union of the supports.


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_one_sided_is_spearman_over_the_union(ties: bool, share: float) -> None:
    left, right = (sparse_maps(seed, 8, share=share, ties=ties) for seed in (0, 1))
    close(similarities(left, right, True), reference(flat_union_spearman, left, right), atol=1e-5, rtol=0)


@settings(max_examples=200)
@given(hnp.arrays(np.float32, (2, 3, 10), elements=st.integers(0, 4).map(float)))
def test_one_sided_against_the_reference(pair: np.ndarray) -> None:
    left, right = torch.from_numpy(pair).unbind(0)
    close(similarities(left, right, True), reference(flat_union_spearman, left, right), atol=1e-5, rtol=0)


def test_disjoint_supports_disagree() -> None:
    left = torch.tensor([[1.0, 2, 0, 0, 0, 0]])
    right = torch.tensor([[0.0, 0, 3, 1, 0, 0]])
    assert similarities(left, right, True) < -0.5 < similarities(left, right)


def test_mismatched_over_the_union_is_the_mean_over_a_few_partners() -> None:
    left, right = sparse_maps(0, 4), sparse_maps(1, 4)
    shifted = [reference(flat_union_spearman, left, right.roll(shift, 0)) for shift in (1, 2, 3)]
    found = mismatched_similarity(rank(left, one_sided=True), rank(right, one_sided=True)).double()
    close(found, torch.stack(shifted).mean(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("one_sided", [False, True])
def test_two_images_are_each_others_only_partner(one_sided: bool) -> None:
    left, right = (rank(sparse_maps(seed, 2), one_sided=one_sided) for seed in (0, 1))
    swapped = rank(sparse_maps(1, 2).flip(0), one_sided=one_sided)
    close(mismatched_similarity(left, right), matched_similarity(left, swapped))


def test_maps_that_are_never_positive_are_turned_over() -> None:
    left, right = sparse_maps(0), sparse_maps(1)
    expected = similarities(left, right, True)
    close(similarities(-left, -right, True), expected)
    close(similarities(-left, right, True), expected)


def test_a_standardized_absolute_map_has_its_floor_where_the_ties_are() -> None:
    left, right = sparse_maps(0), sparse_maps(1)
    shifted = (left - left.mean(1, keepdim=True)) / left.std(1, keepdim=True)
    expected = similarities(left, right, True)
    close(similarities(shifted, right, True), expected, atol=1e-6, rtol=0)
    close(similarities(-shifted, right, True), expected, atol=1e-6, rtol=0)


# Why absolute maps over the whole frame cannot decide (the design's closed form).


@pytest.mark.parametrize("q", [0.05, 0.19, 0.5])
def test_a_shared_background_alone_correlates(q: float) -> None:
    """Two independent absolute maps, both zero outside the same fraction q of the pixels."""
    stream, size = np.random.default_rng(0), 40_000
    inside = np.arange(size) < q * size
    left, right = (torch.from_numpy(stream.random(size) * inside)[None] for _ in range(2))
    closed_form = 1 / (1 + q**2 / (3 * (1 - q)))
    assert float(similarities(left, right)) == pytest.approx(closed_form, abs=0.01)
    assert abs(float(similarities(left, right, True))) < 0.05


def test_the_closed_form_at_the_digits() -> None:
    assert pytest.approx(0.985, abs=0.001) == 1 / (1 + 0.19**2 / (3 * 0.81))


# Which maps are constant, which are one-sided.


def test_constant_up_to_rounding() -> None:
    rounding = torch.full((1, 9), 0.1)
    rounding[0, 3] += 2e-8
    assert is_constant(rounding).all()
    assert is_constant(torch.zeros(2, 3, 3)).all()
    assert is_constant(torch.tensor([[1e-30, 2e-30], [1.0, 1.0], [0.0, 1e-12]])).tolist() == [
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    "maps, expected",
    [
        (maps_of(0), False),
        (maps_of(0).abs(), True),
        (-maps_of(0).abs(), True),
        (maps_of(0).abs() - 0.5, False),
        (maps_of(0).relu() - 0.5, True),
        (torch.cat([maps_of(0, 4).abs(), maps_of(1, 1)]), False),
        (maps_of(0) * (maps_of(1) > 1), False),
        (torch.zeros(3, 5), True),
        (maps_of(0, size=(2,)) - maps_of(0, size=(2,)).mean(1, keepdim=True), False),
    ],
    ids=[
        "signed",
        "absolute",
        "negative",
        "shifted",
        "rectified and shifted",
        "all but one",
        "sparse",
        "zero",
        "tiny",
    ],
)
def test_one_sidedness(maps: Tensor, expected: bool) -> None:
    assert is_one_sided(maps) is expected


def test_the_share_of_ties_that_makes_a_map_one_sided() -> None:
    maps = torch.linspace(-1, 1, 20)[None].repeat(2, 1)
    maps[:, :3] = -1
    assert is_one_sided(maps) and not is_one_sided(maps, atom=0.2)
