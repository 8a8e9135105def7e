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


class Reading(nn.Module):
    """A transformer over token ids (N, 24) below 50, of which a mask says which are there."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, 16, padding_idx=0), nn.Embedding(24, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        embedded = self.words(ids) + self.places.weight[: ids.shape[1]]
        states = self.encoder(embedded, src_key_padding_mask=~mask.bool()) * mask[..., None]
        return self.head(states.sum(1) / mask.sum(1, keepdim=True))


def texts(count: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids (N, 24), padded with 0, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(8, 25, (count, 1), generator=generator)
    mask = (torch.arange(24)[None] < lengths).long()
    return torch.randint(1, 50, (count, 24), generator=generator) * mask, mask
