"""Photographs for users without images: fitted to the model, named, and never more than four."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_model_sensitivity
from pytest_saliency_sanity.audited.stand_ins import PHOTOGRAPHS, photographs
from pytest_saliency_sanity.explainers import gradient, sobel
from pytest_saliency_sanity.outputs import using_forward
from tests.checks.models import Wrapped, cnn, images, seeded, two_branches
from tests.networks import train

FOUR = (
    "no inputs were given: used four stand-in photographs from scikit-image (astronaut, chelsea, coffee, "
    "rocket), cropped and resized to "
)


def convolutional(channels: int, side: int | None = None) -> nn.Module:
    """Takes images of any size, or only squares of `side`."""
    pooled = nn.AdaptiveAvgPool2d(4) if side is None else nn.Flatten(2)
    features = 6 * (16 if side is None else (side - 2) ** 2)
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(channels, 6, 3), nn.ReLU(), pooled, nn.Flatten(), nn.Linear(features, 4)
        )
    ).eval()


def perceptron(features: int) -> nn.Module:
    return seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, 4))
    ).eval()


@pytest.mark.parametrize(
    "model, shape",
    [
        (convolutional(3), (3, 224, 224)),
        (convolutional(1), (1, 28, 28)),
        (convolutional(3, 32), (3, 32, 32)),
        (convolutional(1, 64), (1, 64, 64)),
        (convolutional(4), (4, 28, 28)),
        (perceptron(784), (1, 28, 28)),
        (perceptron(3 * 32 * 32), (3, 32, 32)),
        (perceptron(17 * 17), (1, 17, 17)),
    ],
)
def test_the_shape_is_found_by_trying(model: nn.Module, shape: tuple[int, ...]) -> None:
    found, note = photographs(model)
    assert found.shape == (4, *shape)
    assert note == FOUR + "×".join(map(str, shape))


class Asserting(nn.Module):
    """Takes 64×64 and says so as torchvision's vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.network = convolutional(3)

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.shape[2] == 64, f"Wrong image height! Expected 64 but got {x.shape[2]}!")
        return self.network(x)


def test_a_model_that_asserts_its_size() -> None:
    assert photographs(Asserting())[0].shape == (4, 3, 64, 64)


def test_the_shape_can_be_given() -> None:
    assert photographs(convolutional(3), (3, 40, 56))[0].shape == (4, 3, 40, 56)


@pytest.mark.parametrize("shape", [(28, 28), (0, 8, 8), (3, 8, 8, 8)])
def test_a_shape_that_is_none(shape: tuple[int, ...]) -> None:
    text = f"input_shape must be (C, H, W), such as (3, 224, 224), not {shape!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        photographs(convolutional(3), shape)


@pytest.mark.parametrize(
    "model", [seeded(lambda: nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten())), two_branches()]
)
def test_no_shape_fits(model: nn.Module) -> None:
    name = type(model).__name__
    text = (
        f"no input shape was found that {name} accepts; pass inputs= of shape (N, C, *S), or input_shape=(C, H, W) "
        f"for stand-in photographs"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_contract(gradient, model)


def test_a_given_shape_that_does_not_fit() -> None:
    with pytest.raises(
        ValueError, match=r"^the model raised RuntimeError for inputs of shape \(4, 3, 30, 30\): "
    ):
        check_contract(gradient, convolutional(3, 32), input_shape=(3, 30, 30))


def test_an_output_that_needs_forward_is_said() -> None:
    model = Wrapped(lambda scores: (scores, scores), convolutional(1))
    with pytest.raises(TypeError, match=r"^The model returned a tuple of 2"):
        photographs(model)
    with using_forward(lambda model, inputs: model(inputs)[0]):
        assert photographs(model)[0].shape == (4, 1, 28, 28)
    assert check_contract(gradient, model, forward=lambda model, inputs: model(inputs)[0]).outcome == "pass"


def test_the_photographs_differ_and_are_normalized() -> None:
    color, gray = photographs(convolutional(3), (3, 64, 64))[0], photographs(convolutional(1), (1, 64, 64))[0]
    assert len(PHOTOGRAPHS) == 4
    for found in (color, gray):
        assert found.dtype == torch.float32 and found.isfinite().all()
        assert torch.pdist(found.flatten(1)).min() > 1
    assert color.min() < -1 and 1.5 < color.max() < 2.7  # ImageNet's mean and deviation
    assert gray.min() >= 0 and gray.max() <= 1


@pytest.mark.parametrize("name, shape", [("plain_cnn", "1×28×28"), ("mlp", "1×28×28")])
def test_the_verdict_names_the_four_stand_ins(name: str, shape: str) -> None:
    verdict = check_model_sensitivity(sobel, train(name))
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert FOUR + shape in verdict.notes
    assert FOUR in " ".join(verdict.render().split())
    assert verdict.stages[0].images == 4


def test_four_stand_ins_for_a_network_of_colors() -> None:
    passed = check_model_sensitivity(gradient, convolutional(3, 64))
    assert passed.stages[0].images == 4
    assert passed.outcome in ("pass", "inconclusive")
    assert FOUR + "3×64×64" in passed.notes


def test_half_precision() -> None:
    assert check_contract(gradient, convolutional(1).half()).outcome == "pass"


def test_given_images_have_no_such_note() -> None:
    assert not any("stand-in" in note for note in check_contract(gradient, cnn(), images()).notes)


def test_the_summary_names_the_stand_ins() -> None:
    summary = check_model_sensitivity(sobel, train("plain_cnn")).summary
    assert summary.endswith(" [4 stand-in photographs; accuracy not checked]")
