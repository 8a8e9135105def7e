"""Explainers that look at the input through many random masks: RISE, and mask estimation.

Both draw from torch's global generator on the inputs' device, unless they are given a seed, and draw the same
for every image of a batch: an image has the same map alone and among others. They need no gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pytest_saliency_sanity.explainers.grids import (
    cells_of,
    check_probability,
    draw_grids,
    draw_shifts,
    draw_uniform,
    enlarged,
    generator_of,
    scores_through,
)
from pytest_saliency_sanity.explainers.inputs import as_given, points_per_call, tensors, whole_number, wide
from pytest_saliency_sanity.explainers.masks import scorer, spatial_sides
from pytest_saliency_sanity.explainers.spatial import spatial
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Inputs
from pytest_saliency_sanity.text import shown

# From masks (K, N, *S) or (K, 1, *S) to the scores (K, N) of the inputs seen through them.
Seen: TypeAlias = "Callable[[Tensor], Tensor]"

TRACK_POINTS = 20
TRACK_LEVELS = 14


@spatial
def rise(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    samples: int = 400,
    grid: int | tuple[int, ...] | None = None,
    probability: float = 0.5,
    output: str = "softmax",
    baseline: float | Tensor = 0.0,
    batch_size: int | None = None,
    seed: int | None = None,
) -> Inputs:
    """The mean of random masks, each weighted by the target's score of the input seen through it.

    Petsiuk, Das and Saenko 2018, section 3, equation 6: S = sum over the masks of score * mask, divided by
    `samples` times `probability`. A mask is a grid of cells, on with `probability`, enlarged bilinearly to one
    cell more than the input and cut out at a random shift (section 3.3). The map is (N, 1, *S).

    `grid` counts cells, one number or one for each spatial dimension: by default 7, as in the paper at 224
    pixels, and on small sides as many as have some 6 pixels each, at least 2. The paper draws 4,000 to 8,000
    masks. `output` is "softmax", the probability of the target (the sigmoid of a single logit), or "logit".
    Hidden pixels take the value of `baseline`, a number or a tensor that broadcasts to the inputs.
    `batch_size` bounds the images per call of the model and changes nothing but rounding. With `seed` the masks
    come from a generator of its own, and the global one stays as it was. Of a tuple of inputs each tensor is
    masked in turn, and gets its map.

    Raises ValueError for options out of their range, NotApplicable for inputs without a spatial dimension.
    """
    parts = tuple(part.detach() for part in tensors(inputs))
    score = scorer(model, inputs, targets, output)
    per_call = points_per_call(inputs, batch_size)
    generator = generator_of(seed, parts[0].device)
    draw = partial(_rise_masks, samples=samples, grid=grid, probability=probability, generator=generator)
    with entered(torch.no_grad()):
        maps = []
        for index, part in enumerate(parts):
            total = torch.zeros_like(wide(part[:, 0]))
            for masks in draw(part, per_call):
                scores = scores_through(score, parts, index, masks, baseline, per_call)
                total += torch.einsum("kn,k...->n...", scores.to(total.dtype), masks[:, 0])
            maps.append((total / (samples * probability)).unsqueeze(1).to(part.dtype))
    return as_given(inputs, maps)


def _rise_masks(
    part: Tensor, per_call: int, *, samples: int, grid: Any, probability: float, generator: Any
) -> Iterator[Tensor]:
    """Masks (K, 1, *S), the same for all images, in lists of at most `per_call`; all are drawn beforehand."""
    sides = spatial_sides("rise", part)
    cells = cells_of(grid, sides, [min(side, 7, max(2, round(side / 6))) for side in sides])
    count = whole_number("samples", samples)
    grids = draw_grids(count, cells, check_probability(probability), wide(part[:0]), generator)
    shifts = draw_shifts(count, cells, sides, part, generator)
    for some, at in zip(torch.split(grids, per_call), torch.split(shifts, per_call), strict=True):
        yield enlarged(some, at, sides)


@dataclass(frozen=True)
class Track:
    """How good the map was along the way.

    Attributes:
        steps: (T,) int64, after how many steps.
        insertion: (T, N), area under the target's softmax score as pixels are shown, the map's largest first.
        deletion: (T, N), the same as they are hidden.
    """

    steps: Tensor
    insertion: Tensor
    deletion: Tensor


@spatial
def mask_estimation(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    steps: int = 1000,
    eta: float = 0.02,
    chains: int = 10,
    total_variation: float = 0.0,
    grid: int | tuple[int, ...] | None = None,
    probability: float = 0.3,
    baseline: float | Tensor = 0.0,
    batch_size: int | None = None,
    seed: int | None = None,
    track: bool = False,
) -> Any:
    """Mask estimation: the mean of random masks that change less, the better the model sees the target through them.

    Thakur and Fischmeister, Algorithm 1, as their program runs it. A mask is a grid of cells, at first on with
    `probability`, enlarged bilinearly and cut out at a random shift as in `rise`. At each step every cell that is
    on survives with probability p, and every cell that is off switches on with probability 1 - p. The sum of
    the masks, less its mean over the pixels, rectified and divided by its maximum, is the map, (N, 1, *S).

    The poster multiplies the mask by p at each step instead of adding masks up. Taken literally, a cell that is off
    stays off, and one that is on shrinks: every mask ends at zero, whatever the model, and no map is left.

    Neither says how the score drives p nor where eta enters. The reading taken here: p is the target's softmax
    probability of the input seen through the mask (the sigmoid of a single logit), kept between `eta` and
    1 - `eta`. A mask through which the model recognizes the target stays, one through which it does not is inverted,
    and because of eta no mask lasts forever. No mask is rejected. `total_variation` times the mask's total
    variation, the mean of |difference| over neighboring cells, is taken from p before it is limited.

    `steps` counts the masks of an image (the program takes 5,000); they are shared out among `chains` walks, which
    run at once in the same calls of the model (the program has one). `grid` is 8 by default, or the side if that
    is smaller. `baseline`, `batch_size`, `seed` and tuples of inputs are those of `rise`. With `track` the result
    is (map, `Track`) with some 20 points (for a tuple of inputs, a tuple of each): the poster's figure of
    convergence.

    Raises ValueError for options out of their range, NotApplicable for inputs without a spatial dimension.
    """
    parts = tuple(part.detach() for part in tensors(inputs))
    per_call = points_per_call(inputs, batch_size)
    score = scorer(model, inputs, targets, "softmax")
    generator = generator_of(seed, parts[0].device)
    walk = _Walk(steps, chains, grid, probability, eta, total_variation, generator)
    maps, tracks = [], []
    with entered(torch.no_grad()):
        for index, part in enumerate(parts):
            seen = partial(scores_through, score, parts, index, baseline=baseline, per_call=per_call)
            total, course = _followed(_sums(part, seen, walk), seen, TRACK_POINTS if track else 0, steps)
            maps.append(_rectified(total).unsqueeze(1).to(part.dtype))
            tracks.append(course)
    return (as_given(inputs, maps), as_given(inputs, tracks)) if track else as_given(inputs, maps)


@dataclass(frozen=True)
class _Walk:
    """The options of the walks; ValueError for those out of their range."""

    steps: int
    chains: int
    grid: Any
    probability: float
    eta: float
    total_variation: float
    generator: torch.Generator | None

    def __post_init__(self) -> None:
        whole_number("steps", self.steps)
        whole_number("chains", self.chains)
        check_probability(self.probability)
        if not 0 <= self.eta < 0.5:  # at 0.5 the walk no longer sees the score
            raise ValueError(f"eta must be a number from 0 to below 0.5, got {shown(self.eta)}.")
        if not 0 <= self.total_variation < math.inf:
            raise ValueError(
                f"total_variation must be a weight of 0 or more, got {shown(self.total_variation)}."
            )


def _sums(part: Tensor, seen: Seen, walk: _Walk) -> Iterator[tuple[int, Tensor]]:
    """After each round of the walks, how many masks there were and their sum, (N, *S)."""
    sides = spatial_sides("mask_estimation", part)
    cells = cells_of(walk.grid, sides, [min(side, 8) for side in sides])
    grids = draw_grids(walk.chains, cells, walk.probability, wide(part[:0]), walk.generator)
    grids = grids.expand(-1, len(part), *cells)
    total, done = torch.zeros_like(wide(part[:, 0])), 0
    while done < walk.steps:
        grids = grids[: walk.steps - done]
        masks = enlarged(grids, draw_shifts(len(grids), cells, sides, part, walk.generator), sides)
        total, done = total + masks.sum(0), done + len(grids)
        yield done, total
        grids = _moved(grids, seen(masks), walk)


def _moved(grids: Tensor, scores: Tensor, walk: _Walk) -> Tensor:
    """The grids (K, N, *cells) one step on, given the scores (K, N) of what is seen through them."""
    limited = (scores - walk.total_variation * _variation(grids)).clamp(walk.eta, 1 - walk.eta)
    draws = draw_uniform(len(grids), list(grids.shape[2:]), grids, walk.generator)
    # On and surviving, or off and not switched on: in both cases a cell stays as it is with probability p.
    stays = draws < limited.view(*limited.shape, *[1] * (grids.dim() - 2))
    return torch.where(stays, grids, 1 - grids)


def _variation(grids: Tensor) -> Tensor:
    """The mean of |difference| over all pairs of neighboring cells, (K, N); 0 for a grid of one cell."""
    steps = [grids.diff(dim=axis).abs().flatten(2) for axis in range(2, grids.dim())]
    pairs = torch.cat(steps, 2)
    return pairs.sum(2) / max(1, pairs.shape[2])


def _rectified(total: Tensor) -> Tensor:
    """(N, *S) less its mean, without what is negative, divided by its maximum; 0 where it is constant."""
    axes = tuple(range(1, total.dim()))
    above = (total - total.mean(axes, keepdim=True)).clamp_min(0)
    largest = above.amax(axes, keepdim=True)
    return above / torch.where(largest > 0, largest, 1)


def _followed(
    sums: Iterable[tuple[int, Tensor]], seen: Seen, points: int, steps: int
) -> tuple[Tensor, Track | None]:
    """The last of the sums, and how good they were at `points` of them, the last included (None for 0)."""
    course: list[tuple[int, Tensor, Tensor]] = []
    for done, total in sums:
        if done * points >= steps * (len(course) + 1):
            course.append((done, *_areas(total, seen)))
    if not points:
        return total, None
    counts, insertion, deletion = zip(*course, strict=True)
    return total, Track(torch.tensor(counts), torch.stack(insertion), torch.stack(deletion))


def _areas(total: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """Area under the insertion and the deletion curve, (N,) each, from and to the baseline.

    The sum of the masks ranks as the map does, and ranks the pixels at which the map is 0 as well.
    """
    # The check of insertion and deletion does this in full.
    ranks = total.flatten(1).argsort(1, descending=True).argsort(1).view(total.shape)
    pixels = total[0].numel()
    shown = torch.stack([ranks < pixels * level / TRACK_LEVELS for level in range(TRACK_LEVELS + 1)])
    insertion, deletion = (
        torch.trapezoid(seen(masks), dx=1 / TRACK_LEVELS, dim=0) for masks in (shown, ~shown)
    )
    return insertion, deletion
