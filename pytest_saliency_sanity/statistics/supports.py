"""Rank correlations over supports: of maps of one sign, the pixels where either of two leaves its floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

_MOST = 4096  # pixels that `few` leaves
_NOTHING = 1e-6  # of a map's squared length: no more is left of a map that follows what is held constant
_FLAT = 1e-6  # of the number of pixels: two maps whose places differ no more have no correlation
_ROUNDING = 1e-12  # of a row's squared length, that is left of a constant one


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

    def rows(self, order: Tensor) -> Supported:
        """The maps at `order`."""
        given = None if self.given is None else self.given[order]
        return Supported(self.ranks[order], self.floor[order], self.constant[order], given)

    @property
    def middle(self) -> float:
        """The mean rank of all pixels, from which ranks are counted: sums of their squares stay exact."""
        return (self.ranks.shape[1] + 1) / 2


def few(maps: Tensor) -> Tensor:
    """(n, P) at most 4,096 pixels of maps (n, *S), the same ones of all maps of a size: for what is costly."""
    flat = maps.flatten(1)
    return flat if flat.shape[1] <= _MOST else flat[:, _places(flat.shape[1]).to(flat.device)]


@cache
def _places(pixels: int) -> Tensor:
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(0))[:_MOST].sort().values


def over_union(left: Supported, right: Supported, orders: Sequence[Tensor]) -> Tensor:
    """(k, n) Spearman of maps i and orders[k][i] over the pixels where either leaves its floor, without sorting again.

    Inside the union the values above a map's floor keep their order and lose as many places as there are
    pixels outside; its floor pixels inside the union share the lowest places. Where something is held constant it
    is the correlation of what a linear regression on it leaves of these places (partial rank correlation). All of it
    follows from sums of products, in double precision.
    """
    if left.given is None or right.given is None:
        pairs = _of_all_pairs(left, right)
        rows = torch.arange(len(left.ranks))
        found = [pairs[rows, order] for order in orders]
    else:
        found = [_partial(left, right.rows(order)) for order in orders]
    same = [_same_rows(left.ranks, right.ranks, order) & ~left.constant for order in orders]
    return torch.where(torch.stack(same), 1, torch.stack(found)).to(left.ranks.dtype)


def identical(left: Tensor, right: Tensor) -> Tensor:
    """(n,) whether maps have the same ranks (n, P)."""
    return _same_rows(left, right, torch.arange(len(right)))


def _same_rows(left: Tensor, right: Tensor, order: Tensor) -> Tensor:
    same = (left[:, :8] == right[:, :8][order]).all(1)  # of maps that differ, nearly all differ there
    return same & (left == right[order]).all(1) if same.any() else same


def _of_all_pairs(left: Supported, right: Supported) -> Tensor:
    """(n, n) the correlation of map i on the left with map j on the right.

    A pixel of the union is above both floors, or above one: there the other map has its lowest place.
    """
    (a, above_a), (b, above_b) = map(_above, (left, right))
    both = above_a @ above_b.T
    only_a, only_b = above_a.sum(1)[:, None] - both, above_b.sum(1) - both
    count = both + only_a + only_b
    outside = left.ranks.shape[1] - count - left.middle
    low_a, low_b = outside + (only_b + 1) / 2, outside + (only_a + 1) / 2
    sum_a, sum_b = a.sum(1)[:, None], b.sum(1)
    products = a @ b.T + low_b * (sum_a - a @ above_b.T) + low_a * (sum_b - above_a @ b.T)
    sum_a, sum_b = sum_a + low_a * only_b, sum_b + low_b * only_a
    squares_a = (a * a).sum(1)[:, None] + low_a * low_a * only_b
    squares_b = (b * b).sum(1) + low_b * low_b * only_a
    count = count.clamp_min(1)
    spread = (squares_a - sum_a * sum_a / count).clamp_min(0) * (squares_b - sum_b * sum_b / count).clamp_min(
        0
    )
    return _ratio(products - sum_a * sum_b / count, spread.sqrt(), _FLAT * count)


def _above(maps: Supported) -> tuple[Tensor, Tensor]:
    """(n, P) the ranks above the floor, counted from the middle, and 0 on it; and (n, P) 1 above the floor, 0 on it."""
    above = (~maps.floor).double()
    return (maps.ranks.double() - maps.middle) * above, above


def _partial(left: Supported, right: Supported) -> Tensor:
    """(n,) the partial correlation of maps i and i, each with its own held constant."""
    if left.given is None or right.given is None:
        raise TypeError("nothing is held constant")
    union = ~(left.floor & right.floor)
    count = union.sum(1, keepdim=True)
    places = [_within(maps, count)[:, None] for maps in (left, right)]
    rows = torch.cat([*places, left.given, right.given], 1).double().sub_(left.middle).mul_(union[:, None])
    sums, products = rows.sum(2), rows @ rows.mT
    centered = products - sums[:, :, None] * sums[:, None] / count.clamp_min(1)[:, None]
    scales = _scales(centered, products)
    whole = scales[:, 0] * scales[:, 1]
    unit = centered * _inverses(scales)[:, :, None] * _inverses(scales)[:, None]
    mine, theirs = (slice(2, 2 + left.given.shape[1]), slice(2 + left.given.shape[1], None))
    a, b = _slopes(unit, 0, mine), _slopes(unit, 1, theirs)
    left_of_a = 1 - (a * unit[:, 0, mine]).sum(1)
    left_of_b = 1 - (b * unit[:, 1, theirs]).sum(1)
    shared = unit[:, 0, 1] - (a * unit[:, 1, mine]).sum(1) - (b * unit[:, 0, theirs]).sum(1)
    shared = shared + (a[:, None] @ unit[:, mine, theirs] @ b[:, :, None])[:, 0, 0]
    size = (left_of_a.clamp_min(0) * left_of_b.clamp_min(0)).sqrt()
    known = whole > _FLAT * count[:, 0].clamp_min(1)
    return torch.where(known, _ratio(shared, size, torch.full_like(size, _NOTHING)), 0)


def _within(maps: Supported, count: Tensor) -> Tensor:
    """(n, P) the places over a union of `count` pixels, all of them moved up by what lies outside."""
    floor = maps.floor.sum(1, keepdim=True)
    outside = maps.floor.shape[1] - count
    return torch.where(maps.floor, (floor - outside + 1) / 2 + outside, maps.ranks)


def _scales(centered: Tensor, products: Tensor) -> Tensor:
    """(n, m) the length of each row less its mean; 0 for one that is the same everywhere, up to rounding."""
    squares, raw = (each.diagonal(dim1=1, dim2=2) for each in (centered, products))
    return torch.where(squares > _ROUNDING * raw, squares.clamp_min(0), 0).sqrt()


def _inverses(scales: Tensor) -> Tensor:
    return torch.where(scales > 0, 1 / scales.clamp_min(torch.finfo(scales.dtype).tiny), 0)


def _slopes(unit: Tensor, of: int, on: slice) -> Tensor:
    """(n, q) of the linear regression of row `of` on the rows `on`."""
    return (_inverse(unit[:, on, on]) @ unit[:, of, on, None])[:, :, 0]


def _ratio(shared: Tensor, size: Tensor, least: Tensor) -> Tensor:
    """What is shared by the size of both; 0 where that is not above the least."""
    return torch.where(size > least, shared / size.clamp_min(torch.finfo(size.dtype).tiny), 0)


def _centered(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def left_over(values: Tensor, given: Tensor) -> Tensor:
    """What a linear regression on `given` (n, q, P) leaves of centered `values` (n, P)."""
    known = torch.stack([_centered(part) for part in given.unbind(1)], 1).double()
    known = known / known.norm(dim=2, keepdim=True).clamp_min(1e-12)
    slopes = _inverse(known @ known.mT) @ (known @ values.double()[..., None])
    left: Tensor = values - (slopes * known).sum(1)
    return left.to(values.dtype)


def _inverse(products: Tensor) -> Tensor:
    """The pseudoinverse of (n, q, q): what is held constant may say the same twice."""
    inverse: Tensor = torch.linalg.pinv(products, rtol=1e-9, hermitian=True)
    return inverse
