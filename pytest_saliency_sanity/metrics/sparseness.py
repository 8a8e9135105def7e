"""Sparseness: the Gini index of a map (Chalasani et al. 2020; the index: Hurley and Rickard 2009)."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_saliency_sanity.metrics.request import Figure, Request, maps_of, mean_of


def sparseness(asked: Request) -> Figure:
    """Of the maps, summed over channels: 0 where all values are of one size, nearly 1 where one pixel has all."""
    return Figure(mean_of([gini(part) for part in maps_of(asked)]))


def gini(maps: Tensor) -> Tensor:
    """(n,) the Gini index of the absolute values of maps (n, *S), in double; NaN for a map of zeros.

    Hurley and Rickard 2009: with c(1) ≤ … ≤ c(P), 1 − 2 Σ c(k) / ‖c‖₁ · (P − k + ½) / P.
    """
    sizes = maps.detach().flatten(1).double().abs().sort(dim=1).values
    count = sizes.shape[1]
    places = torch.arange(1, count + 1, dtype=sizes.dtype, device=sizes.device)
    return ((2 * places - count - 1) * sizes).sum(1) / (count * sizes.sum(1))
