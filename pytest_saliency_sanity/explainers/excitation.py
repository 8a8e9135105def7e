"""ReLUs that only weigh a map's channels, as in squeeze-and-excitation (Hu et al. 2018), told from those on the way.

Such a ReLU rectifies features without positions, pooled from a map, and what is made of them multiplies a map. Nearly
all of the gradient passes by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor

from pytest_saliency_sanity.explainers.interception import tensors_in

_MULTIPLICATIONS = ("mul", "multiply", "rmul", "imul")
_EXPANSIONS = ("expand", "broadcast", "repeat", "tile", "interpolate", "upsample")


@dataclass
class Rectifier:
    """One ReLU that ran.

    Attributes:
        reached: the gradient passes through it: a ReLU of parameters alone (Swin v2 has some) is not on the way.
        weighs: what is made of it multiplies a map.
    """

    reached: bool = False
    weighs: bool = False


class Excitations:
    """Follows what is made of ReLUs of features without positions, in a model of `n` inputs."""

    def __init__(self, n: int) -> None:
        self._n = n
        # By identity, with the tensor, which keeps the identity from being used again.
        self._made: dict[int, tuple[Tensor, tuple[Rectifier, ...]]] = {}

    def begin(self, rectifier: Rectifier, given: Tensor, out: Tensor) -> None:
        """Follow what a ReLU has made of what it was given, if it has no positions."""
        if self._pooled(out):
            self._made[id(out)] = (out, (*self._sources((given,)), rectifier))

    def follow(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        """A function was called: what it made of what is followed is followed too, up to a product with a map."""
        if not self._made:
            return
        given = tuple(tensors_in((*args, *kwargs.values())))
        sources = self._sources(given)
        if not sources:
            return
        if name.strip("_") in _MULTIPLICATIONS and any(map(self._is_map, given)):
            for rectifier in sources:
                rectifier.weighs = True
            return
        for tensor in tensors_in((out,)):
            if self._pooled(tensor) or name.startswith(_EXPANSIONS):
                self._made[id(tensor)] = (tensor, sources)

    def _sources(self, tensors: Iterable[Tensor]) -> tuple[Rectifier, ...]:
        found = (self._made[id(tensor)][1] for tensor in tensors if id(tensor) in self._made)
        return tuple({id(rectifier): rectifier for each in found for rectifier in each}.values())

    def _is_map(self, tensor: Tensor) -> bool:
        return id(tensor) not in self._made and tensor.dim() > 2 and not self._pooled(tensor)

    def _pooled(self, tensor: Tensor) -> bool:
        """Whether it is (N, C), (N, C, 1, 1) or (N, 1, 1, C)."""
        shape = tuple(tensor.shape)
        return bool(shape) and shape[0] == self._n and 1 in (prod(shape[2:]), prod(shape[1:-1]))
