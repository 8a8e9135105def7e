"""Hidden pixels take the infill's value and nothing else changes; batches change nothing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.infills import blurred
from pytest_saliency_sanity.perturbations.occlusion import filling, occluded_logits


class Sums(nn.Module):
    """The sums of each channel as logits; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return images.sum((2, 3))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(4, 3, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def masks(count: int) -> Tensor:
    return torch.rand(count, 6, 5, generator=torch.Generator().manual_seed(1)) > 0.5


@pytest.mark.parametrize("infill", ["zero", "blur", "mean", 0.3])
def test_a_flat_reference(images: Tensor, infill: Any) -> None:
    fill, hidden, owners = filling(images, infill), masks(7), torch.tensor([0, 3, 3, 1, 2, 0, 1])
    found = occluded_logits(Sums(), images, owners, hidden, fill)
    for row, (owner, mask) in enumerate(zip(owners.tolist(), hidden, strict=True)):
        for channel in range(3):
            expected = sum(
                float(fill[owner, channel, y, x] if mask[y, x] else images[owner, channel, y, x])
                for y in range(6)
                for x in range(5)
            )
            assert float(found[row, channel]) == pytest.approx(expected)


def test_the_infills(images: Tensor) -> None:
    assert (filling(images, "zero") == 0).all()
    assert torch.equal(filling(images, "blur"), blurred(images))
    torch.testing.assert_close(filling(images, "mean")[2, 1], images[:, 1].mean().expand(6, 5))
    per_channel = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    assert (filling(images, per_channel)[:, 2] == 3).all()
    assert all(filling(images, choice).dtype == images.dtype for choice in ("zero", "blur", "mean", 1))


@pytest.mark.parametrize(
    "infill", [np.float64(0.5), np.int64(2), np.full((3, 1, 1), 0.5), np.ones((4, 3, 6, 5), dtype=np.uint8)]
)
def test_numpys_numbers_and_arrays(images: Tensor, infill: Any) -> None:
    found = filling(images, infill)
    assert found.dtype == images.dtype
    np.testing.assert_array_equal(found, np.broadcast_to(infill, images.shape))


def test_batches_change_nothing_and_are_announced(images: Tensor) -> None:
    owners, hidden, fill = torch.arange(4).repeat(3), masks(12), filling(images, "mean")
    model, announced = Sums(), []
    whole = occluded_logits(Sums(), images, owners, hidden, fill)
    found = occluded_logits(
        model, images, owners, hidden, fill, batch_size=5, before=lambda: announced.append(len(model.sizes))
    )
    assert torch.equal(found, whole)
    assert model.sizes == [5, 5, 2]
    assert announced == [0, 1, 2]


def test_another_forward(images: Tensor) -> None:
    owners, hidden, fill = torch.arange(4), masks(4), filling(images, "zero")
    found = occluded_logits(Sums(), images, owners, hidden, fill, forward=lambda model, x: -model(x))
    assert torch.equal(found, -occluded_logits(Sums(), images, owners, hidden, fill))


def test_the_images_stay_as_they_were(images: Tensor) -> None:
    before = images.clone()
    occluded_logits(Sums(), images, torch.arange(4), masks(4), filling(images, "blur"))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "infill, sentence",
    [
        ("black", "infill must be one of zero, blur, mean, a number or a tensor, not 'black'"),
        (None, "infill must be one of zero, blur, mean, a number or a tensor, not None"),
        (True, "infill must be one of zero, blur, mean, a number or a tensor, not True"),
        ("noisy_linear", "infill must be one of zero, blur, mean, a number or a tensor, not 'noisy_linear'"),
        (
            np.array([["a"] * 99] * 99),
            "infill must be one of zero, blur, mean, a number or a tensor, not an array of <U1 of the shape (99, 99)",
        ),
        (
            torch.zeros(2, dtype=torch.complex64),
            "infill must be one of zero, blur, mean, a number or a tensor, not an array of torch.complex64 of the "
            "shape (2,)",
        ),
        (float("nan"), "infill must be finite in torch.float64, got nan"),
        (-np.inf, "infill must be finite in torch.float64, got -inf"),
        (
            torch.tensor([1, torch.nan, 2]).view(3, 1, 1),
            "infill must be finite in torch.float64, got NaN or infinite values in 1 of 3 places of the "
            "shape (3, 1, 1)",
        ),
        (torch.zeros(2, 1, 1), "the infill of shape (2, 1, 1) does not broadcast to the images (4, 3, 6, 5)"),
    ],
)
def test_a_bad_infill(images: Tensor, infill: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        filling(images, infill)
