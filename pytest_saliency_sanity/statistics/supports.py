"""Rank correlations over supports: of maps of one sign, the pixels where either of two leaves its floor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

_MOST = 4096  # pixels that `few` leaves
_NOTHING = 1e-6  # of a map's squared length: no more is left of a map that follows what is held constant


@dataclass(frozen=True)
class Supported:
    """Of the ranks of one-sided maps, what a comparison over supports goes by.

    Attributes:
        ranks, floor, constant: as in `similarity.Ranks`.
        given: (n, q, P) what is held constant, in ranks; None for nothing.
    """

    ranks: Tensor
    floor: Tensor
    constant: Tensor
    given: Tensor | None = None

    def rolled(self, shift: int) -> Supported:
        """The same maps, the last `shift` of them first."""
        return Supported(
            self.ranks.roll(shift, 0),
            self.floor.roll(shift, 0),
            self.constant.roll(shift, 0),
            None if self.given is None else self.given.roll(shift, 0),
        )


def few(maps: Tensor) -> Tensor:
    """(n, P) at most 4,096 pixels of maps (n, *S), the same ones of all maps of a size: for what is costly."""
    flat = maps.flatten(1)
    return flat if flat.shape[1] <= _MOST else flat[:, _places(flat.shape[1]).to(flat.device)]


@cache
def _places(pixels: int) -> Tensor:
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(0))[:_MOST].sort().values


def over_union(left: Supported, right: Supported) -> Tensor:
    """(n,) Spearman over the pixels where either map leaves its floor, without sorting again.

    Inside the union the values above a map's floor keep their order and lose as many places as there are
    pixels outside; its floor pixels inside the union share the lowest places. Where something is held constant it
    is the correlation of what a linear regression on it leaves of these places (partial rank correlation).
    """
    union = ~(left.floor & right.floor)
    outside = (~union).sum(1, keepdim=True)
    a, b = (_centered(_within(maps, outside), union) for maps in (left, right))
    norm = a.norm(dim=1) * b.norm(dim=1)
    defined = norm > 1e-6 * union.sum(1).clamp_min(1)
    if left.given is not None and right.given is not None:
        a, b = left_over(a, left.given, union), left_over(b, right.given, union)
        whole, norm = norm, a.norm(dim=1) * b.norm(dim=1)
        defined = defined & (norm > _NOTHING * whole)
    similarity = torch.where(defined, (a * b).sum(1) / norm.clamp_min(torch.finfo(a.dtype).tiny), 0)
    return torch.where(identical(left.ranks, right.ranks) & ~left.constant, 1, similarity)


def identical(left: Tensor, right: Tensor) -> Tensor:
    """(n,) whether maps have the same ranks (n, P)."""
    same = (left[:, :8] == right[:, :8]).all(1)  # of maps that differ, nearly all differ there
    return same & (left == right).all(1) if same.any() else same


def _within(maps: Supported, outside: Tensor) -> Tensor:
    floor_inside = maps.floor.sum(1, keepdim=True) - outside
    return torch.where(maps.floor, (floor_inside + 1) / 2, maps.ranks - outside)


def _centered(values: Tensor, union: Tensor) -> Tensor:
    """Values (n, P) less their mean over the union, and zero outside of it."""
    inside = values * union
    return (inside - inside.sum(1, keepdim=True) / union.sum(1, keepdim=True).clamp_min(1)) * union


def left_over(values: Tensor, given: Tensor, union: Tensor) -> Tensor:
    """What a linear regression on `given` (n, q, P), over the union, leaves of centered `values` (n, P)."""
    known = torch.stack([_centered(part, union) for part in given.unbind(1)], 1).double()
    known = known / known.norm(dim=2, keepdim=True).clamp_min(1e-12)
    slopes = _inverse(known @ known.mT) @ (known @ values.double()[..., None])
    left: Tensor = values - (slopes * known).sum(1)
    return left.to(values.dtype)


def _inverse(products: Tensor) -> Tensor:
    """The pseudoinverse of (n, q, q): what is held constant may say the same twice."""
    inverse: Tensor = torch.linalg.pinv(products, rtol=1e-9, hermitian=True)
    return inverse
