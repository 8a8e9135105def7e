"""Tasks on which sanity checks have been criticized: edges that are the answer, a telling background, suppressors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pytest_saliency_sanity.planted.checked import check_count, check_share, check_size
from pytest_saliency_sanity.planted.images import PlantedImages
from pytest_saliency_sanity.planted.shapes import SHAPES, Mask, boxes, drawn, placed

_Image = npt.NDArray[np.float64]
_NOISE = 0.03
_OBJECT = (0.35, 0.45)
_STRIPES = 0.15  # amplitude of a background's stripes
_PERIOD = 4  # pixels
_PATTERN = 0.2  # amplitude of what the class adds, before suppressors
_CLUTTER = 0.6  # standard deviation of what a suppressor takes away


@dataclass(frozen=True)
class PlantedBackgrounds(PlantedImages):
    """Images with an object and stripes behind it.

    Attributes:
        backgrounds: (N,) int64, the class that the stripes speak for.
    """

    backgrounds: Tensor


@dataclass(frozen=True)
class PlantedSuppressors:
    """Images with a pattern of the class under clutter, and a place that shows the clutter alone.

    Attributes:
        images: (N, 1, S, S) float32.
        labels: (N,) int64, 0 or 1.
        masks: (N, S, S) bool, the pixels of the pattern, which the class changes.
        suppressors: (N, S, S) bool, the pixels of the clutter alone: by themselves they tell nothing of the class.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor
    suppressors: Tensor


def planted_edges(count: int, seed: int = 0, *, size: int = 32) -> PlantedImages:
    """`count` images in which the class is where the edges are: an object alone, and the label is its quadrant.

    A network has to find the edges, and an honest map of it looks like an edge detector's. Shape and brightness tell
    nothing. The same arguments always give the same images; no global random state is read or changed.

    Args:
        count: how many images.
        seed: seed of the images.
        size: S, the side in pixels, 16 or more.

    Returns:
        The images, whose labels are 0 to 3: upper left, upper right, lower left, lower right.

    Raises:
        ValueError: for an option outside its range, with the value.

    Source: the objection of Yona and Greenfeld, Revisiting Sanity Checks for Saliency Maps, 2021; the task is ours.
    """
    check_count(count)
    check_size(size)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 4)
    scenes = [_in_quadrant(random, int(label), size) for label in labels]
    images, masks = (np.stack(parts) for parts in zip(*scenes, strict=True))
    found = torch.from_numpy(masks)
    return PlantedImages(_tensor(images), torch.from_numpy(labels), found, boxes(found))


def planted_backgrounds(
    count: int, seed: int = 0, *, size: int = 32, agreement: float = 0.95
) -> PlantedBackgrounds:
    """`count` images of an object before stripes, whose direction agrees with the label most of the time.

    The shape of the object is the label. A network may read the shape, the stripes or both: `agreement=.25` (chance)
    shows which. The same arguments always give the same images; no global random state is read or changed.

    Args:
        count: how many images.
        seed: seed of the images.
        size: S, the side in pixels, 16 or more.
        agreement: the share of images whose stripes are those of their label, 0 to 1; the others have another class's.

    Raises:
        ValueError: for an option outside its range, with the value.
    """
    check_count(count)
    check_size(size)
    check_share("agreement", agreement, 0, 1)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(SHAPES))
    wrong = random.permutation(np.arange(count) < round((1 - agreement) * count))
    shift = np.where(wrong, random.integers(1, len(SHAPES), count), 0)
    backgrounds = (labels + shift) % len(SHAPES)
    scenes = [
        _before_stripes(random, int(label), int(behind), size)
        for label, behind in zip(labels, backgrounds, strict=True)
    ]
    images, masks = (np.stack(parts) for parts in zip(*scenes, strict=True))
    found = torch.from_numpy(masks)
    return PlantedBackgrounds(
        _tensor(images), torch.from_numpy(labels), found, boxes(found), torch.from_numpy(backgrounds)
    )


