"""eMPRT: the rise of a map's complexity when all weights are re-initialized (Hedström et al. 2024)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.metrics.request import Figure, Request, maps_of, mean_of
from pytest_saliency_sanity.perturbations import randomized

BINS = 100
DRAWS = 5


def emprt(asked: Request) -> Figure:
    """(H(re-initialized) − H(trained)) / H(trained) of each image, the mean over re-initializations."""
    trained = maps_of(asked)
    draws = min(asked.subject.amounts.draws, DRAWS)
    rises = [_rise(asked, trained, draw) for draw in range(draws)]
    return Figure(np.mean(rises, axis=0), {"bins": BINS, "draws": draws})


def _rise(asked: Request, trained: tuple[Tensor, ...], draw: int) -> np.ndarray:
    kept = asked.subject
    with randomized(kept.model, asked.blocks, seed=kept.seed, draw=draw):
        maps = maps_of(asked)
    return mean_of([relative_rise(a, b) for a, b in zip(trained, maps, strict=True)])


def relative_rise(before: Tensor, after: Tensor) -> Tensor:
    """(n,) (H(after) − H(before)) / H(before) of maps (n, *S); NaN where a map of before is constant."""
    first, second = discrete_entropy(before), discrete_entropy(after)
    return (second - first) / torch.where(first > 0, first, torch.nan)


def discrete_entropy(maps: Tensor, bins: int = BINS) -> Tensor:
    """(n,) the entropy, in nats, of the histogram of each map, with `bins` bins of one width from its least value up.

    A map is not changed by it if its values are shifted or multiplied: it says nothing of sizes or places.
    """
    rows = maps.detach().flatten(1).double().cpu().numpy()
    counts = np.stack([np.histogram(row, bins)[0] for row in rows])
    shares = torch.from_numpy(counts / counts.sum(1, keepdims=True))
    entropy: Tensor = -torch.special.xlogy(shares, shares).sum(1)
    return entropy
