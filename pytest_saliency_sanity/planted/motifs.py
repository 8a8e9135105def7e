"""The features that networks with hand-made weights look for, and the layers that find them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

# Each form has three features and a fourth that nobody reads. No other place of an input answers a filter as much as
# THRESHOLD times the feature itself, if features do not touch (tests/planted/test_truth.py tries all places).
THRESHOLD = 0.6
_IMAGES = (
    ("..#..", "..#..", "#####", "..#..", "..#.."),
    ("#...#", ".#.#.", "..#..", ".#.#.", "#...#"),
    ("#####", "#...#", "#...#", "#...#", "#####"),
    ("#####", ".....", "#####", ".....", "#####"),
)
_SIGNALS = (("#....##.#",), ("##..#.#..",), ("#.##...#.",), ("###.....#",))
_COLUMNS = (1, 4, 7, 10)  # of a table, of the features
_WIDTH = 12
_SIDES = {"images": 24, "signals": 72}

_Pattern = npt.NDArray[np.float32]


def _pattern(rows: tuple[str, ...]) -> _Pattern:
    return np.array([[mark == "#" for mark in row] for row in rows], dtype=np.float32)


MOTIFS: Mapping[str, tuple[_Pattern, ...]] = MappingProxyType(
    {
        "images": tuple(map(_pattern, _IMAGES)),
        "signals": tuple(_pattern(rows)[0] for rows in _SIGNALS),
        "tables": tuple(np.eye(_WIDTH, dtype=np.float32)[list(_COLUMNS)]),
    }
)


def detector(form: str, features: int) -> list[nn.Module]:
    """Layers that give (N, features): 1 where a feature is present anywhere, 0 where it is absent."""
    filters = torch.stack([_filter(pattern, form) for pattern in MOTIFS[form][:features]])
    layer, rest = _layers(form, filters)
    with torch.no_grad():
        layer.weight.copy_(filters.view_as(layer.weight) / (1 - THRESHOLD))
        if layer.bias is not None:
            layer.bias.fill_(-THRESHOLD / (1 - THRESHOLD))
    return [layer, nn.ReLU(), *rest]


def _filter(pattern: _Pattern, form: str) -> Tensor:
    """What answers 1 to its pattern; of images and signals it answers 0 to an even area."""
    centered = pattern - (0 if form == "tables" else pattern.mean())
    return torch.from_numpy(centered / (centered * pattern).sum())


def _layers(form: str, filters: Tensor) -> tuple[nn.Linear | nn.Conv1d | nn.Conv2d, list[nn.Module]]:
    """The layer that has the filters, and those behind its ReLU."""
    count, side = len(filters), filters.shape[-1]
    if form == "images":
        return nn.Conv2d(1, count, side), [nn.AdaptiveMaxPool2d(1), nn.Flatten()]
    if form == "signals":
        return nn.Conv1d(1, count, side), [nn.AdaptiveMaxPool1d(1), nn.Flatten()]
    return nn.Linear(side, count), []


def drawn_with(random: np.random.Generator, form: str, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs that show these features (N, 3), and the windows and the ink of each feature (N, 3, *S)."""
    motifs = MOTIFS[form]
    drawn = [
        _row(random, motifs, one) if form == "tables" else _scattered(random, motifs, one, _SIDES[form])
        for one in present.numpy()
    ]
    inputs, windows, ink = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
    return (inputs if form == "tables" else inputs[:, None]), windows, ink


_Drawn = tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def _scattered(
    random: np.random.Generator, motifs: tuple[_Pattern, ...], present: npt.NDArray[np.bool_], side: int
) -> _Drawn:
    """Motifs at random places that do not touch, the last one always."""
    sides = (side,) * motifs[0].ndim
    values = np.zeros(sides, dtype=np.float32)
    windows, ink = (np.zeros((len(present), *sides), dtype=bool) for _ in range(2))
    shown = [index for index, is_there in enumerate([*present, True]) if is_there]
    for index, start in zip(shown, _places(random, motifs[0].shape, side, len(shown)), strict=True):
        at = tuple(slice(one, one + extent) for one, extent in zip(start, motifs[0].shape, strict=True))
        values[at] = motifs[index]
        if index < len(present):
            windows[index][at] = True
            ink[index][at] = motifs[index] > 0
    return values, windows, ink


def _places(
    random: np.random.Generator, shape: tuple[int, ...], side: int, count: int
) -> npt.NDArray[np.int64]:
    """(count, axes) first indices, so far from one another that no filter reads two motifs at once."""
    while True:
        starts = random.integers(0, [side - extent for extent in shape], (count, len(shape)), endpoint=True)
        apart = abs(starts[:, None] - starts).max(-1) >= 2 * max(shape)
        if apart[~np.eye(count, dtype=bool)].all():
            return starts


def _row(random: np.random.Generator, motifs: tuple[_Pattern, ...], present: npt.NDArray[np.bool_]) -> _Drawn:
    """A row in which a feature is 1 in its column, and columns that nobody reads are noise."""
    values = random.normal(0, 1, motifs[0].shape).astype(np.float32)
    columns = np.stack(motifs[: len(present)]) > 0
    ink = columns & present[:, None]
    values[columns.any(0)] = 0
    values[ink.any(0)] = 1
    return values, ink, ink
