"""Digits and a network that memorize any labels in a second, for the tests of data sensitivity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_data_sensitivity
from tests.digits import held_out_digits, train_digits

SAMPLES, IMAGES = 240, 24


def make_model() -> nn.Module:
    """A small convolutional network, untrained."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10),
    )  # fmt: skip


def make_small() -> nn.Module:
    """One that is trained in a sixth of the time, where another network would tell the same."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def train(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
    """Adam on all samples at once."""
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    images, labels = dataset.tensors
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def train_set() -> tuple[Tensor, Tensor]:
    """Digits to train on."""
    digits = train_digits()
    return digits.images[:SAMPLES], digits.labels[:SAMPLES]


def explained() -> tuple[Tensor, Tensor]:
    """Other digits, with their labels."""
    digits = held_out_digits()
    chosen = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(0))[:IMAGES]
    return digits.images[chosen], digits.labels[chosen]


def checked(explainer: Any, **options: Any) -> Verdict:
    """The check of an explainer on these digits; the networks are made once a process."""
    images, labels = explained()
    options = {"labels": labels, "train": train, **options}
    return check_data_sensitivity(
        explainer,
        options.pop("make_model", make_model),
        options.pop("train_set", train_set()),
        images,
        **options,
    )
