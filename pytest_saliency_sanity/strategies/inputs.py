"""Images with a planted signal, and attribution maps, which their repr says how to make again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_saliency_sanity.text import shown

MAP_KINDS = ("signed", "non-negative", "sparse", "signal", "constant", "the same for every image")
MAP_FORMS = ("full", "one channel", "no channel")


@dataclass(frozen=True)
class Planted:
    """Images of noise in each of which one square is bright: the signal.

    Attributes:
        shape: (C, H, W).
        count: N.
        side: of the square.
        contrast: how much brighter it is than the background; the noise has a standard deviation of .1.
        seed: of the noise and the places.
    """

    shape: tuple[int, int, int] = (1, 6, 6)
    count: int = 4
    side: int = 2
    contrast: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.side <= min(self.shape[1:]):
            raise ValueError(f"side must be from 1 to {min(self.shape[1:])}, not {shown(self.side)}")

    @property
    def masks(self) -> Tensor:
        """(N, H, W) bool: where the signal is."""
        found = torch.zeros(self.count, *self.shape[1:], dtype=torch.bool)
        room = [side - self.side + 1 for side in self.shape[1:]]
        generator = torch.Generator().manual_seed(self.seed)
        for mask in found:
            top, left = (int(torch.randint(most, (), generator=generator)) for most in room)
            mask[top : top + self.side, left : left + self.side] = True
        return found

    @property
    def images(self) -> Tensor:
        """(N, C, H, W) float32."""
        noise = torch.randn(self.count, *self.shape, generator=torch.Generator().manual_seed(self.seed + 1))
        return 0.1 * noise + self.contrast * self.masks[:, None]


@dataclass(frozen=True)
class Maps:
    """Attribution maps of planted images.

    Attributes:
        of: the images.
        kind: one of `MAP_KINDS`.
        form: one of `MAP_FORMS`: (N, C, H, W), (N, 1, H, W) or (N, H, W).
        seed: of their noise.
    """

    of: Planted
    kind: str = "signed"
    form: str = "full"
    seed: int = 0

    def __post_init__(self) -> None:
        for value, choices in ((self.kind, MAP_KINDS), (self.form, MAP_FORMS)):
            if value not in choices:
                raise ValueError(f"{shown(value)} is none of {', '.join(choices)}")

    @property
    def values(self) -> Tensor:
        """The maps, float32."""
        noise = torch.randn(self.of.count, *self.of.shape, generator=torch.Generator().manual_seed(self.seed))
        found = {
            "signed": noise,
            "non-negative": noise.abs(),
            "sparse": noise * (noise > 1),
            "signal": noise + 5 * self.of.masks[:, None],
            "constant": torch.ones_like(noise),
            "the same for every image": noise[:1].expand_as(noise).clone(),
        }[self.kind]
        return {"full": found, "one channel": found[:, :1], "no channel": found[:, 0]}[self.form]
