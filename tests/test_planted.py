"""Planted images are what they claim to be: balanced, reproducible, and a trap for an edge detector."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_saliency_sanity.explainers import sobel
from pytest_saliency_sanity.planted import SHAPES, PlantedImages, planted_images
from pytest_saliency_sanity.statistics.regions import as_masks, maximum_inside
from tests.planted import KINDS, planted_accuracy, planted_cnn, planted_network


@pytest.fixture(scope="module")
def data() -> PlantedImages:
    return planted_images(200, seed=1)


def parts(data: PlantedImages) -> tuple[Tensor, ...]:
    return data.images, data.labels, data.masks, data.boxes


def test_shapes_dtypes_and_range(data):
    images, labels, masks, boxes = parts(data)
    assert [tuple(part.shape) for part in parts(data)] == [(200, 1, 32, 32), (200,), (200, 32, 32), (200, 4)]
    assert [part.dtype for part in parts(data)] == [torch.float32, torch.int64, torch.bool, torch.int64]
    assert images.min() >= 0 and images.max() <= 1
    assert labels.bincount().tolist() == [50] * 4
    assert masks.any((1, 2)).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


@settings(max_examples=20, deadline=None)
@given(
    st.integers(16, 48),
    st.sampled_from(["anywhere", "center"]),
    st.floats(0, 0.9),
    st.lists(st.sampled_from(SHAPES), min_size=2, unique=True),
)
def test_boxes_are_the_tightest_around_the_masks(size, position, contrast, shapes):
    data = planted_images(5, 3, size=size, position=position, contrast=contrast, shapes=shapes)
    for mask, box in zip(data.masks, data.boxes.tolist(), strict=True):
        rows, columns = mask.nonzero().T
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert bool((as_masks(data.boxes, tuple(data.masks.shape)) | ~data.masks).all())


def test_equal_seeds_give_equal_images(data):
    again, other = planted_images(200, seed=1), planted_images(200, seed=2)
    assert all(torch.equal(*pair) for pair in zip(parts(data), parts(again), strict=True))
    assert not any(torch.equal(*pair) for pair in zip(parts(data), parts(other), strict=True))


def test_the_global_random_states_stay():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    planted_images(3)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])


def test_the_object_is_visible_and_no_bar_touches_it(data):
    images = data.images[:, 0]
    around = as_masks(data.boxes, tuple(data.masks.shape)) & ~data.masks
    assert images[around].max() < 0.3 < images[data.masks].min()


def test_the_distractors_have_more_ink_and_stronger_edges(data):
    ink, edges = (data.images - 0.1).clamp_min(0)[:, 0], sobel(None, data.images, None)[:, 0]
    inside = torch.nn.functional.max_pool2d(data.masks[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert ((ink * inside).sum((1, 2)) < (ink * ~inside).sum((1, 2)) / 2).all()
    assert ((edges * inside).sum((1, 2)) < (edges * ~inside).sum((1, 2)) / 2).all()
    assert ((edges * inside).amax((1, 2)) < (edges * ~inside).amax((1, 2))).all()


def test_an_edge_detector_finds_the_object_among_faint_distractors():
    data = planted_images(20, contrast=0.1)
    near = torch.nn.functional.max_pool2d(data.masks[:, None].float(), 3, 1, 1)[:, 0]
    assert maximum_inside(sobel(None, data.images, None)[:, 0], near > 0).all()


def test_without_contrast_there_are_no_bars():
    data = planted_images(20, contrast=0)
    assert data.images[:, 0][~data.masks].max() < 0.3


def test_the_object_is_anywhere_or_in_the_center():
    centers = {
        position: planted_images(100, position=position).boxes.float().view(-1, 2, 2).mean(1)
        for position in ("anywhere", "center")
    }
    assert ((centers["center"] - 16).abs() <= 1.5).all()
    assert (centers["anywhere"].amin(0) < 8).all() and (centers["anywhere"].amax(0) > 24).all()


@pytest.mark.parametrize("label, shape", list(enumerate(SHAPES)))
def test_labels_count_the_shapes_asked_for(label, shape):
    data = planted_images(40, seed=4)
    mask = data.masks[data.labels == label][0]
    left, top, right, bottom = data.boxes[data.labels == label][0].tolist()
    drawn = mask[top:bottom, left:right]
    corner, middle, edge = drawn[0, 0], drawn[len(drawn) // 2, len(drawn) // 2], drawn[0, len(drawn) // 2]
    expected = {"cross": (0, 1, 1), "ring": (0, 0, 1), "frame": (1, 0, 1), "saltire": (1, 1, 0)}
    assert (corner, middle, edge) == expected[shape]


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"count": 0}, "count must be 1 or more, got 0"),
        ({"size": 15}, "size must be 16 pixels or more, got 15"),
        ({"position": "left"}, "unknown position 'left'; choose from anywhere, center"),
        ({"contrast": 0.95}, "contrast must be between 0 and 0.9, got 0.95"),
        ({"contrast": -0.1}, "contrast must be between 0 and 0.9, got -0.1"),
        *(
            (
                {"shapes": given},
                f"shapes must be two or more different ones of {', '.join(SHAPES)}, got {given!r}",
            )
            for given in ("cross", ("cross",), ("ring", "ring"), ("ring", "star"))
        ),
    ],
)
def test_a_bad_option_is_named_with_its_choices(options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        planted_images(**{"count": 2, **options})


def test_a_small_network_reads_the_shapes():
    before = torch.get_rng_state()
    model = planted_cnn()
    assert not model.training
    assert planted_accuracy(model, planted_images(400, seed=7)) >= 0.98
    assert torch.equal(before, torch.get_rng_state())
    assert planted_cnn()[0].weight.data_ptr() != model[0].weight.data_ptr()


@pytest.mark.extended
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(1, 4))
def test_networks_of_other_kinds_and_seeds_read_them_too(kind, seed):
    assert planted_accuracy(planted_network(kind, seed), planted_images(400, seed=7)) >= 0.98
