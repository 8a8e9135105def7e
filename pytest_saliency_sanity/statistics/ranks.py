"""Ranks of a map's values; ties get their average rank."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def average_ranks(flat: Tensor) -> Tensor:
    """(n, P) the ranks 1, 2, … of each row of `flat` (n, P), in single precision where that is exact."""
    ranks = torch.empty(flat.shape, dtype=torch.float32 if flat.shape[1] < 2**23 else torch.float64)
    for row, values in zip(ranks.numpy(), flat.numpy(), strict=True):  # one by one, they stay in the cache
        row[:] = ranks_of(values)
    return ranks


def ranks_of(values: np.ndarray) -> np.ndarray:
    """(P,) the ranks of `values` (P,), in double precision."""
    ordered, order = _sorted(values)
    ranks = np.empty(len(values))
    ranks[order] = _places(ordered)
    return ranks


def rank_correlation(left: np.ndarray, right: np.ndarray) -> float:
    """Spearman's correlation of values (P,) and (P,): 1 for the same ranks, else 0 where it is undefined."""
    ordered, order = _sorted(left)
    middle = (len(left) + 1) / 2
    a, b = _places(ordered) - middle, ranks_of(right) - middle
    pairs = ((a, b[order]), (a, a), (b, b))
    both, own, other = (float(np.einsum("i,i", *pair)) for pair in pairs)  # `@` would start threads
    return both / math.sqrt(own * other) if own and other else float(own == other)


def _sorted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (P,) in ascending order (or integers that order alike), and the places that they came from.

    A single-precision value and its place are packed into one integer, and numpy sorts those several times faster
    than it finds the order of floats (`python -m tests.benchmarks.ranks`).
    """
    if values.dtype != np.float32:
        order = values.argsort()
        return values[order], order
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0, which it ties with
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    keys <<= 32
    keys |= np.arange(len(keys))
    keys.sort()
    return keys >> 32, keys & 0xFFFFFFFF


def _places(ordered: np.ndarray) -> np.ndarray:
    """The places 1, 2, … of ordered values (P,); equal ones have the mean of theirs, (first + last) / 2."""
    ends = np.flatnonzero(ordered[1:] != ordered[:-1])
    if len(ends) == len(ordered) - 1:
        return np.arange(1, len(ordered) + 1)
    edges = np.concatenate(([0], ends + 1, [len(ordered)]))  # where runs begin and end
    places: np.ndarray = np.repeat((edges[1:] + edges[:-1] + 1) / 2, np.diff(edges))
    return places
