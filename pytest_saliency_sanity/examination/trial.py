"""An explainer, tried on two images: what a call takes, what each image, and how it will have to be called."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.batches import distance, rounding
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.first_maps import FIRST, first_batch
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.memory import Memory, memory_of
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.perturbations import preserved

IMAGES = 2
_REPEATED = 5  # times that what is quick is timed
_QUICK = 0.2  # seconds of a call that is timed more than once


@dataclass(frozen=True)
class Calls:
    """How often an explainer is called, and for how many images in all."""

    calls: int = 0
    images: int = 0

    def __add__(self, other: Calls) -> Calls:
        return Calls(self.calls + other.calls, self.images + other.images)

    def __mul__(self, times: int) -> Calls:
        return Calls(self.calls * times, self.images * times)


def of_sizes(*sizes: int) -> Calls:
    """A call for each size."""
    return Calls(len(sizes), sum(sizes))


def in_chunks(images: int) -> Calls:
    """So many images, as checks explain them; a single one that is left over joins those before it."""
    return Calls(max(images // FIRST + (images % FIRST > 1), min(images, 1)), images)


@dataclass(frozen=True)
class Trial:
    """What two images have shown.

    Attributes:
        call: seconds that a call takes, whatever it explains.
        each: seconds that each of its images adds.
        random: whether another random stream gives other maps.
        alone: whether a map is another one in a batch, without any randomness.
        maps: of the two images.
        memory: bytes held at most when a call explains as many images as the first one of a check; None: not known.
    """

    call: float
    each: float
    random: bool
    alone: bool
    maps: Maps
    memory: int | None

    def seconds(self, calls: Calls) -> float:
        """What these calls take."""
        number = calls.images if self.alone else calls.calls
        return number * self.call + calls.images * self.each


def tried(audited: Subject) -> Trial:
    """The explainer on two images, and on the first of them alone.

    Raises:
        Stopped: what the explainer does that ends any check.
    """
    meter, device = Meter(), audited.inputs[0].device
    both, first = torch.arange(IMAGES), torch.arange(1)
    own, other = (stream_of(audited.seed, name, 0) for name in ("images", "free"))
    with preserved(audited.model, audited.snapshot):
        before = memory_of(device)
        maps = explain(audited, meter, both, own, watch_inputs=True)
        after = memory_of(device)
        again = explain(audited, meter, both, other)
        alone = explain(audited, meter, first, own)
        two, one = (seconds_of(partial(explain, audited, meter, index, own)) for index in (both, first))
    line = rounding(audited)
    random = bool((distance(maps, again) > line).any())
    moved = bool((distance(tuple(part[:1] for part in maps), alone) > line).any())
    call, each = _parts(one, two)
    batch = first_batch(audited.images)
    return Trial(call, each, random, moved and not random, maps, _held(before, after, batch))


def seconds_of(work: Callable[[], Any]) -> float:
    """What it takes, the median of several times where it is quick."""
    taken: list[float] = []
    while len(taken) < _REPEATED:
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
        if sum(taken) > _QUICK:
            break
    return statistics.median(taken)


def few_of(audited: Subject) -> Subject:
    """The same subject, with two images."""
    return replace(
        audited,
        inputs=tuple(part[:IMAGES] for part in audited.inputs),
        targets=audited.targets[:IMAGES],
        scores=audited.scores[:IMAGES],
        embedded=None if audited.embedded is None else audited.embedded[:IMAGES],
    )


def _parts(one: float, two: float) -> tuple[float, float]:
    """(seconds of a call, seconds of each image) of calls with one and two images."""
    each = min(max(two - one, 0.0), two / 2)
    return two - 2 * each, each


def _held(before: Memory | None, after: Memory | None, batch: int) -> int | None:
    """The highest that was held so far, or what a call of a batch will take, by that of two images."""
    if before is None or after is None:
        return None
    taken = max(after.peak - before.held, 0) if after.peak > before.peak else 0
    return max(after.peak, before.held + taken * batch // IMAGES)
