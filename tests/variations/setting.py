"""Planted models and a generator for small images, and their variations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Variations, acceptable_variations

LATENT, SHAPE, N = 6, (1, 12, 12), 3


class Generator(nn.Module):
    """Latents to images in [0, 1]; batch norm and dropout would make variants depend on one another."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(LATENT, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Tanh(), nn.Linear(32, 144)
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.decode(z)

    def decode(self, z: Tensor) -> Tensor:
        return (3 * self.layers(z)).sigmoid().view(-1, *SHAPE)


class Reader(nn.Module):
    """Class 1 where the mean of some pixels is above .5, by a steep softmax."""

    def __init__(self, pixels: Tensor, single: bool = False) -> None:
        super().__init__()
        self.register_buffer("pixels", pixels)
        self.single = single

    def forward(self, images: Tensor) -> Tensor:
        score = 20 * (images[:, 0][:, self.pixels].mean(1, keepdim=True) - 0.5)
        return score if self.single else torch.cat([-score / 2, score / 2], 1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generator_of(seed: int = 0) -> Generator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Generator()


def images_of(n: int = N, seed: int = 1) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(seed))


def mask() -> Tensor:
    """(12, 12) bool, a block in the middle."""
    middle = torch.zeros(SHAPE[1:], dtype=torch.bool)
    middle[3:9, 3:9] = True
    return middle


def masks_of(n: int = N) -> Tensor:
    return mask().expand(n, -1, -1)


def varied(**options: Any) -> Variations:
    given: dict[str, Any] = {
        "model": Reader(mask()), "generator": generator_of(), "inputs": images_of(), "map": masks_of(),
        "latent": LATENT, "starts": 5, "steps": 20, "seed": 0,
    }  # fmt: skip
    return acceptable_variations(**{**given, **options})
