"""The user's network behind a change of its inputs: what it then computes is known, whatever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters import Adapted, adapted
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.layout import axis_of, space_of
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, read_logits, using_forward
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.verdict import Finding

OTHER = "gate.function"
_EQUAL = 1e-3  # of the largest logit
Change = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class Changed(nn.Module):
    """A network whose inputs are changed before it reads them; its parameters are that network's own."""

    def __init__(self, model: nn.Module, change: Change) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.training = model.training

    def forward(self, *inputs: Tensor) -> Any:
        """What the network returns for the changed inputs."""
        return self.model(*self.change(inputs))


def unbound(explainer: Any, check: str) -> Callable[..., Any]:
    """The explainer as a function, if it can explain other networks than the user's.

    Raises:
        UnusableExplainer: where it is bound to one model.
    """
    found = adapted(explainer)
    if isinstance(found, Adapted):
        found.check_unbound(f"{check}: other networks are explained as well")
    return found


def behind(kept: Subject, change: Change) -> Subject:
    """The subject whose network, and forward function where there is one, reads changed inputs."""
    return replace(
        kept,
        model=Changed(kept.model, change),
        forward=None if kept.forward is None else _forward(kept.forward, kept.packed),
    )


def _forward(forward: Forward, packed: bool) -> Forward:
    def through(changed: Any, inputs: Any) -> Tensor:
        parts = changed.change(tuple(inputs) if packed else (inputs,))
        return forward(changed.model, parts if packed else parts[0])

    return through


def masks(kept: Subject, share: float) -> tuple[Tensor, ...]:
    """For each input (1, *S) bool: a random part of its places, at least one; in a tuple one input may have no room."""
    generator = np.random.default_rng([kept.seed, 15])
    return tuple(_mask(part, kept.channel_axis, share, generator) for part in kept.inputs)


def on_channels(mask: Tensor, part: Tensor, channel_axis: int | None) -> Tensor:
    """A mask (1, *S) as it broadcasts to the input itself."""
    return mask if part.ndim < 3 else mask.unsqueeze(axis_of(part, channel_axis))


def without(kept: Subject, ignored: tuple[Tensor, ...]) -> Subject:
    """The subject whose network does not read the places of the masks: they are 0 before any weight."""
    pairs = zip(kept.inputs, ignored, strict=True)
    factors = tuple((~on_channels(mask, part, kept.channel_axis)).to(part) for part, mask in pairs)
    return behind(kept, partial(_times, factors))


def _times(factors: tuple[Tensor, ...], parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part * factor for part, factor in zip(parts, factors, strict=True))


def _mask(part: Tensor, channel_axis: int | None, share: float, generator: np.random.Generator) -> Tensor:
    space = space_of(part, channel_axis) if part.ndim > 2 else tuple(part.shape[1:])
    places = int(np.prod(space))
    count = min(max(1, round(share * places)), places - 1)
    flat = np.zeros(places, bool)
    flat[generator.permutation(places)[:count]] = True
    return torch.from_numpy(flat.reshape(1, *space)).to(part.device)


def shifted(kept: Subject, shifts: tuple[Tensor, ...]) -> tuple[Subject, Subject]:
    """The subject, and one of the same function whose inputs are shifted: its network takes the shift back.

    The inputs of both are rounded so that the shift can be taken back without loss.
    """
    moved = tuple(part + shift for part, shift in zip(kept.inputs, shifts, strict=True))
    taken = partial(_minus, shifts)
    return replace(kept, inputs=taken(moved)), replace(behind(kept, taken), inputs=moved)


def _minus(shifts: tuple[Tensor, ...], parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part - shift for part, shift in zip(parts, shifts, strict=True))


def logits_of(subject: Subject, index: Tensor) -> Tensor:
    """(n, K) logits of the images at `index`, in double precision on the CPU.

    Raises:
        ValueError, TypeError: when the model raises, or returns no logits.
    """
    with entered(torch.no_grad()), replayed(subject.seed), using_forward(subject.forward):
        return read_logits(subject.model, subject.chosen(index), subject.forward).double().cpu()


def other_function(subject: Subject, other: Subject, index: Tensor, what: str) -> tuple[Finding, ...]:
    """Inconclusive where two networks that should compute the same do not.

    Args:
        subject: with the one network and its images.
        other: with the other one.
        index: the images.
        what: the other one is, e.g. "the network of rewritten=".
    """
    try:
        left, right = logits_of(subject, index), logits_of(other, index)
    except (ValueError, TypeError) as error:
        return (Finding(OTHER, "inconclusive", f"{what} cannot be used: {error}"),)
    if left.shape == right.shape and float((left - right).abs().max()) <= _EQUAL * float(left.abs().max()):
        return ()
    apart = "of another shape" if left.shape != right.shape else f"{(left - right).abs().max():.2g} apart"
    sentence = f"{what} computes other logits ({apart}), so the maps need not be the same"
    return (Finding(OTHER, "inconclusive", sentence),)
