"""Hulls against flat references, degenerate sets, and placements that keep the shape."""

from __future__ import annotations

import math
import re
import warnings
from itertools import product

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_saliency_sanity.statistics.hulls import (
    area,
    convex_hulls,
    hulls,
    important,
    placements,
    region_like,
    relative_change_of_area,
    relative_sensitivity,
    without_isolated,
)

close = torch.testing.assert_close


def mask_of(*rows: str) -> Tensor:
    """(1, H, W) True where a row has #."""
    return torch.tensor([[[character == "#" for character in row] for row in rows]])


def maps_of(seed: int, n: int = 4, height: int = 12, width: int = 10) -> Tensor:
    return torch.randn(n, height, width, generator=torch.Generator().manual_seed(seed))


masks = hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).map(torch.from_numpy)
tied_maps = hnp.arrays(np.float32, (2, 5, 4), elements=st.integers(-3, 3)).map(torch.from_numpy)


# The pixels that count


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.9])
def test_without_ties_the_top_share_is_that_many_pixels(share):
    maps = maps_of(0)
    chosen = important(maps, share=share)
    for one, mask in zip(maps, chosen, strict=True):
        wanted = max(1, round(share * one.numel()))
        assert set(one[mask].tolist()) == set(sorted(one.flatten().tolist())[-wanted:])


def test_the_fraction_is_of_the_maximum():
    maps = torch.tensor([[[10.0, 1.0, 0.99, -10.0]]])
    assert important(maps, fraction=0.1).tolist() == [[[True, True, False, False]]]
    assert not important(-1 - maps.abs(), fraction=0.1).any()


def test_the_two_thresholds_differ():
    maps = torch.arange(100.0).view(1, 10, 10)
    assert area(important(maps, fraction=0.1)) == 90  # 9.9 and more
    assert area(important(maps, share=0.5)) == 50


@settings(max_examples=50, deadline=None)
@given(tied_maps, st.floats(0.01, 1))
def test_equal_pixels_are_taken_or_left_together(maps, share):
    for one, mask in zip(maps, important(maps, share=share), strict=True):
        assert not set(one[mask].tolist()) & set(one[~mask].tolist())


@settings(max_examples=50, deadline=None)
@given(tied_maps, st.floats(0.01, 1))
def test_the_count_is_the_nearest_that_ties_allow(maps, share):
    for one, mask in zip(maps, important(maps, share=share), strict=True):
        values = sorted(set(one.flatten().tolist()), reverse=True)[:-1]  # never the smallest
        counts = [int((one >= value).sum()) for value in values]
        wanted = max(1, round(share * one.numel()))
        best = min((abs(count - wanted) for count in counts), default=0)
        assert int(mask.sum()) in ([c for c in counts if abs(c - wanted) == best] or [0])


def test_of_two_counts_as_near_the_smaller_is_taken():
    maps = torch.tensor([[[4.0, 3, 3, 0, 0, 0, 0, 0, 0, 0]]])
    assert important(maps, share=0.2).sum() == 1


def test_ties_count_when_nothing_lies_above_them():
    maps = torch.zeros(1, 10, 10)
    maps[0, :3] = 1
    assert torch.equal(important(maps, share=0.05), maps.bool())


@pytest.mark.parametrize("threshold", [{"share": 0.05}, {"fraction": 0.1}])
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_a_constant_map_points_at_nothing(value, threshold):
    maps = torch.full((2, 8, 8), value)
    maps[1] *= 1 + 1e-7 * torch.rand(8, 8, generator=torch.Generator().manual_seed(0))  # up to rounding
    assert not hulls(maps, **threshold).any()


def test_a_sparse_map_has_less_than_the_share():
    maps = torch.zeros(1, 10, 10)
    maps[0, 4, 4] = 1
    assert area(important(maps, share=0.5)) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_other_dtypes(dtype):
    maps = torch.arange(64).view(1, 8, 8)
    assert torch.equal(important(maps.to(dtype), share=0.25), maps >= 48)


@pytest.mark.parametrize("given_", [{}, {"share": 0.05, "fraction": 0.1}])
def test_exactly_one_threshold(given_):
    with pytest.raises(
        ValueError,
        match=r"give exactly one of share \(of the pixels\) and fraction .*, got share=.* fraction=",
    ):
        important(maps_of(0), **given_)


@pytest.mark.parametrize("name", ["share", "fraction"])
@pytest.mark.parametrize("value", [0, -0.1, 1.5, math.nan])
def test_a_threshold_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be above 0 and at most 1, got {value}$"):
        hulls(maps_of(0), **{name: value})


