"""The digits of data/digits.npz, as tensors."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

DIGITS_FILE = Path(__file__).parents[1] / "data" / "digits.npz"
SPLITS = ("train", "held_out")


class Digits(NamedTuple):
    images: Tensor  # (N, 1, 28, 28) float32 in [0, 1], 0 is blank paper
    labels: Tensor  # (N,) int64


def load_digits(split: str) -> Digits:
    """The 2,000 digits of the split "train", or the 400 of "held_out"."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, it must be one of {', '.join(SPLITS)}")
    with np.load(DIGITS_FILE) as arrays:
        labels = torch.from_numpy(arrays[f"{split}_labels"]).long()
        return Digits(to_images(arrays[f"{split}_images"]), labels)


def to_images(pixels: np.ndarray) -> Tensor:
    """Scans (N, 28, 28), uint8 with 255 for ink, as the model takes them: (N, 1, 28, 28) in [0, 1]."""
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (28, 28):
        raise ValueError(f"scans must be (N, 28, 28) uint8, got {pixels.shape} {pixels.dtype}")
    return torch.from_numpy(pixels).unsqueeze(1).float() / 255
