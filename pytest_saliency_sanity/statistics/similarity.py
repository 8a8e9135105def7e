"""How similar two attribution maps are.

The decision rests on Spearman's rank correlation with the sign kept. For maps that are one-sided by construction
the correlation runs over the union of the two supports: on the digits, the shared black background alone gives
two unrelated absolute maps a correlation of up to .99. The paper's other figures (Adebayo et al. 2018, section 3:
Spearman of absolute values, SSIM, Pearson of HOG) are reported when asked for and decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_saliency_sanity.statistics.ranks import average_ranks, readable
from pytest_saliency_sanity.statistics.supports import Supported, identical, left_over, over_union

_PARTNERS = 4


@dataclass(frozen=True)
class Ranks:
    """Maps, ranked once.

    Attributes:
        ranks: (n, P) average ranks, 1 for the smallest value.
        floor: (n, P) True where a one-sided map has its smallest value (outside its support); None for
            signed maps.
        constant: (n,) True for a map of one value.
        unit: (n, P) ranks less their mean, scaled to length 1; zero for a constant map.
        linear: (n, P) the values themselves less their mean, scaled to length 1.
        size: (n, P) the absolute values less their mean, scaled to length 1.
    """

    ranks: Tensor
    floor: Tensor | None
    constant: Tensor
    unit: Tensor
    linear: Tensor
    size: Tensor


def rank(maps: Tensor, *, one_sided: bool = False) -> Ranks:
    """Rank `maps` (n, *S) on the CPU; ties get their average rank.

    Args:
        maps: n maps, floating point, finite.
        one_sided: compare over the union of the supports instead of the whole frame. Maps that are never
            positive are negated first.
    """
    flat = readable(maps.flatten(1))
    flat = _upright(flat) if one_sided else flat
    ranks = average_ranks(flat)
    floor = flat <= flat.amin(1, keepdim=True) if one_sided else None
    scaled = flat / _largest(flat)[:, None].clamp_min(torch.finfo(flat.dtype).tiny)
    return Ranks(ranks, floor, is_constant(flat), _unit(ranks), _unit(scaled), _unit(scaled.abs()))


def matched_and_mismatched(left: Ranks, right: Ranks, given: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(n,) what `matched_similarity` and (n,) what `mismatched_similarity` returns, at once."""
    n = len(left.ranks)
    if left.floor is None:
        matched, mismatched = pearson(left.unit, right.unit)
    else:
        # A union of supports is another one for every pair: a few partners an image are enough for a mean.
        orders = [torch.arange(n).roll(shift) for shift in range(min(n, _PARTNERS + 1))]
        matched, *others = over_union(_supported(left, given), _supported(right, given), orders)
        mismatched = torch.stack(others).mean(0) if others else torch.full_like(matched, torch.nan)
    return torch.where(identical(left.ranks, right.ranks), 1, matched), mismatched


def matched_similarity(left: Ranks, right: Ranks, given: Tensor | None = None) -> Tensor:
    """(n,) similarity of map i on the left with map i on the right.

    Identical maps have similarity 1 by definition, even where a correlation is undefined (binary maps over
    their own support, constant maps); any other pair with an undefined correlation has 0.

    Args:
        given: of one-sided maps (n, q, P) what is held constant: their partial rank correlation.
    """
    if left.floor is None:
        similarity = (left.unit * right.unit).sum(1)
    else:
        (similarity,) = over_union(
            _supported(left, given), _supported(right, given), [torch.arange(len(left.ranks))]
        )
    return torch.where(identical(left.ranks, right.ranks), 1, similarity)


def mismatched_similarity(left: Ranks, right: Ranks, given: Tensor | None = None) -> Tensor:
    """(n,) mean similarity of map i on the left with the maps j != i on the right: what any two maps share.

    Args:
        given: as in `matched_similarity`; each map's own is held constant.
    """
    return matched_and_mismatched(left, right, given)[1]


def top_overlap(left: Ranks, right: Ranks, share: float) -> Tensor:
    """(n,) intersection over union of the pixels that rank in the top `share` of either map; 1 where none does."""
    line = (1 - share) * left.ranks.shape[1]
    a, b = left.ranks > line, right.ranks > line
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp_min(1), 1.0)


def pearson(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """(n,) correlation of unit rows i and i, and (n,) mean correlation of row i with the rows j != i."""
    pairs = left @ right.T
    matched = pairs.diagonal()
    return matched, (pairs.sum(1) - matched) / (len(pairs) - 1)


def without(unit: Tensor, given: Tensor) -> Tensor:
    """Unit rows (n, P), less a linear regression on `given` (n, q, P), scaled to length 1; zero where nothing is left.

    `pearson` of two of them is a partial correlation.
    """
    left = left_over(unit, given)
    length = left.norm(dim=1, keepdim=True)
    return torch.where(length > 1e-3, left / length.clamp_min(1e-3), 0)


def is_constant(maps: Tensor) -> Tensor:
    """(n,) True where a map (n, *S) has one value, up to rounding at its own scale."""
    flat = maps.flatten(1)
    spread = flat.amax(1) - flat.amin(1)
    return spread <= 4 * torch.finfo(flat.dtype).eps * _largest(flat)


def is_one_sided(maps: Tensor, atom: float = 0.1) -> bool:
    """Whether `maps` (n, *S) are one-sided by construction.

    They are when no map has values of both signs, and also when in every map a share of at least `atom` of the
    pixels ties with the pixel of an extreme value: an absolute map that was shifted or scaled afterwards.
    """
    flat = maps.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    one_sign = (low >= 0) | (high <= 0)
    tied = torch.maximum((flat == low).sum(1), (flat == high).sum(1)) - 1 >= atom * flat.shape[1]
    return bool((one_sign.squeeze(1) | tied).all())


def _upright(flat: Tensor) -> Tensor:
    """Turn over the maps whose ties or zeros sit at the top, so that the support is what lies above the floor."""
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    hanging = (flat == high).sum(1, keepdim=True) > (flat == low).sum(1, keepdim=True)
    never_positive = (high <= 0) & (low < 0)
    return torch.where(never_positive | hanging & (low < 0), -flat, flat)


def _unit(values: Tensor) -> Tensor:
    centered: Tensor = values - values.mean(1, keepdim=True)
    return centered.div_(centered.norm(dim=1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny))


def _largest(flat: Tensor) -> Tensor:
    """(n,) the largest absolute value of each row."""
    return torch.maximum(flat.amax(1), -flat.amin(1))  # without a second copy of all values


def _supported(ranks: Ranks, given: Tensor | None) -> Supported:
    if ranks.floor is None:
        raise TypeError("signed maps have no floor, and so no support")
    return Supported(ranks.ranks, ranks.floor, ranks.constant, given)
