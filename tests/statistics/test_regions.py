"""Boxes against torchvision, agreement against counts by hand, and every sentence about a bad region."""

from __future__ import annotations

import re

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_saliency_sanity.statistics.regions import (
    as_masks,
    bounding_boxes,
    intersection_over_union,
    mass_inside,
    maximum_inside,
)

close = torch.testing.assert_close

SHAPE = (3, 6, 8)
pairs_of_masks = hnp.arrays(bool, (2, 3, 4, 5)).map(torch.from_numpy)


@st.composite
def boxes_inside(draw: st.DrawFn, n: int = 3) -> Tensor:
    """(n, 4) whole-number xyxy boxes in 6 rows and 8 columns."""
    rows = []
    for _ in range(n):
        left, top = draw(st.integers(0, 7)), draw(st.integers(0, 5))
        rows.append([left, top, draw(st.integers(left + 1, 8)), draw(st.integers(top + 1, 6))])
    return torch.tensor(rows)


def flat_mask(boxes: Tensor, height: int = 6, width: int = 8) -> Tensor:
    """The union of whole-number xyxy boxes, by slicing."""
    mask = torch.zeros(height, width, dtype=torch.bool)
    for left, top, right, bottom in boxes.tolist():
        mask[top:bottom, left:right] = True
    return mask


# Boxes


@settings(max_examples=50, deadline=None)
@given(boxes_inside())
def test_a_box_is_its_slice_in_every_format(boxes):
    ops = pytest.importorskip("torchvision.ops")
    expected = torch.stack([flat_mask(box[None]) for box in boxes])
    for box_format in ("xyxy", "xywh", "cxcywh"):
        converted = ops.box_convert(boxes.float(), "xyxy", box_format)
        assert torch.equal(as_masks(converted, SHAPE, box_format=box_format), expected)
    assert torch.equal(as_masks(boxes, SHAPE), expected)


@settings(max_examples=50, deadline=None)
@given(boxes_inside())
def test_several_boxes_are_their_union(boxes):
    found = as_masks([boxes, boxes[:1], boxes[1:]], SHAPE)
    assert torch.equal(found, torch.stack([flat_mask(part) for part in (boxes, boxes[:1], boxes[1:])]))


def test_a_pixel_belongs_to_the_box_that_holds_its_center():
    found = as_masks(torch.tensor([[0.5, 0.0, 2.5, 1.49], [0.6, 0.0, 2.6, 1.51]]), (2, 3, 4))
    assert torch.equal(found[0], flat_mask(torch.tensor([[0, 0, 2, 1]]), 3, 4))
    assert torch.equal(found[1], flat_mask(torch.tensor([[1, 0, 3, 2]]), 3, 4))


def test_the_whole_image_may_stick_out_by_rounding():
    assert as_masks(torch.tensor([[-0.4, -1e-4, 8.0001, 6.5]]), (1, 6, 8)).all()


def test_masks_are_taken_as_they_are():
    masks = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0)) > 0.5
    assert as_masks(masks, SHAPE) is masks


GOOD = [[0, 0, 4, 4]] * 3
BAD = {
    "format": (
        torch.tensor(GOOD),
        {"box_format": "yxyx"},
        "unknown box_format 'yxyx'; choose from xyxy, xywh, cxcywh",
    ),
    "number": (torch.tensor(GOOD[:2]), {}, "got boxes for 2 images, but there are 3 images"),
    "shape": (torch.zeros(3, 5), {}, "boxes must have the shape (n, 4) (masks have (n, H, W)), got (3, 5)"),
    "list_shape": ([torch.zeros(4)], {}, "the boxes of image 0 must have the shape (k, 4), got (4,)"),
    "dtype": (torch.ones(3, 4) > 0, {}, "boxes must be whole or floating-point numbers, got torch.bool"),
    "no_box": (
        [torch.tensor(GOOD), torch.zeros(0, 4), torch.tensor(GOOD)],
        {},
        "image 1 has no box; leave out images without a region",
    ),
    "finite": (
        torch.tensor([*GOOD[1:], [0, 0, float("nan"), 4]]),
        {},
        "the xyxy box (0, 0, nan, 4) of image 2 is not finite",
    ),
    "inverted": (
        torch.tensor([*GOOD[1:], [4, 0, 2, 4]]),
        {},
        "the xyxy box (4, 0, 2, 4) of image 2 is inverted: it reaches from 4 to 2 across and from 0 to 4 down",
    ),
    "empty": (
        torch.tensor([[1, 2, 3, 0], *GOOD[1:]]),
        {"box_format": "xywh"},
        "the xywh box (1, 2, 3, 0) of image 0 is empty: it reaches from 1 to 4 across and from 2 to 2 down",
    ),
    "outside": (
        torch.tensor([[4, 2, 10, 4], *GOOD[1:]]),
        {"box_format": "cxcywh"},
        "the cxcywh box (4, 2, 10, 4) of image 0 leaves the image of 8 × 6 pixels: "
        "it reaches from -1 to 9 across and from 0 to 4 down",
    ),
    "fractions": (
        torch.tensor([[0.1, 0.1, 0.4, 0.4], *GOOD[1:]]),
        {},
        "the xyxy box (0.1, 0.1, 0.4, 0.4) of image 0 contains no pixel's center; boxes are in pixels, not in "
        "fractions of the image",
    ),
    "mask_dtype": (
        torch.ones(SHAPE),
        {},
        "masks must be boolean, got torch.float32; compare them with a value, as in masks > 0.5",
    ),
    "mask_shape": (
        torch.ones(3, 8, 6) > 0,
        {},
        "masks must have the images' shape (3, 6, 8), got (3, 8, 6)",
    ),
    "mask_empty": (
        torch.arange(3).view(3, 1, 1).expand(SHAPE) != 1,
        {},
        "the mask of image 1 is empty; leave out images without a region",
    ),
}


