"""Whether an image's map depends on that image alone: not on the batch's other images, its size, or a place in it.

Only noise may change with the batch. An explainer that seeds its own noise (`torch.manual_seed(0)`) draws other numbers
for another place in the batch, and for another batch size. Nothing else may depend on these, or on the other images and
their targets. Such an explainer is called with one image at a time afterwards, because that is how users call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, explain_for
from pytest_saliency_sanity.examination.image_dependence import SAME
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Breach, Meter, Stopped
from pytest_saliency_sanity.statistics import is_constant, matched_similarity, rank

SCALED = 0.9999  # rank correlation of maps of which one is the other, scaled
LESS = 0.25  # by how much less maps may agree than noise makes them, before something else is the reason
UNLIKE = 0.5  # rank correlation below which a map is another one, where most are not moved at all
_ODD = 5  # images of the odd batch that the maps are compared with


@dataclass(frozen=True)
class Batch:
    """The first batch, explained.

    Attributes:
        audited: the subject.
        meter: of the calls.
        stream: the random stream of each call.
        maps: of the images 0 to n - 1.
        free: (n,) rank correlation of two calls on different streams; None for an explainer that gives the same maps.
    """

    audited: Subject
    meter: Meter
    stream: int
    maps: Maps
    free: Tensor | None = None

    @property
    def size(self) -> int:
        """How many images it holds."""
        return len(self.maps[0])

    def again(self, rows: Sequence[int], targets: Tensor) -> Maps:
        """The maps of another batch, of these images, for these targets."""
        return explain_for(self.audited, self.meter, torch.tensor(rows), targets, self.stream)

    def own(self, rows: Sequence[int]) -> Tensor:
        """The targets of these images."""
        return self.audited.targets[torch.tensor(rows, device=self.audited.targets.device)]


def check_deterministic(batch: Batch) -> bool:
    """Whether the explainer, which gives the same maps on any stream, has to be called with one image at a time.

    Raises:
        Breach: when a map depends on the rest of its batch by more than rounding and own noise.
    """
    moved = _moved_in_other_batches(batch)
    if moved is None:
        return False
    how, before, after = moved
    if (agreement(before, after) >= SCALED).all():
        raise _depends(batch, how, before, after)
    _check_company(batch, _HALVES, how)
    _check_sizes(batch)
    return True


def check_stochastic(batch: Batch) -> bool:
    """Whether the same stream gives the same maps, in other company too.

    Raises:
        Breach: when maps agree less in another batch than two runs do.
    """
    exact = _check_company(batch, _HALVES[:2])
    rows = _odd(batch)
    after = batch.again(rows, batch.own(rows))
    noise = batch.free[rows].mean() if batch.free is not None else 1.0
    if batch.size > len(rows) and agreement(_picked(batch.maps, rows), after).mean() < noise - LESS:
        raise _depends(batch, "in a smaller batch", _picked(batch.maps, rows), after)
    return exact


# Where nothing but the image may matter.


def _moved_in_other_batches(batch: Batch) -> tuple[str, Maps, Maps] | None:
    """The first other batch in which a map is another one: how, its maps before and now."""
    trials = (
        ("alone", [0], [0]),
        ("in another batch and order", _odd(batch), list(range(_ODD))),
        ("with other targets in the batch", _few(batch), [1]),
    )
    for how, rows, kept in trials:
        kept = kept[: len(rows)]
        before = _picked(batch.maps, [rows[place] for place in kept])
        after = _picked(_with_others(batch, rows, kept), kept)
        if float(distance(before, after).max()) > rounding(batch.audited):
            return how, before, after
    return None


def _odd(batch: Batch) -> list[int]:
    """The images of a smaller batch, each at another place; of few images all."""
    n = batch.size
    return [n - 1, n - 3, 1, 0, 2] if n > _ODD else list(range(n))[::-1]


def _few(batch: Batch) -> list[int]:
    """Two or three images, with the first one in the middle."""
    return [1, 0, 2][: batch.size]


def _with_others(batch: Batch, rows: Sequence[int], kept: Sequence[int]) -> Maps:
    """The maps of a batch in which only the places `kept` have their image's own target."""
    own = batch.own(rows)
    given = _other_targets(batch, own, kept)
    try:
        return batch.again(rows, given)
    except Stopped as stopped:
        # An explainer of two classes knows no third: then the user's own targets have to do.
        if not stopped.raised or torch.equal(given, own):
            raise
        return batch.again(rows, own)


def _other_targets(batch: Batch, own: Tensor, kept: Sequence[int]) -> Tensor:
    """(n,) or (n, K) targets: at the places `kept` the own, elsewhere others than the first batch has there.

    A batch of the same size is compared with the first one place by place; in a smaller one, the first image that is
    kept is to be beside none of its own class.
    """
    before = batch.own(range(batch.size)) if len(own) == batch.size else own[kept[0]].expand_as(own)
    given = _next_class(before, batch.own(range(batch.size)), batch.audited.classes)
    return given.index_copy(0, torch.tensor(kept, device=own.device), own[list(kept)])


