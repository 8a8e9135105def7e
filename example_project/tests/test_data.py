from __future__ import annotations

import numpy as np
import pytest
import torch

from digit_reader.data import load_digits, to_images


@pytest.mark.parametrize(("split", "count"), [("train", 2000), ("held_out", 400)])
def test_a_split_has_as_many_of_each_digit(split, count):
    images, labels = load_digits(split)
    assert images.shape == (count, 1, 28, 28)
    assert torch.equal(torch.bincount(labels), torch.full((10,), count // 10))


def test_pixels_go_from_blank_paper_to_ink(held_out):
    assert held_out.images.dtype == torch.float32
    assert held_out.images.min() == 0
    assert held_out.images.max() == 1


def test_no_held_out_digit_is_trained_on(held_out):
    trained_on = {image.numpy().tobytes() for image in load_digits("train").images}
    assert not any(image.numpy().tobytes() in trained_on for image in held_out.images)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split is 'test', it must be one of train, held_out"):
        load_digits("test")


def test_scans_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"must be \(N, 28, 28\) uint8, got \(1, 28, 28\) float64"):
        to_images(np.zeros((1, 28, 28)))