def test_maps_with_channels():
    with pytest.raises(
        ValueError,
        match=r"maps must have the shape \(n, H, W\), got \(4, 1, 12, 10\); sum over channels first",
    ):
        hulls(maps_of(0)[:, None], share=0.05)


# Isolated pixels


def flat_components(mask: Tensor) -> list[set[tuple[int, int]]]:
    """The sets of pixels that touch by an edge or a corner, found by walking."""
    left, found = {tuple(pixel) for pixel in mask.nonzero().tolist()}, []
    while left:
        component, front = set(), [left.pop()]
        while front:
            component.add(pixel := front.pop())
            near = {(pixel[0] + down, pixel[1] + right) for down, right in product((-1, 0, 1), repeat=2)}
            front += near & left
            left -= near
        found.append(component)
    return found


@settings(max_examples=60, deadline=None)
@given(masks, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_small_components_are_dropped(mask, smallest):
    components = flat_components(mask)
    largest = max((len(component) for component in components), default=0)
    kept = set().union(*(c for c in components if len(c) >= smallest * largest))
    (found,) = without_isolated(mask[None], smallest)
    assert {tuple(pixel) for pixel in found.nonzero().tolist()} == kept


def test_a_quarter_of_the_largest_stays():
    mask = mask_of("####..#", ".......", "####.##")
    assert torch.equal(without_isolated(mask), mask)
    assert torch.equal(without_isolated(mask_of("#####.#")), mask_of("#####.."))
    assert torch.equal(
        without_isolated(mask_of("##...", "..##.", "....#")), mask_of("##...", "..##.", "....#")
    )


# Hulls


@settings(max_examples=60, deadline=None)
@given(masks)
def test_a_hull_contains_its_set_and_is_convex(mask):
    (hull,) = convex_hulls(mask[None])
    assert bool((hull | ~mask).all())
    pixels = hull.nonzero()
    middles = (pixels[:, None] + pixels[None]).flatten(0, 1)
    whole = middles[(middles % 2 == 0).all(1)] // 2
    assert hull[whole[:, 0], whole[:, 1]].all()


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(0, 4), st.integers(0, 4))
def test_a_hull_moves_with_its_set(mask, down, right):
    framed = torch.nn.functional.pad(mask, (0, 4, 0, 4))
    moved = framed.roll((down, right), (0, 1))
    before, after = convex_hulls(torch.stack([framed, moved]))
    assert torch.equal(before.roll((down, right), (0, 1)), after)


@pytest.mark.parametrize(
    "mask",
    [
        mask_of("...", ".#.", "..."),
        mask_of("....", "####", "...."),
        mask_of("#", "#", "#"),
        mask_of("#..", ".#.", "..#"),
        mask_of("#"),
        mask_of("...", "..."),
        mask_of("###", "###"),
    ],
    ids=["pixel", "row", "column", "diagonal", "one_by_one", "empty", "full"],
)
def test_degenerate_sets_are_their_own_hull_without_a_warning(mask):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(convex_hulls(mask), mask)


def test_a_hull_fills_what_lies_between():
    assert torch.equal(convex_hulls(mask_of("#...#", ".....", "..#..")), mask_of("#####", ".###.", "..#.."))


def test_isolated_pixels_do_not_widen_the_hull():
    maps = torch.zeros(1, 16, 16)
    maps[0, 2:5, 2:5] = 1
    ring = maps.clone()
    ring[0, 3, 3], ring[0, 15, 15] = 0, 1
    assert torch.equal(hulls(ring, fraction=0.1), maps.bool())


def test_no_maps_have_no_hulls():
    assert hulls(torch.zeros(0, 4, 4), share=0.05).shape == (0, 4, 4)
    assert convex_hulls(torch.zeros(0, 4, 4, dtype=torch.bool)).dtype == torch.bool


# The paper's figures


def test_relative_sensitivity_is_the_change_a_pixel():
    before, after = torch.tensor([5.0, 5.0, 5.0]), torch.tensor([3.0, 7.0, 1.0])
    close(relative_sensitivity(before, after, torch.tensor([4, 4, 0])), torch.tensor([0.5, 0.5, 0.0]))


def test_relative_change_of_area():
    small, large, none = mask_of("#..."), mask_of("####"), mask_of("....")
    for gad, original, expected in [
        (small, large, 0.25), (large, small, 4.0), (none, large, 0.0), (none, none, 1.0), (small, none, math.inf)
    ]:  # fmt: skip
        assert relative_change_of_area(gad, original).tolist() == [expected]


def test_area_counts_pixels():
    assert area(torch.cat([mask_of("#.#"), mask_of("...")])).tolist() == [2, 0]


# Placements


