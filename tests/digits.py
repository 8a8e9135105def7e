"""The handwritten digits that the example project carries, as tensors.

Pixels are float32 in [0, 1]: 0 is blank paper, which makes a zero baseline mean something.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tests import machine

DIGITS_FILE = Path(__file__).parents[1] / "example_project" / "data" / "digits.npz"


class Digits(NamedTuple):
    """`images` (N, 1, 28, 28) float32 in [0, 1], `labels` (N,) int64; the digits come in no order."""

    images: Tensor
    labels: Tensor


def train_digits() -> Digits:
    """The 2,000 digits to train on, 200 of each."""
    return _load("train")


def held_out_digits() -> Digits:
    """The 400 digits, 40 of each, that no network is trained on."""
    return _load("held_out")


def _load(split: str) -> Digits:
    with np.load(DIGITS_FILE) as arrays:
        images = torch.from_numpy(arrays[f"{split}_images"]).unsqueeze(1).float() / 255
        return Digits(machine.like_another(images), torch.from_numpy(arrays[f"{split}_labels"]).long())