def _next_class(targets: Tensor, used: Tensor, classes: int) -> Tensor:
    """Other targets: one class that is not used at all, where there is one."""
    if targets.ndim == 2:
        return targets.roll(1, 1)
    unused = set(range(classes)) - set(used.tolist())
    return torch.full_like(targets, min(unused)) if unused else (targets + 1) % classes


# Where noise may matter: the same image at the same place of a batch of the same size has the same noise.

_HALVES = (
    (0, 0),
    (0, 1),
    (1, 0),
    (1, 1),
    (2, 0),
    (2, 1),
)  # (bit, value): any two places differ in one of three bits


def _check_company(
    batch: Batch, halves: Sequence[tuple[int, int]], how: str = "with other images in the batch"
) -> bool:
    """Half of the images stay in their places, the others and their targets change; whether maps stay exactly.

    Raises:
        Breach: when a map that should stay does not: by rounding, or by what noise explains.
    """
    exact = True
    for bit, value in halves:
        kept = [place for place in range(batch.size) if place >> bit & 1 == value]
        if not 0 < len(kept) < batch.size:
            continue
        rows = [place if place in kept else (place + 1) % batch.size for place in range(batch.size)]
        before, after = _picked(batch.maps, kept), _picked(_with_others(batch, rows, kept), kept)
        if float(distance(before, after).max()) <= rounding(batch.audited):
            continue
        exact = False
        if batch.free is None or agreement(before, after).mean() < batch.free[kept].mean() - LESS:
            raise _depends(batch, how, before, after)
    return exact


def _check_sizes(batch: Batch) -> None:
    """Of an explainer with noise of its own: another place changes the noise, and another size no more than that."""
    every = list(range(batch.size))
    turned = _picked(batch.again(every[::-1], batch.own(every[::-1])), every[::-1])
    by_place = agreement(batch.maps, turned)
    still = distance(batch.maps, turned) <= rounding(batch.audited)
    if 2 * still.sum() >= batch.size and by_place.min() < UNLIKE:
        raise _depends(batch, "at another position", batch.maps, turned)
    index = torch.tensor(every)
    alone = explain(replace(batch.audited, alone=True), batch.meter, index, batch.stream)
    empty = constant_images(batch.maps) & ~constant_images(alone)
    if empty.sum() > (1 if constant_images(alone).any() else 0):
        sentence = (
            f"it explains only some images of a batch: {int(empty.sum())} of {batch.size} maps are constant in "
            f"the batch, but not when the images are explained alone"
        )
        raise Breach("contract.batch", sentence)
    if agreement(batch.maps, alone).mean() < by_place.mean() - LESS:
        raise _depends(batch, "alone", batch.maps, alone)


def check_places(batch: Batch, shared: float | None) -> None:
    """Another image at the same place has to get another map.

    Args:
        shared: how alike the maps are that two images get at one place, see `shared_by_images`.

    Raises:
        Breach: when it gets the same.
    """
    if shared is not None and shared >= SAME:
        sentence = (
            f"its maps depend on the position in the batch, not on the image: another image at the same position "
            f"gets a map with a correlation of {shared:.2f}, and the same image at another position gets another map"
        )
        raise Breach("contract.batch", sentence)


def _depends(batch: Batch, how: str, before: Maps, after: Maps) -> Breach:
    apart = float(distance(before, after).max())
    sentence = (
        f"its maps depend on the rest of the batch: {how}, an image's map differs by {apart:.0%} (relative "
        f"distance) from its map in a batch of {batch.size}"
    )
    return Breach("contract.batch", sentence)


# Maps, compared.


def constant_images(maps: Maps) -> Tensor:
    """(n,) whether all maps of an image are constant."""
    return torch.stack([is_constant(part) for part in maps]).all(0)


def distance(left: Maps, right: Maps) -> Tensor:
    """(n,) Euclidean distance of the maps relative to the left one's length, the largest over the inputs."""
    return torch.stack(
        [_relative(a.flatten(1).double(), b.flatten(1).double()) for a, b in zip(left, right, strict=True)]
    ).amax(0)


def agreement(left: Maps, right: Maps) -> Tensor:
    """(n,) rank correlation of the maps, the mean over the inputs, on the CPU."""
    if left is right:
        return torch.ones(len(left[0]))
    pairs = zip(left, right, strict=True)
    return torch.stack([matched_similarity(rank(a), rank(b)) for a, b in pairs]).mean(0)


def rounding(audited: Subject) -> float:
    """The relative distance that the arithmetic of another batch size explains: .01 in single precision."""
    return float(min(30 * torch.finfo(audited.explained[0].dtype).eps ** 0.5, 0.3))


def _relative(left: Tensor, right: Tensor) -> Tensor:
    gap, length = (left - right).norm(dim=1), left.norm(dim=1)
    return torch.where(gap == 0, 0.0, gap / length.clamp_min(torch.finfo(length.dtype).tiny))


def _picked(maps: Maps, rows: Sequence[int]) -> Maps:
    return tuple(part[list(rows)] for part in maps)