@pytest.mark.parametrize("regions, options, sentence", BAD.values(), ids=BAD)
def test_a_bad_region_is_named(regions, options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        as_masks(regions, SHAPE, **options)


@pytest.mark.parametrize("box", [[-1, 0, 4, 4], [0, -1, 4, 4], [0, 0, 9, 4], [0, 0, 4, 7]])
def test_no_side_may_be_passed(box):
    with pytest.raises(ValueError, match="leaves the image of 8 × 6 pixels"):
        as_masks(torch.tensor([box]), (1, 6, 8))


@pytest.mark.parametrize(
    "regions, kind",
    [
        ({}, "a dict"),
        (np.zeros((3, 4)), "a ndarray"),
        ([[0, 0, 4, 4]], "a list of list"),
        (None, "a NoneType"),
    ],
)
def test_regions_are_tensors(regions, kind):
    expected = (
        "regions must be boolean masks (n, H, W), boxes (n, 4) or a list of boxes (k, 4) for each image, "
        f"all of them tensors, got {kind}"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(expected)}$"):
        as_masks(regions, SHAPE)


# Agreement


@given(pairs_of_masks)
def test_intersection_over_union_by_counting(pair):
    left, right = pair
    found = intersection_over_union(left, right)
    assert torch.equal(found, intersection_over_union(right, left))
    for one, other, value in zip(left, right, found.tolist(), strict=True):
        a, b = ({tuple(pixel) for pixel in mask.nonzero().tolist()} for mask in (one, other))
        assert value == pytest.approx(len(a & b) / len(a | b) if a | b else 1)
    close(intersection_over_union(left, left), torch.ones(3))


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
def test_a_bounding_box_is_the_slice_from_the_first_to_the_last(masks):
    for mask, box in zip(masks, bounding_boxes(torch.from_numpy(masks)).numpy(), strict=True):
        expected = np.zeros_like(mask)
        if mask.any():
            rows, columns = np.nonzero(mask)
            expected[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        np.testing.assert_array_equal(box, expected)


def test_intersection_over_union_with_a_box():
    box = as_masks(torch.tensor([[0, 0, 2, 2]]), (1, 4, 4))
    mask = as_masks(torch.tensor([[1, 1, 3, 3]]), (1, 4, 4))
    close(intersection_over_union(mask, box), torch.tensor([1 / 7]))


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-10, 10, width=32)), hnp.arrays(bool, (3, 4, 5)))
def test_mass_inside_by_adding(maps, mask):
    found = mass_inside(torch.from_numpy(maps), torch.from_numpy(mask))
    for one, region, value in zip(maps.astype(float), mask, found.tolist(), strict=True):
        positive = [value for value in one.ravel() if value > 0]
        inside = [value for value in one[region] if value > 0]
        assert value == pytest.approx(sum(inside) / sum(positive) if positive else 0, abs=1e-5)


def test_mass_of_tiny_and_huge_maps():
    maps = torch.tensor([[[3.0, 1.0]]]) * torch.tensor([1e-38, 1e38]).view(2, 1, 1)
    close(mass_inside(maps, torch.tensor([[[True, False]]]).expand(2, 1, 2)), torch.tensor([0.75, 0.75]))


def test_the_pointing_game():
    maps = torch.zeros(2, 5, 5)
    maps[0, 1, 1] = maps[1, 4, 4] = 1
    mask = as_masks(torch.tensor([[0, 0, 3, 3]] * 2), (2, 5, 5))
    assert maximum_inside(maps, mask).tolist() == [1, 0]


@pytest.mark.parametrize("tolerance, hit", [(0, 0), (2.82, 0), (2.83, 1), (15, 1)])
def test_the_tolerance_is_a_distance_in_pixels(tolerance, hit):
    maps = torch.zeros(1, 5, 5)
    maps[0, 4, 4] = 1
    mask = as_masks(torch.tensor([[0, 0, 3, 3]]), (1, 5, 5))  # its nearest pixel is (2, 2)
    assert maximum_inside(maps, mask, tolerance).tolist() == [hit]


def test_shared_maxima_score_their_share():
    mask = as_masks(torch.tensor([[0, 0, 2, 5]]), (1, 5, 5))
    close(maximum_inside(torch.zeros(1, 5, 5), mask), torch.tensor([0.4]))


def test_nothing_lies_near_an_empty_mask():
    assert maximum_inside(torch.rand(1, 5, 5), torch.zeros(1, 5, 5, dtype=torch.bool), 15) == 0


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_a_negative_tolerance(tolerance):
    with pytest.raises(ValueError, match=f"^tolerance must be 0 pixels or more, got {tolerance}$"):
        maximum_inside(torch.rand(1, 5, 5), torch.ones(1, 5, 5, dtype=torch.bool), tolerance)
