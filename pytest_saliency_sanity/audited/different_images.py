"""Which of the images are different: the same image twice is not twice the evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NEARLY = 0.01  # of a channel's scale: images that are nowhere further apart than that are one image
_OF_THE_MEAN, _OF_ALL_VALUES = 1e-3, 1e-4  # the least scale of a channel that hardly varies
_FURTHER = 4  # times as many images as are wanted are looked at before the search for different ones ends


@dataclass(frozen=True)
class Chosen:
    """The images that a check uses.

    Attributes:
        order: (n,) their numbers among the user's, ascending.
        different: how many of them are different; n, or 1 where there is but one image many times.
        left_out: how many were left out, each for an equal, or nearly equal, one that is used.
    """

    order: Tensor
    different: int
    left_out: int


def chosen(parts: tuple[Tensor, ...], most: int, seed: int) -> Chosen:
    """The different ones among the images: all of them, or at most `most`, drawn by the seed.

    Where only one is different nothing is left out: there has to be another image to compare with.

    Args:
        parts: (N, C, *S) for each input of the model, N >= 2.
        most: at least 2.
        seed: of the drawing.
    """
    images = len(parts[0])
    drawn = np.random.default_rng(seed).permutation(images) if images > most else np.arange(images)
    for size in (most, _FURTHER * most):
        looked_at = torch.from_numpy(drawn[:size])
        first = first_of_their_kind(tuple(part[looked_at.to(part.device)] for part in parts))
        if first.sum() >= min(most, images):
            break
    if first.sum() < 2:
        return Chosen(looked_at[:most].sort().values, 1, 0)
    used = looked_at[first][:most]
    return Chosen(used.sort().values, len(used), int((~first).sum()))


def first_of_their_kind(parts: tuple[Tensor, ...]) -> Tensor:
    """(N,) bool: whether an image (C, *S) of each part is unlike all before it that are so."""
    same = torch.stack([_nearly_equal(part) for part in parts]).all(0)
    first = torch.zeros(len(same), dtype=torch.bool)
    for number, row in enumerate(same):
        first[number] = not bool((row & first).any())
    return first


def _nearly_equal(part: Tensor) -> Tensor:
    """(N, N) bool: whether two images (C, *S) are in no channel further apart than nearly.

    What is compared with the channel's scale is the root mean square of their difference. The scale is the deviation
    over all images and places, so that a feature of a table counts, however large another one is.
    """
    if not part.is_floating_point():  # token ids are names, not numbers
        return (part.flatten(1)[:, None] == part.flatten(1)[None]).all(2).cpu()
    loudness = torch.stack([channel.square().mean() for channel in _channels(part)]).mean().sqrt()
    near = torch.ones(len(part), len(part), dtype=torch.bool)
    for channel in _channels(part):
        deviation, mean = torch.std_mean(channel, correction=0)
        scale = max(deviation, _OF_THE_MEAN * mean.abs(), _OF_ALL_VALUES * loudness)
        centered = channel - channel.mean(0)
        near &= torch.cdist(centered, centered) <= NEARLY * scale * channel.shape[1] ** 0.5
    return near


def _channels(part: Tensor) -> Iterator[Tensor]:
    """(N, values) of each channel in turn, in double precision on the CPU: together they might not fit."""
    for channel in part.detach().unbind(1):
        yield channel.to("cpu", torch.float64).reshape(len(part), -1)
