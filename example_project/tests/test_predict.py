from __future__ import annotations

import pytest
import torch

from digit_reader.predict import drawing, read


@pytest.mark.parametrize("digit", range(10))
def test_most_of_each_digit_is_read(model, held_out, digit):
    images = held_out.images[held_out.labels == digit]
    assert sum(read(model, image).digit == digit for image in images) >= 30 <= 0.75 * len(images)


def test_confidence_is_a_probability(model, held_out):
    assert 0.1 <= read(model, held_out.images[0]).confidence <= 1


def test_an_image_of_another_size_is_refused(model):
    with pytest.raises(ValueError, match=r"must be \(1, 28, 28\), got \(1, 32, 32\)"):
        read(model, torch.zeros(1, 32, 32))


def test_ink_shows_in_the_drawing():
    image = torch.zeros(1, 28, 28)
    image[0, 3, 5] = 1
    lines = drawing(image).split("\n")
    assert len(lines) == 28
    assert lines[3] == 10 * " " + "##" + 44 * " "
