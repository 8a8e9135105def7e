"""Where two maps of the same images part, and what the one seems to be of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

_ENOUGH = 0.05  # relative distance up to which a map is said to be the other one, changed
_MUCH = 0.1  # and by how much nearer the change has to bring it
_SHIFTS = 3  # pixels along each axis


def parting(mine: Tensor, theirs: Tensor, images: Tensor | None, allowed: float) -> str:
    """A sentence: how the maps (n, *S) come from each other, or else where they lie apart most.

    Args:
        images: (n, C, *S), channels first, of the same size; None where the maps have another.
        allowed: the relative distance that is no parting.
    """
    mine, theirs = mine.double(), theirs.double()
    found = [(_apart(mine, made), words) for words, made in _changed(theirs, images, mine)]
    best = min(apart for apart, _ in found)
    if best <= min(max(_ENOUGH, allowed), _MUCH * _apart(mine, theirs)):
        simplest = next(words for apart, words in found if apart <= 1.1 * best + 1e-4)
        return f"its maps are those of the reference, {simplest}"
    return _place(mine, theirs)


def _changed(theirs: Tensor, images: Tensor | None, mine: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The reference's maps in the ways in which ports go wrong, and what each is called."""
    yield from _scaled(mine, theirs, "")
    for words, change in _CHANGES.items():
        yield from _scaled(mine, change(theirs), f"{words}, ")
    if len(theirs) > 1:
        for step in (1, -1):
            yield f"of the image {'before' if step == 1 else 'after'} it in the batch", theirs.roll(step, 0)
    if images is not None and images.ndim == theirs.ndim + 1:
        yield "times the input", theirs * images.cpu().double().sum(1)
    if theirs.ndim > 2 and theirs.shape[-1] == theirs.shape[-2]:
        yield "transposed", theirs.mT
    yield from _shifted(theirs)


_CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "without their signs": torch.abs,
    "without their negative part": torch.relu,
    "squared": torch.square,
}


def _scaled(mine: Tensor, theirs: Tensor, before: str) -> Iterator[tuple[str, Tensor]]:
    """With the one factor that fits best, and with one for each image."""
    a, b = mine.flatten(1), theirs.flatten(1)
    factor = (a * b).sum() / b.square().sum().clamp_min(1e-300)
    yield f"{before}times {float(factor):.3g}", theirs * factor
    each = (a * b).sum(1) / b.square().sum(1).clamp_min(1e-300)
    yield f"{before}each times a factor of its own", theirs * each.view(-1, *[1] * (theirs.ndim - 1))


def _shifted(theirs: Tensor) -> Iterator[tuple[str, Tensor]]:
    for axis in range(1, theirs.ndim):
        if theirs.ndim > 2 or theirs.shape[axis] > 2 * _SHIFTS:
            yield f"flipped along axis {axis}", theirs.flip(axis)
            for step in (*range(-_SHIFTS, 0), *range(1, _SHIFTS + 1)):
                yield f"shifted by {step} along axis {axis}", theirs.roll(step, axis)


def _apart(mine: Tensor, theirs: Tensor) -> float:
    """The relative distance of all maps together."""
    return float((mine - theirs).norm() / mine.norm().clamp_min(1e-300))


def _place(mine: Tensor, theirs: Tensor) -> str:
    gap = (mine - theirs).abs()
    image = int((gap.flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1).clamp_min(1e-300)).argmax())
    flat = int(gap[image].argmax())
    place = tuple(int(one) for one in torch.unravel_index(torch.tensor(flat), gap[image].shape))
    where = place[0] if len(place) == 1 else place
    total = gap[image].square().sum().clamp_min(1e-300)
    most = gap[image].flatten().square().sort(descending=True).values.cumsum(0)
    half = int((most < total / 2).sum()) + 1
    return (
        f"they lie apart most for image {image}, at {where}: {float(mine[image].flatten()[flat]):.4g} instead of "
        f"{float(theirs[image].flatten()[flat]):.4g}; half of the gap there is in {half} of {gap[image].numel()} pixels"
    )
