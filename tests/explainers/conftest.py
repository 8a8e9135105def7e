"""Small networks on which explanations are known, or quick to get."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn


class TinyViT(nn.Module):
    """Patches of 4x4, two pre-norm blocks; a class token or the mean of the patches is read."""

    def __init__(self, read: str = "class", dim: int = 16) -> None:
        super().__init__()
        self.read = read
        self.embed = nn.Conv2d(3, dim, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        layer = nn.TransformerEncoderLayer(dim, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.ModuleList(copy.deepcopy(layer) for _ in range(2))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        if self.read == "class":
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.read == "class" else x.mean(1))


class TwoBranches(nn.Module):
    """Takes two tensors: an image (N, 3, 8, 8) and a signal (N, 2, 9)."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(3, 4, 3)
        self.signal = nn.Conv1d(2, 4, 3)
        self.head = nn.Linear(4, 5)

    def forward(self, image, signal):
        return self.head(self.image(image).relu().mean((2, 3)) * self.signal(signal).relu().mean(2))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def cnn():
    """Two convolutions with ReLU modules (not in place), five classes, 3x12x12."""
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(),
                         nn.Flatten(), nn.Linear(8 * 16, 5)).eval()  # fmt: skip


@pytest.fixture
def images():
    return torch.randn(4, 3, 12, 12)


@pytest.fixture
def targets():
    return torch.tensor([0, 3, 1, 4])


@pytest.fixture
def signal_cnn():
    """A classifier of signals (N, 2, 24)."""
    return nn.Sequential(nn.Conv1d(2, 6, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 3), nn.ReLU(),
                         nn.Flatten(), nn.Linear(6 * 8, 5)).eval()  # fmt: skip


@pytest.fixture
def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 16), nn.ReLU(), nn.Linear(16, 5)).eval()


@pytest.fixture
def tiny_vit():
    return TinyViT().eval()


@pytest.fixture
def two_branches():
    return TwoBranches().eval()


@pytest.fixture
def make_vit():
    return TinyViT
