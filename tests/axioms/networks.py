"""Small networks of many kinds, with inputs for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.checks.models import cnn, images, seeded, signal_cnn, tabular, two_branches
from tests.explainers.conftest import TinyViT


class Residual(nn.Module):
    """Functional ReLUs around a skip connection, and a BatchNorm that has seen data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6 * 36, 4)
        nn.init.uniform_(self.norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(self.norm.running_var, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = (x + self.norm(self.second(x))).relu()
        return self.head(nn.functional.max_pool2d(x, 2).flatten(1))


def residual(seed: int = 0) -> nn.Module:
    return seeded(Residual, seed).eval()


def transformer(seed: int = 0) -> nn.Module:
    return seeded(TinyViT, seed).eval()


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "cnn": lambda: (cnn(), images(8)),
    "cnn, another seed": lambda: (cnn(seed=1), images(8, seed=1)),
    "three channels": lambda: (cnn(channels=3, seed=2), images(8, (3, 12, 12))),
    "residual": lambda: (residual(), images(8)),
    "transformer": lambda: (transformer(), images(8, (3, 12, 12))),
    "signals": lambda: (signal_cnn(), images(8, (2, 40)) - 0.5),
    "tables": lambda: (tabular(), images(8, (24,)) - 0.5),
    "two inputs": lambda: (two_branches(), (images(8), images(8, (2, 40)))),
    "double precision": lambda: (cnn().double(), images(8).double()),
}


def flat(values: Any) -> Tensor:
    parts = values if isinstance(values, tuple) else (values,)
    return torch.cat([part.flatten(1) for part in parts], 1)