def planted_suppressors(count: int, seed: int = 0, *, size: int = 32) -> PlantedSuppressors:
    """`count` images in which a place without any information on the class makes the class readable.

    In the upper left a pattern is added for class 1 and taken away for class 0, under clutter that is three times
    stronger. The lower right shows the same clutter without the pattern. The best network takes the one from the other,
    so it uses the lower right, though that alone is independent of the class: a suppressor variable. An honest map
    shows both places. The same arguments always give the same images; no global random state is read or changed.

    Args:
        count: how many images.
        seed: seed of the images.
        size: S, the side in pixels, 16 or more.

    Raises:
        ValueError: for an option outside its range, with the value.

    Source: Wilming et al., Scrutinizing XAI Using Linear Ground-Truth Data with Suppressor Variables, 2022; Clark,
    Wilming and Haufe, XAI-TRIS, 2024, which has tasks of this kind with tetrominoes.
    """
    check_count(count)
    check_size(size)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 2)
    third = size // 3
    clutter = random.normal(0, _CLUTTER, (count, third, third))
    images = 0.5 + random.normal(0, _NOISE, (count, size, size))
    signs = (2 * labels - 1)[:, None, None]
    upper, lower = slice(1, 1 + third), slice(size - 1 - third, size - 1)
    images[:, upper, upper] += clutter + _PATTERN * signs * _checks(third)
    images[:, lower, lower] += clutter
    masks, suppressors = (torch.zeros(count, size, size, dtype=torch.bool) for _ in range(2))
    masks[:, upper, upper] = suppressors[:, lower, lower] = True
    return PlantedSuppressors(_tensor(images), torch.from_numpy(labels), masks, suppressors)


def _in_quadrant(random: np.random.Generator, label: int, size: int) -> tuple[_Image, Mask]:
    """An image whose object lies in that quadrant, and the object's mask."""
    half = size // 2
    pixels = drawn(random, SHAPES[random.integers(len(SHAPES))], size)
    top, left = random.integers(0, half - len(pixels), 2, endpoint=True)
    mask = placed(pixels, size, int(top) + label // 2 * half, int(left) + label % 2 * half)
    return _lit(random, np.full((size, size), random.uniform(0.1, 0.4)), mask), mask


def _before_stripes(random: np.random.Generator, label: int, behind: int, size: int) -> tuple[_Image, Mask]:
    """An image of the label's shape before the stripes of class `behind`, and the object's mask."""
    pixels = drawn(random, SHAPES[label], size)
    top, left = random.integers(0, size - len(pixels), 2, endpoint=True)
    mask = placed(pixels, size, int(top), int(left))
    return _lit(random, 0.25 + _stripes(random, behind, size), mask), mask


def _lit(random: np.random.Generator, background: _Image, mask: Mask) -> _Image:
    image = background + random.uniform(*_OBJECT) * mask
    return np.clip(image + random.normal(0, _NOISE, image.shape), 0, 1)


def _stripes(random: np.random.Generator, direction: int, size: int) -> _Image:
    """Waves in one of four directions, at a random phase."""
    angle = direction * np.pi / len(SHAPES)
    y, x = np.mgrid[:size, :size]
    along = np.cos(angle) * x + np.sin(angle) * y
    waves: _Image = _STRIPES * np.sin(2 * np.pi * along / _PERIOD + random.uniform(0, 2 * np.pi))
    return waves


def _checks(side: int) -> _Image:
    """A pattern of squares of two pixels, 1 and -1."""
    y, x = np.mgrid[:side, :side] // 2
    squares: _Image = np.where((y + x) % 2 == 0, 1.0, -1.0)
    return squares


def _tensor(images: _Image) -> Tensor:
    """(N, S, S) as (N, 1, S, S) float32."""
    return torch.from_numpy(images.astype(np.float32))[:, None]
