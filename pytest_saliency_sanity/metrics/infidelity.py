"""Infidelity: whether a map predicts what the score loses when the image is changed (Yeh et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.metrics.request import Figure, Request, maps_of, one_input
from pytest_saliency_sanity.outputs import class_scores
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.restoring.streams import stream

SAMPLES = 100


def infidelity(asked: Request) -> Figure:
    """The mean of (IᵀΦ − (f(x) − f(x − I)))² over random boxes from which an image's mean over channels is removed.

    Maps are summed over channels, and IᵀΦ needs no more of them, because the change is the same in all channels.
    With one channel it is the paper's removal of squares.
    """
    images, maps = one_input(asked), maps_of(asked)[0].double().cpu()
    inside = boxes(tuple(images.shape[2:]), asked.subject.seed)
    lost = torch.stack([_lost(asked, images, box) for box in inside])
    gray = images.double().mean(1).cpu()
    predicted = torch.einsum("kp,np->kn", inside.flatten(1).double(), (gray * maps).flatten(1))
    as_relevance = torch.einsum("kp,np->kn", inside.flatten(1).double(), maps.flatten(1))
    details: dict[str, Tensor] = {
        "with_best_scale": mean_square(predicted * best_scale(predicted, lost), lost).mean(),
        "as_relevance_with_best_scale": mean_square(
            as_relevance * best_scale(as_relevance, lost), lost
        ).mean(),
        "of_zeros": (lost**2).mean(),
    }
    numbers = {name: float(one) for name, one in details.items()}
    return Figure(mean_square(predicted, lost).numpy(), {"samples": SAMPLES, **numbers})


def mean_square(predicted: Tensor, lost: Tensor) -> Tensor:
    """(n,) the mean over the samples of (predicted − lost)², both (k, n)."""
    return ((predicted - lost) ** 2).mean(0)


def best_scale(predicted: Tensor, lost: Tensor) -> Tensor:
    """(n,) the factor of a map that makes its infidelity least; 0 for a map that predicts no change at all."""
    square = (predicted**2).mean(0)
    return torch.where(square > 0, (predicted * lost).mean(0) / square.clamp_min(1e-300), 0)


def boxes(space: tuple[int, ...], seed: int, count: int = SAMPLES) -> Tensor:
    """(count, *S) bool: a box each, its side drawn from 1 to a third of the shortest, its place among all that fit."""
    drawn = stream(seed, "boxes")
    longest = max(1, math.ceil(min(space) / 3))
    found = torch.zeros(count, *space, dtype=torch.bool)
    for box in found:
        side = int(torch.randint(1, longest + 1, (), generator=drawn))
        corner = [int(torch.randint(0, length - side + 1, (), generator=drawn)) for length in space]
        box[tuple(slice(begin, begin + side) for begin in corner)] = True
    return found


def _lost(asked: Request, images: Tensor, box: Tensor) -> Tensor:
    """(n,) f(x) − f(x − I) of the target's logit."""
    asked.meter.check_deadline()
    removed = images.mean(1, keepdim=True) * box.to(images)
    return _scores(asked, images) - _scores(asked, images - removed)


def _scores(asked: Request, images: Tensor) -> Tensor:
    kept = asked.subject
    with entered(torch.no_grad()), replayed(kept.seed):
        return class_scores(kept.model, images, kept.targets[: len(images)], kept.forward).double().cpu()