@settings(max_examples=40, deadline=None)
@given(masks, st.integers(1, 50), st.integers(0, 3))
def test_placements_keep_the_shape_inside_the_frame(mask, count, seed):
    placed = placements(mask, count, seed)
    pictures = {one.numpy().tobytes() for one in placed}
    assert len(pictures) == len(placed) <= count
    assert mask.numpy().tobytes() not in pictures
    assert pictures <= flat_places(mask)
    assert len(placed) == (min(count, len(flat_places(mask)) - 1) if mask.any() else 0)


def flat_places(mask: Tensor) -> set[bytes]:
    """Every picture of the shape or a mirror image, shifted by any amount, that loses no pixel."""
    height, width = mask.shape
    pictures = set()
    for flips in ((), (0,), (1,), (0, 1)):
        padded = np.pad(mask.flip(flips).numpy(), ((height, height), (width, width)))
        for top, left in product(range(2 * height + 1), range(2 * width + 1)):
            window = padded[top : top + height, left : left + width]
            if window.sum() == mask.sum():
                pictures.add(window.tobytes())
    return pictures


def test_all_other_places_can_be_drawn():
    mask = mask_of("##....", "#.....", "......")[0]
    everywhere = {one.numpy().tobytes() for one in placements(mask, 1_000)}
    assert everywhere == flat_places(mask) - {mask.numpy().tobytes()}


def test_39_placements_repeat_with_the_seed():
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[3:9, 4:12] = True
    assert placements(mask).shape == (39, 32, 32)
    assert torch.equal(placements(mask, seed=5), placements(mask, seed=5))
    assert not torch.equal(placements(mask, seed=5), placements(mask, seed=6))


def test_a_shape_that_hardly_fits_has_few_places():
    mask = torch.ones(8, 8, dtype=torch.bool)
    assert placements(mask).shape == (0, 8, 8)
    mask[:, 0] = False
    assert torch.equal(placements(mask), mask.flip(1)[None])
    assert placements(torch.zeros(8, 8, dtype=torch.bool)).shape == (0, 8, 8)


@settings(max_examples=20)
@given(masks)
def test_placements_leave_the_random_state(mask):
    assume(mask.any())
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    placements(mask)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


def block(area_: int, sides: tuple[int, int]) -> Tensor:
    """A region of so many pixels in the lower right corner."""
    region = torch.zeros(sides, dtype=torch.bool)
    rows = max(1, round(area_**0.5))
    region[-rows:, -(area_ // rows) :] = True
    return region


def test_a_region_like_another_is_the_nearest_hull_that_any_share_gives():
    """Beside all shares one by one; where none has the area, it is the shape itself, moved."""
    for seed in range(6):
        one = torch.rand(14, 11, generator=torch.Generator().manual_seed(seed))
        one = torch.nn.functional.avg_pool2d(one[None, None], 5, 1, 2)[0, 0]
        every = torch.stack([hulls(one[None], share=count / one.numel())[0] for count in range(1, 155)])
        for wanted in (9, 30, 80):
            region = block(wanted, (14, 11))
            found = region_like(one, region, share=0.3)
            assert abs(int(found.sum()) - int(region.sum())) <= 0.1 * int(region.sum())
            hulled = any(torch.equal(found, hull) for hull in every)
            assert hulled or int(found.sum()) == int(region.sum())


def test_a_share_that_gives_the_area_is_taken_at_once():
    one = torch.rand(12, 12, generator=torch.Generator().manual_seed(1))
    own = hulls(one[None], share=0.05)[0]
    assert torch.equal(region_like(one, own, share=0.05), own)


def test_where_no_hull_has_the_area_the_shape_is_moved_to_where_the_map_is():
    """A square's edges are all of one height: their hull is the whole square, or nothing."""
    one = torch.zeros(24, 24)
    one[4:16, 4:16] = 1
    one[5:15, 5:15] = 0
    column = torch.zeros(24, 24, dtype=torch.bool)
    column[10:18, 20:22] = True
    found = region_like(one, column)
    assert int(found.sum()) == 16 and found.any(1).sum() == 8 and found.any(0).sum() == 2
    best = max(
        float(one[top : top + 8, left : left + 2].sum()) for top, left in product(range(17), range(23))
    )
    assert float(one[found].sum()) == best > 0


def test_a_map_of_one_value_still_has_a_region_of_the_area():
    assert int(region_like(torch.ones(8, 8), block(9, (8, 8))).sum()) == 9


@pytest.mark.parametrize("share", ["a", True, float("nan")])
def test_a_share_that_is_no_number(share):
    with pytest.raises(ValueError, match=re.escape(f"share must be above 0 and at most 1, got {share!r}")):
        hulls(torch.rand(1, 4, 4), share=share)
