"""Images with a known answer: the shape of one object decides the label, among distractors that stand out more.

A model that predicts these labels well has to look at the object, so it is known where an explanation should point. The
distractors have stronger edges and cover more pixels, so an edge detector points at them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pytest_saliency_sanity.planted.checked import (
    check_choice,
    check_count,
    check_several,
    check_share,
    check_size,
)
from pytest_saliency_sanity.planted.shapes import SHAPES, Mask, boxes, drawn, placed

_BACKGROUND = 0.1
_OBJECT = (0.35, 0.45)  # brightness above the background: ink must not tell the shapes apart
_NOISE = 0.03
_BARS = (4, 6)
_MARGIN = 1  # pixels between the object and a bar


@dataclass(frozen=True)
class PlantedImages:
    """Images and where the object is in each.

    Attributes:
        images: (N, 1, S, S) float32 in [0, 1].
        labels: (N,) int64, the index of the object's shape among the shapes asked for.
        masks: (N, S, S) bool, the object's pixels.
        boxes: (N, 4) int64, the object's left, top, right and bottom edge; right and bottom are exclusive.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor
    boxes: Tensor


def planted_images(
    count: int,
    seed: int = 0,
    *,
    size: int = 32,
    shapes: Sequence[str] = SHAPES,
    position: str = "anywhere",
    contrast: float = 0.8,
) -> PlantedImages:
    """`count` images of an object among bars. The same arguments always give the same images.

    The shapes are as frequent as one another, give or take one image. No global random state is read or changed.

    Args:
        count: how many images.
        seed: seed of the images; other seeds give other images.
        size: S, the side in pixels, 16 or more. The object is about a third of it.
        shapes: the possible shapes of the object, in the order of the classes: "cross", "ring", "frame" and "saltire"
            (an x). With two shapes, a model may look for one of them only, and hiding the other then changes little.
        position: "anywhere" in the frame, or "center", where a map of the center is right without using the model.
        contrast: how much brighter the bars are than the background, 0 (no bars) to 0.9 (white). The object is brighter
            by .35 to .45 at any contrast: if the bars have less, an edge detector finds it.

    Raises:
        ValueError: for an option outside its choices or range, with the value.
    """
    _check(count, size, shapes, position, contrast)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(shapes))
    scenes = [_scene(random, shapes[label], size, position, contrast) for label in map(int, labels)]
    images, masks = (torch.from_numpy(np.stack(parts)) for parts in zip(*scenes, strict=True))
    return PlantedImages(images[:, None], torch.from_numpy(labels), masks, boxes(masks))


def _check(count: int, size: int, shapes: Sequence[str], position: str, contrast: float) -> None:
    check_count(count)
    check_size(size)
    check_several("shapes", shapes, SHAPES)
    check_choice("position", position, tuple(_POSITIONS))
    check_share("contrast", contrast, 0, 1 - _BACKGROUND)


def _scene(
    random: np.random.Generator, shape: str, size: int, position: str, contrast: float
) -> tuple[npt.NDArray[np.float32], Mask]:
    """An image (S, S) float32 and the mask (S, S) of its object."""
    pixels = drawn(random, shape, size)
    mask = placed(pixels, size, *_POSITIONS[position](random, size - len(pixels)))
    image = np.full((size, size), _BACKGROUND) + random.uniform(*_OBJECT) * mask
    for _ in range(random.integers(*_BARS, endpoint=True)):
        _add_bar(random, image, mask, _BACKGROUND + contrast)
    image += random.normal(0, _NOISE, image.shape)
    return image.clip(0, 1).astype(np.float32), mask


def _add_bar(
    random: np.random.Generator, image: npt.NDArray[np.floating], mask: Mask, brightness: float
) -> None:
    """Draws a bar into `image`, beside the object; bars may cross each other."""
    size = len(image)
    length = int(random.integers(size // 3, size // 2, endpoint=True))
    thickness = int(random.integers(size // 16, size // 10, endpoint=True))
    height, width = (length, thickness) if random.random() < 0.5 else (thickness, length)
    places = _free_places(mask, height, width)
    if len(places):
        top, left = places[random.integers(len(places))]
        image[top : top + height, left : left + width] = brightness


def _free_places(mask: Mask, height: int, width: int) -> npt.NDArray[np.int64]:
    """(k, 2) rows and columns where a rectangle may begin and stay clear of the object's box."""
    (top, bottom), (left, right) = (
        (edge[0], edge[-1]) for edge in (np.flatnonzero(mask.any(a)) for a in (1, 0))
    )
    rows, columns = np.arange(len(mask) - height + 1), np.arange(len(mask) - width + 1)
    clear_rows = (rows + height + _MARGIN <= top) | (rows > bottom + _MARGIN)
    clear_columns = (columns + width + _MARGIN <= left) | (columns > right + _MARGIN)
    return np.argwhere(clear_rows[:, None] | clear_columns)


def _anywhere(random: np.random.Generator, room: int) -> tuple[int, int]:
    top, left = random.integers(0, room, 2, endpoint=True)
    return int(top), int(left)


def _center(random: np.random.Generator, room: int) -> tuple[int, int]:
    """Up to one pixel off the middle."""
    top, left = np.clip(room // 2 + random.integers(-1, 1, 2, endpoint=True), 0, room)
    return int(top), int(left)


_POSITIONS: Mapping[str, Callable[[np.random.Generator, int], tuple[int, int]]] = MappingProxyType(
    {"anywhere": _anywhere, "center": _center}
)
