"""Max-sensitivity: how far a map moves when the image moves a little (Yeh et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pytest_saliency_sanity.metrics.request import Figure, Request, extent, maps_of, mean_of
from pytest_saliency_sanity.perturbations.restoring.streams import stream

SAMPLES = 50
RADIUS = 0.1  # in units of the range of an image's values


def max_sensitivity(asked: Request) -> Figure:
    """The largest change of each image's map among images within the radius, over the map's own size.

    An explainer that draws random numbers draws the same ones for all of them: what differs is due to the image.
    """
    plain = maps_of(asked)
    moved = [maps_of(asked, inputs) for inputs in neighbors(asked.subject.inputs, asked.subject.seed)]
    by_input = [largest_change(part, [maps[place] for maps in moved]) for place, part in enumerate(plain)]
    return Figure(mean_of(by_input), {"samples": SAMPLES, "radius": RADIUS})


def largest_change(maps: Tensor, moved: Sequence[Tensor]) -> Tensor:
    """(n,) max over the samples of ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖ of maps (n, *S); NaN for a map of zeros."""
    flat = maps.flatten(1).double()
    changes = torch.stack([(other.flatten(1).double() - flat).norm(dim=1) for other in moved])
    sizes = flat.norm(dim=1)
    return changes.amax(0) / torch.where(sizes > 0, sizes, math.nan)


def neighbors(inputs: Sequence[Tensor], seed: int) -> Iterator[list[Tensor]]:
    """The samples' inputs: each value moved uniformly by at most `RADIUS` of the range of its image."""
    for sample in range(SAMPLES):
        yield [part + RADIUS * extent(part) * _uniform(part, seed, sample) for part in inputs]


def _uniform(images: Tensor, seed: int, sample: int) -> Tensor:
    """Of the shape of `images`, from −1 to 1; an image's numbers do not depend on how many others there are."""
    draws = [
        torch.rand(images.shape[1:], generator=stream(seed, "neighbors", sample, place))
        for place in range(len(images))
    ]
    return (2 * torch.stack(draws) - 1).to(images)
