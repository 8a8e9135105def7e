"""A small network that counts what it is shown, and images and maps for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Counting(nn.Module):
    """A small network for any number of spatial axes, which notes the size of each batch."""

    def __init__(self, *shape: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(int(np.prod(shape)), 16), nn.Tanh(), nn.Linear(16, classes)
        )
        self.sizes: list[int] = []
        self.gradients: list[bool] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.sizes.append(len(inputs))
        self.gradients.append(torch.is_grad_enabled())
        return self.layers(inputs)


def setting(*shape: int, n: int = 3) -> tuple[Counting, Tensor, Tensor, Tensor]:
    """A network, n images, their maps without ties, and targets."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, *shape, generator=generator) * 2
    maps = torch.randn(n, *shape[1:], generator=generator)
    return Counting(*shape).eval(), inputs, maps, torch.arange(n) % 4
