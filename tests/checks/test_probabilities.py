"""Models that return probabilities, and images of several labels: accuracy is read as it is meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    Verdict,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.explainers import gradient, sobel
from tests.checks.models import seeded

REGIONS = torch.zeros(32, 8, 8, dtype=torch.bool)
REGIONS[:, :4] = True


@functools.cache
def labels_of(count: int) -> Tensor:
    """(32, count) of 0 and 1."""
    return (torch.rand(32, count, generator=torch.Generator().manual_seed(1)) < 0.4).long()


@functools.cache
def images_of(count: int) -> Tensor:
    """(32, 1, 8, 8) noise, of which 8 // count rows are brighter for each label that an image has."""
    images = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for label in range(count):
        rows = slice(label * (8 // count), (label + 1) * (8 // count))
        images[labels_of(count)[:, label] == 1, :, rows] += 0.8
    return images


@functools.cache
def network(count: int) -> nn.Module:
    """A network of `count` logits, one for each label, which it has learned."""
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, count))
    )
    adam = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(200):
        adam.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(
            model(images_of(count)), labels_of(count).float()
        )
        loss.backward()
        adam.step()
    model.zero_grad(set_to_none=True)
    return model.eval()


class Ended(nn.Module):
    """The network, and what comes behind its logits."""

    def __init__(self, network: nn.Module, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.end = network, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.network(x))


def two_sided(logits: Tensor) -> Tensor:
    return torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1)


ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda z: z,
    "sigmoid": torch.sigmoid,
    "sigmoid (N,)": lambda z: z.sigmoid().squeeze(1),
    "sigmoid by hand": lambda z: 1 / (1 + torch.exp(-z)),
    "sigmoid, clamped": lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6),
    "half tanh": lambda z: (z / 2).tanh() / 2 + 0.5,
    "two sides": two_sided,
}
CHECKS: dict[str, Callable[..., Verdict]] = {
    "model": check_model_sensitivity,
    "occlusion": check_occlusion_sensitivity,
    "insertion": check_insertion_deletion,
    "localization": functools.partial(check_localization, regions=REGIONS),
}


@pytest.mark.covering
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_binary_model_beats_chance(check: Callable[..., Verdict], end: Callable[[Tensor], Tensor]) -> None:
    model, labels = Ended(network(1), end), labels_of(1)[:, 0]
    right = check(gradient, model, images_of(1), labels=labels, profile="smoke")
    wrong = check(gradient, model, images_of(1), labels=1 - labels, profile="smoke")
    assert right.reason != "gate.accuracy" and "chance" not in str(right)
    assert wrong.reason == "gate.accuracy" and "predicts 0 of 16 labels" in wrong.summary


def test_a_binary_model_with_a_sigmoid_gets_verdicts() -> None:
    model, labels = Ended(network(1), torch.sigmoid), labels_of(1)[:, 0]
    assert check_model_sensitivity(gradient, model, images_of(1), labels=labels).outcome == "pass"
    assert check_model_sensitivity(sobel, model, images_of(1), labels=labels).outcome == "fail"
    weights = torch.stack([2.0 * labels - 1], 1)  # labels are no targets
    assert check_model_sensitivity(gradient, model, images_of(1), weights, labels=labels).outcome == "pass"


SEVERAL: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Any]]] = {
    "logits, integers": (lambda z: z, lambda y: y),
    "sigmoids, integers": (torch.sigmoid, lambda y: y),
    "sigmoids, floats": (torch.sigmoid, Tensor.float),
    "sigmoids, booleans": (torch.sigmoid, Tensor.bool),
    "sigmoids, an array": (torch.sigmoid, Tensor.numpy),
    "sigmoids, a list": (torch.sigmoid, Tensor.tolist),
}


@pytest.mark.parametrize(
    "check", [check_model_sensitivity, check_target_sensitivity, check_occlusion_sensitivity]
)
@pytest.mark.parametrize("end, as_given", SEVERAL.values(), ids=SEVERAL)
def test_several_labels_an_image(
    check: Callable[..., Verdict], end: Callable[[Tensor], Tensor], as_given: Callable[[Tensor], Any]
) -> None:
    model, labels = Ended(network(4), end), labels_of(4)
    right = check(gradient, model, images_of(4), labels=as_given(labels), profile="smoke")
    wrong = check(gradient, model, images_of(4), labels=as_given(labels.roll(1, 0)), profile="smoke")
    assert right.reason != "gate.accuracy" and "accuracy not checked" not in right.summary
    assert wrong.reason == "gate.accuracy"
    assert "of 64 labels correctly, no better than chance (0." in wrong.summary


def test_rare_labels_are_no_credit() -> None:
    """A model that never predicts a rare label is right on most images, and has learned nothing."""
    rare = torch.zeros(32, 4, dtype=torch.int64)
    rare[:4, 0] = rare[1:4, 1] = rare[0, 2] = 1
    blind = Ended(network(4), lambda z: z - 100)
    verdict = check_model_sensitivity(gradient, blind, images_of(4), labels=rare)
    assert verdict.reason == "gate.accuracy" and "predicts 120 of 128 labels" in verdict.summary


def test_all_images_of_the_same_labels() -> None:
    same = torch.tensor([[1, 0, 1, 0]]).expand(32, 4)
    verdict = check_model_sensitivity(gradient, network(4), images_of(4), labels=same)
    assert "all 32 labels are [1, 0, 1, 0]" in verdict.summary and verdict.reason == "gate.accuracy"


def test_rows_with_a_single_1_are_classes() -> None:
    labels = torch.nn.functional.one_hot(labels_of(1)[:, 0])
    for given in (labels, labels.float(), labels[:, :1] == 0):
        model = network(1) if given.shape[1] == 1 else Ended(network(1), two_sided)
        verdict = check_model_sensitivity(gradient, model, images_of(1), labels=given)
        assert verdict.outcome == "pass"


def test_distancing_wants_one_class_an_image() -> None:
    with pytest.raises(ValueError, match=r"one class per image, not of shape \(32, 4\).*argmax"):
        check_distancing(gradient, network(4), images_of(4), labels=labels_of(4), classes=(0, 1))


def test_networks_are_trained_on_one_label_an_image() -> None:
    with pytest.raises(
        TypeError, match=r"choose one of several, such as labels\[:, 0\].long\(\), with forward="
    ):
        check_data_sensitivity(
            gradient, lambda: network(4), (images_of(4), labels_of(4)), images_of(4)
        )  # fmt: skip
