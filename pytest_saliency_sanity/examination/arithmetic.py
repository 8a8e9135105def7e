"""How far rounding alone moves an explainer's maps: inputs and weights, each changed by a unit in the last place.

Two ways of computing the same map round differently. What that does is what the same computation does when what it
starts from is rounded differently (backward error). It is measured, because it depends on the network: a deep one
amplifies, and where two numbers are equal (a maximum over a background) rounding decides which of them counts, so that
a part of a map moves as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.batches import distance
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.perturbations import preserved

_TIMES = 10.0  # as far as rounding moves a typical map two computations may lie apart
_LEAST = 30.0  # units in the last place that they may lie apart in any case
_MOST = 0.3  # relative distance that is never explained by rounding
TOO_FAR = 0.1  # where rounding moves a typical map by more, nothing can be told
_TWICE = 2.0  # a map of which a part moves as a whole may lie so many times as far as such maps were seen to
_RUNS = 2
_SHARE = 8  # of so many images one may move in part, by up to `_PART`, though it did not in these few runs
_PART = 0.2
_TF32 = 2.0**-11  # unit roundoff of cuDNN's convolutions of single precision, where TF32 is allowed


@dataclass(frozen=True)
class Rounding:
    """What rounding explains.

    Attributes:
        typical: the relative distance by which the map of a typical image (the median) moves.
        allowed: the relative distance up to which a map is the same.
        switched: how many images' maps may lie further apart, since a part of them moves as a whole.
        furthest: by how much these may.
    """

    typical: float
    allowed: float
    switched: int = 0
    furthest: float = 0.0

    def unexplained(self, apart: np.ndarray) -> float:
        """Of relative distances (n,) the largest, less those of maps of which a part moved as a whole."""
        ordered = np.sort(apart)[::-1]
        excused = (ordered > self.allowed) & (ordered <= self.furthest)
        excused[self.switched :] = False
        return float(ordered[~np.logical_and.accumulate(excused)].max(initial=0.0))


def unit(kept: Subject, *dtypes: torch.dtype) -> float:
    """The relative size of a unit in the last place: of the coarsest dtype among model, inputs and `dtypes`."""
    tensors = [one for one in (*kept.model.parameters(), *kept.inputs) if one.is_floating_point()]
    coarsest = max(torch.finfo(dtype).eps for dtype in (*dtypes, *(one.dtype for one in tensors)))
    fast = any(one.is_cuda for one in tensors) and torch.backends.cudnn.allow_tf32
    return float(max(coarsest, _TF32) if fast else coarsest)


def rounding_of(kept: Subject, explained: Callable[[Subject], Maps], maps: Maps, size: float) -> Rounding:
    """How far the explainer's maps move in a few runs.

    Args:
        kept: whose explainer it is.
        explained: the maps of a subject.
        maps: the explainer's, of `kept` as it is.
        size: by which relative amount inputs and weights are changed, each number up or down.
    """
    runs = []
    for run in range(_RUNS):
        with _rounded(kept, size, run) as other:
            runs.append(distance(maps, explained(other)).numpy())
    moved = np.stack(runs)
    typical = float(np.median(moved, axis=1).max())
    allowed = min(max(_TIMES * typical, _LEAST * size), _MOST)
    further = moved > allowed
    switched = max(int(further.sum(1).max()), moved.shape[1] // _SHARE)
    return Rounding(typical, allowed, switched, max(_TWICE * float(moved[further].max(initial=0.0)), _PART))


@loan
def _rounded(kept: Subject, size: float, run: int) -> Iterator[Subject]:
    """The subject with other last places of its inputs and weights; the weights come back."""
    generator = torch.Generator().manual_seed(run)
    inputs = tuple(_nudged(part, size, generator) for part in kept.inputs)
    with preserved(kept.model, kept.snapshot):
        _nudge(kept.model.parameters(), size, generator)
        yield replace(kept, inputs=inputs)


def _nudge(parameters: Iterable[Tensor], size: float, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(_nudged(parameter, size, generator))


def _nudged(tensor: Tensor, size: float, generator: torch.Generator) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    up = torch.randint(0, 2, tensor.shape, generator=generator).to(tensor) * 2 - 1
    return (tensor * (1 + size * up)).to(tensor.dtype)
