"""Ranks of a map's values; ties get their average rank."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor


def readable(maps: Tensor) -> Tensor:
    """Maps on the CPU, in a precision that NumPy has: bfloat16 becomes float32."""
    here = maps.detach().cpu()
    return here if here.dtype in (torch.float32, torch.float64) else here.float()


def average_ranks(flat: Tensor) -> Tensor:
    """(n, P) the ranks 1, 2, … of each row of `flat` (n, P), in single precision where that is exact.

    Values that are one, up to rounding, all tie.
    """
    ranking = Ranking(flat.shape[1])
    ranks = torch.from_numpy(np.empty(flat.shape, dtype=ranking.dtype))
    for row, values in zip(ranks.numpy(), flat.numpy(), strict=True):  # one by one, they stay in the cache
        ranking.rank(values, out=row)
    return ranks


def rank_correlations(left: np.ndarray, right: np.ndarray) -> list[float]:
    """Spearman's correlation of rows (n, P) and (n, P): 1 for the same ranks, else 0 where it is undefined."""
    ranking = Ranking(left.shape[1])
    return [ranking.correlation(*pair) for pair in zip(left, right, strict=True)]


class Ranking:
    """Ranks rows of `size` values, one after the other, in memory that is asked for once: new memory is slow.

    Attributes:
        dtype: of ranks, half ones too: single precision where that is exact.
    """

    def __init__(self, size: int) -> None:
        self.dtype = np.dtype(np.float32 if size < 2**23 else np.float64)
        self._numbers = np.arange(1, size + 1, dtype=self.dtype)
        self._places = np.empty(size, self.dtype)
        self._indices = np.arange(size)
        self._values = np.empty(size, np.float32)
        self._bits = np.empty(size, np.int32)
        self._keys, self._order = np.empty((2, size), np.int64)
        self._equal = np.empty(max(size - 1, 0), bool)
        self._pair, self._centered = np.empty((2, size), self.dtype), np.empty((2, size))

    def rank(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write the ranks of `values` (P,) to `out` (P,); those of one value, up to rounding, all tie."""
        ordered, order = self._sorted(values)
        if _are_one(values[order[0]], values[order[-1]]):
            out[:] = (len(values) + 1) / 2
        else:
            out[order] = self._places_of(ordered)

    def correlation(self, left: np.ndarray, right: np.ndarray) -> float:
        """Spearman's correlation of values (P,) and (P,): 1 for the same ranks, else 0 where it is undefined."""
        for values, row in zip((left, right), self._pair, strict=True):
            self.rank(values, out=row)
        a, b = np.subtract(self._pair, (len(left) + 1) / 2, out=self._centered)
        both, own, other = (float(np.einsum("i,i", *pair)) for pair in ((a, b), (a, a), (b, b)))  # no threads
        return both / math.sqrt(own * other) if own and other else float(own == other)

    def _sorted(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (P,) in ascending order (or integers that order alike), and the places that they came from.

        A single-precision value and its place are packed into one integer, and numpy sorts those several times faster
        than it finds the order of floats (`python -m tests.benchmarks.ranks`).
        """
        if values.dtype != np.float32:
            order = values.argsort()
            return values[order], order
        # -0.0 becomes 0.0, which it ties with.
        bits = np.add(values, np.float32(0), out=self._values).view(np.int32)
        ascending = np.right_shift(bits, 31, out=self._bits)
        ascending &= 0x7FFFFFFF
        ascending ^= bits
        keys = self._keys
        keys[:] = ascending
        keys <<= 32
        keys |= self._indices
        keys.sort()
        order = np.bitwise_and(keys, 0xFFFFFFFF, out=self._order)
        keys >>= 32
        return keys, order

    def _places_of(self, ordered: np.ndarray) -> np.ndarray:
        """The places 1, 2, … of ordered values (P,); equal ones have the mean of theirs, (first + last) / 2."""
        equal = np.equal(ordered[1:], ordered[:-1], out=self._equal)
        ties = np.count_nonzero(equal)
        if not ties:
            return self._numbers
        if ties > len(equal) / 2:  # few runs, each of many values
            ends = np.flatnonzero(np.logical_not(equal, out=equal))
            edges = np.concatenate(([0], ends + 1, [len(ordered)]))
            repeated: np.ndarray = np.repeat(self._mean(edges[:-1], edges[1:] - 1), np.diff(edges))
            return repeated
        tied = np.flatnonzero(equal)  # with the next one
        gaps = np.flatnonzero(tied[1:] - tied[:-1] > 1)
        # Of each run of equal values:
        first, last = tied[np.append(0, gaps + 1)], tied[np.append(gaps, -1)] + 1
        mean = self._mean(first, last)
        self._places[:] = self._numbers
        self._places[tied] = np.repeat(mean, last - first)
        self._places[last] = mean
        return self._places

    def _mean(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The mean place of those at indices `first` to `last`."""
        mean: np.ndarray = ((first + last + 2) / 2).astype(self.dtype)
        return mean


def _are_one(lowest: Any, highest: Any) -> bool:
    """As `similarity.is_constant`, by the lowest and the highest value of a map, scalars of NumPy."""
    with np.errstate(over="ignore"):
        spread, largest = highest - lowest, max(abs(lowest), abs(highest))
        return bool(spread <= 4 * np.finfo(lowest.dtype).eps * largest)
