"""How maps of two networks are compared, and by which kinds of similarity; the decision rests on `RANK`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.sensitivity.held_constant import HeldConstant
from pytest_saliency_sanity.statistics import (
    Ranks,
    matched_and_mismatched,
    pearson,
    without,
)

RANK = "rank"  # Spearman
SIGNLESS = "signless"  # its absolute value: an inverted map has not changed
LINEAR = "linear"  # Pearson of the maps
SIZE = "size"  # Pearson of their absolute values
# Of maps of one sign, see `held_constant`:
GIVEN = "given"  # rank, with the input's size and the last feature map held constant
GIVEN_FEATURES = "given features"  # with the last feature map held constant
LINEAR_GIVEN = "linear given"  # Pearson of the maps, with all of it held constant
LINEAR_GIVEN_FEATURES = "linear given features"
# Of signed maps that are a control for maps of one sign:
ABSOLUTE = "absolute"  # rank of the absolute values, over the union of their supports
_PLAIN = {GIVEN: RANK, GIVEN_FEATURES: RANK, LINEAR_GIVEN: LINEAR, LINEAR_GIVEN_FEATURES: LINEAR}
Similarities = dict[str, tuple[np.ndarray, np.ndarray]]  # (n,) matched and (n,) mismatched of each kind


def compared(left: tuple[Ranks, ...], right: tuple[Ranks, ...]) -> Similarities:
    """For each kind of similarity (n,) T and (n,) X of two networks' maps of one chunk."""
    pairs = list(zip(left, right, strict=True))
    return {
        RANK: by_rank(left, right),
        LINEAR: _over_inputs(pearson(a.linear, b.linear) for a, b in pairs),
        SIZE: _over_inputs(pearson(a.size, b.size) for a, b in pairs),
    }


def compared_given(
    held: tuple[HeldConstant, ...], left: tuple[Ranks, ...], right: tuple[Ranks, ...]
) -> Similarities:
    """The same of maps of one sign, with what is held constant; without features these kinds are the plain ones."""
    found = {
        GIVEN: by_rank(left, right, [one.everything for one in held]),
        LINEAR_GIVEN: _by_value(left, right, [one.values for one in held]),
    }
    if all(one.features for one in held):
        found[GIVEN_FEATURES] = by_rank(left, right, [one.everything[:, -1:] for one in held])
        found[LINEAR_GIVEN_FEATURES] = _by_value(left, right, [one.values[:, -1:] for one in held])
    return found


def _by_value(
    left: tuple[Ranks, ...], right: tuple[Ranks, ...], given: Sequence[Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    return _over_inputs(
        pearson(without(a.linear, known), without(b.linear, known))
        for a, b, known in zip(left, right, given, strict=True)
    )


def by_rank(
    left: tuple[Ranks, ...], right: tuple[Ranks, ...], given: Sequence[Tensor | None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) T and (n,) X by rank correlation, for each input of the model something else `given`."""
    known = given or [None] * len(left)
    return _over_inputs(
        matched_and_mismatched(a, b, held) for a, b, held in zip(left, right, known, strict=True)
    )


def of_kind(similarities: Similarities, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) T and (n,) X of one kind; "signless" is made from "rank"; without features a kind given them is plain."""
    if kind != SIGNLESS:
        return similarities[kind if kind in similarities else _PLAIN[kind]]
    matched, mismatched = similarities[RANK]
    return np.abs(matched), mismatched


def _over_inputs(parts: Iterable[tuple[Tensor, Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) T and (n,) X, each the mean over the inputs of the model."""
    matched, mismatched = zip(*parts, strict=True)
    return mean_over_inputs(matched).double().numpy(), mean_over_inputs(mismatched).double().numpy()


def mean_over_inputs(parts: Iterable[Tensor]) -> Tensor:
    """The mean of what there is for each input of the model."""
    return torch.stack(list(parts)).mean(0)
