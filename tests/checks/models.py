"""Small untrained networks, for what does not depend on training, and data for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def seeded(make: Callable[[], Any], seed: int = 0) -> Any:
    """What `make` returns, drawn from a random stream of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def images(n: int = 8, shape: tuple[int, ...] = (1, 12, 12), seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def cnn(classes: int = 4, channels: int = 1, seed: int = 0) -> nn.Sequential:
    """Two convolutions and two linear layers for images (N, channels, 12, 12), in evaluation mode."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * 64, 16), nn.ReLU(), nn.Linear(16, classes),
        ),
        seed,
    ).eval()  # fmt: skip


def norm_cnn() -> nn.Sequential:
    """A convolution with BatchNorm, dropout and a linear layer for images (N, 1, 12, 12), in "
    "evaluation mode."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(600, 4)
        )
    ).eval()  # fmt: skip


def signal_cnn() -> nn.Sequential:
    """A classifier of signals (N, 2, 40)."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv1d(2, 8, 5), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.ReLU(),
            nn.Flatten(), nn.Linear(8 * 32, 16), nn.ReLU(), nn.Linear(16, 4),
        )
    ).eval()  # fmt: skip


def tabular(features: int = 24) -> nn.Sequential:
    """A perceptron for tables (N, features)."""
    return seeded(
        lambda: nn.Sequential(
            nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(),
            nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 4),
        )
    ).eval()  # fmt: skip


class TwoBranches(nn.Module):
    """Takes two tensors: images (N, 1, 12, 12) and signals (N, 2, 40)."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 12))
        self.signal = nn.Sequential(nn.Conv1d(2, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(216, 12))
        self.hidden = nn.Linear(24, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, image: Tensor, signal: Tensor) -> Tensor:
        joint = torch.cat([self.image(image), self.signal(signal)], 1).relu()
        return self.head(self.hidden(joint).relu())


def two_branches() -> TwoBranches:
    return seeded(TwoBranches).eval()


class Wrapped(nn.Module):
    """A network whose output is put into something else by `wrap`."""

    def __init__(self, wrap: Callable[[Tensor], Any], network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network or cnn()
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.network(x))
