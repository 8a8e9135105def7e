"""Random masks: coarse grids of cells that are on or off, shifted and smoothly enlarged to the inputs' size."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.explainers.inputs import Parts, baseline_like, in_calls, whole_number
from pytest_saliency_sanity.explainers.masks import Scorer, per_dimension
from pytest_saliency_sanity.text import shown


def generator_of(seed: int | None, device: torch.device) -> torch.Generator | None:
    """A generator of its own for `seed`; None, which is torch's global generator, for None."""
    if seed is None:
        return None
    return torch.Generator(device).manual_seed(whole_number("seed", seed, least=0))


def cells_of(grid: Any, sides: Sequence[int], default: list[int]) -> list[int]:
    """The cells along each side; ValueError if a side has fewer pixels than its cells."""
    cells = per_dimension("grid", grid, default)
    for cell, side in zip(cells, sides, strict=True):
        if cell > side:
            raise ValueError(f"A grid of {cell} cells does not fit in a side of {side}.")
    return cells


def check_probability(value: Any) -> float:
    """The probability of a cell to be on; ValueError if it is not strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"probability must be a number between 0 and 1, both excluded, got {shown(value)}.")
    return float(value)


def draw_grids(
    count: int, cells: list[int], probability: float, like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """`count` grids (count, 1, *cells) whose cells are 1 with `probability`, else 0, in the dtype of `like`."""
    return (draw_uniform(count, cells, like, generator) < probability).to(like.dtype)


def draw_uniform(count: int, cells: list[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Numbers in [0, 1), (count, 1, *cells), on the device of `like`.

    In single precision whatever the inputs are in, so that a seed draws the same masks for all of them.
    """
    shape = (count, 1, *cells)
    return torch.rand(shape, generator=generator, device=like.device, dtype=torch.float32)


def draw_shifts(
    count: int, cells: list[int], sides: Sequence[int], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Shifts (count, D) in pixels, from 0 up to the side of a cell in each of the D spatial dimensions."""
    widths = [ceil(side / cell) for side, cell in zip(sides, cells, strict=True)]
    draws = [torch.randint(w + 1, (count,), generator=generator, device=like.device) for w in widths]
    return torch.stack(draws, 1)


def enlarged(grids: Tensor, shifts: Tensor, sides: Sequence[int]) -> Tensor:
    """Masks (K, n, *S) of grids (K, n, *cells): enlarged bilinearly by one cell too much, and cut out at `shifts`.

    Petsiuk, Das and Saenko 2018, section 3.3. A cell is ceil(side / cells) pixels wide, as in their program: the
    paper rounds down, and then the cut does not fit where the cells do not divide the side.
    """
    masks = grids
    for axis, side in enumerate(sides):
        weights = _hats(shifts[:, axis], grids.shape[2 + axis], side, grids.dtype)
        # The first axis of cells goes, an axis of pixels is added last: at the end they stand in their order.
        masks = torch.einsum("kxc,knc...->kn...x", weights, masks)
    return masks


def _hats(shifts: Tensor, cells: int, side: int, dtype: torch.dtype) -> Tensor:
    """How much each cell lends to each pixel, (K, side, cells): `F.interpolate`'s linear weights, cut out."""
    enlargement = (cells + 1) * ceil(side / cells) / cells
    middles = torch.arange(side, device=shifts.device, dtype=dtype) + 0.5 + shifts[:, None]
    positions = (middles / enlargement - 0.5).clamp(0, cells - 1)
    return (1 - (positions[..., None] - torch.arange(cells, device=shifts.device)).abs()).clamp_min(0)


def seen_through(parts: Parts, index: int, mask: Tensor, baseline: Any) -> Parts:
    """`parts` with that at `index` faded to the baseline where `mask`, (N, *S) or (1, *S), falls to 0."""
    part = parts[index]
    base = baseline_like(part, baseline)
    seen = base + mask.unsqueeze(1).to(part.dtype) * (part - base)
    return (*parts[:index], seen, *parts[index + 1 :])


def scores_through(
    score: Scorer, parts: Parts, index: int, masks: Tensor, baseline: Any, per_call: int
) -> Tensor:
    """The scores (K, N) of `parts` seen through each of the masks (K, N, *S) or (K, 1, *S)."""
    points = (seen_through(parts, index, mask, baseline) for mask in masks)
    return torch.cat([score(call) for call in in_calls(points, per_call)])
