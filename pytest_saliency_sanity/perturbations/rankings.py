"""Rankings of an image's pixels: places from the most relevant to the least."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.restoring.streams import stream


def ranked(maps: Tensor, seed: int = 0) -> Tensor:
    """(n, P) int32 places of the P pixels of maps (n, *S), 0 for the most relevant.

    Equal values come in an order drawn from `seed`, an own one for each image, the same on every device. RISE
    takes them as numpy happens to sort them; but by position, the zeros of a rectified map would go row by row.

    Raises ValueError for values that are not finite.
    """
    flat = maps.detach().flatten(1)
    if not flat.isfinite().all():
        raise ValueError("maps must be finite to be ranked, got NaN or infinite values.")
    shuffle = _shuffles(len(flat), flat.shape[1], seed).to(flat.device)
    order = shuffle.gather(1, flat.gather(1, shuffle).argsort(dim=1, descending=True, stable=True))
    places = torch.arange(flat.shape[1], dtype=torch.int32, device=flat.device).expand_as(order)
    return torch.empty_like(places, memory_format=torch.contiguous_format).scatter_(1, order, places)


def least_first(rankings: Tensor) -> Tensor:
    """Rankings (…, P) reversed, ties too: what came last comes first."""
    return rankings.shape[-1] - 1 - rankings


def as_rankings(maps: Any, inputs: Tensor, seed: int) -> Tensor:
    """(R, n, P) int32, on the device of the inputs (n, C, *S): of maps `ranked`, of integers the rankings they are.

    Raises TypeError for what is no tensor of maps, ValueError for a shape that does not fit the inputs and for
    integers that are no rankings.
    """
    flat = _flat(maps, inputs).to(inputs.device)
    if flat.is_floating_point():
        return torch.stack([ranked(one, seed) for one in flat])
    _check_permutations(flat)
    return flat.to(torch.int32)


def _flat(maps: Any, inputs: Tensor) -> Tensor:
    if not isinstance(maps, Tensor) or maps.is_complex() or maps.dtype == torch.bool:
        kind = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
        raise TypeError(f"maps must be a tensor of real maps or of integer rankings, got {kind}.")
    n, pixels, space = len(inputs), inputs[0, 0].numel(), tuple(inputs.shape[2:])
    for tail in ((n, *space), (n, pixels)):
        if maps.shape[-len(tail) :] == tail and maps.ndim - len(tail) in (0, 1) and len(maps):
            return maps.detach().reshape(-1, n, pixels)
    raise ValueError(f"maps must be ({n}, *{space}) or (R, {n}, *{space}), got {tuple(maps.shape)}.")


def _check_permutations(rankings: Tensor) -> None:
    pixels = rankings.shape[2]
    inside = bool(((rankings >= 0) & (rankings < pixels)).all())
    if inside:
        seen = torch.zeros_like(rankings, dtype=torch.bool).scatter_(2, rankings.long(), True)
    if not inside or not seen.all():
        raise ValueError(
            f"Integer maps must be rankings, each of the places 0 to {pixels - 1} once; "
            "pass attribution maps as floating-point numbers."
        )


def _shuffles(n: int, pixels: int, seed: int) -> Tensor:
    return torch.stack([torch.randperm(pixels, generator=stream(seed, "ties", i)) for i in range(n)])
