"""How the model reads images: scores, classes, and the probability of the class that is to be kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, as_targets, check_targets, logits
from pytest_saliency_sanity.perturbations.inpainting import named_failures
from pytest_saliency_sanity.predictions import predicted_classes, returns_probabilities
from pytest_saliency_sanity.predictions import probabilities as read_as_probabilities


def scores(model: Any, images: Tensor, forward: Forward | None, per_call: int) -> Tensor:
    """(…, N, classes) logits of images (…, N, C, H, W), in at least single precision, without a graph.

    Raises what `logits` raises, ValueError for a model that cannot read the images, and for logits that are not finite.
    """
    flat = images.flatten(0, -4)
    with entered(torch.no_grad()):
        calls = torch.split(flat, per_call)
        found = torch.cat([_read(model, some, forward) for some in calls]).to(images.device)
    found = found.to(torch.promote_types(found.dtype, torch.float32))
    found = torch.unflatten(found, 0, images.shape[:-3])
    _check_finite(found)
    return found


def are_probabilities(model: Any, images: Tensor, forward: Forward | None, before: Tensor) -> bool:
    """Whether the model returns probabilities, by its outputs (N, classes) of the images as they are."""
    return returns_probabilities(model, images[:2], forward, before)


def kept_classes(targets: Any, before: Tensor, ready: bool = False) -> Tensor:
    """(N,) int64 the classes to be kept, given the outputs (N, classes) of the images as they are.

    Raises ValueError for weights, and what `check_targets` raises: a single logit has the target 0 alone.
    """
    if targets is None:
        return classes(before, ready)
    targets = as_targets(targets, len(before))
    if targets.dim() != 1:
        raise ValueError(
            f"A variation keeps one class: targets must be ({len(before)},) class indices, got weights of shape "
            f"{tuple(targets.shape)}."
        )
    targets = check_targets(targets, *before.shape).to(before.device)
    return classes(before, ready) if before.shape[1] == 1 else targets


def classes(scores: Tensor, ready: bool = False) -> Tensor:
    """(…,) the largest class of outputs (…, classes); of a single one 1 where it is above 0, or .5, else 0.

    Args:
        ready: whether the outputs are probabilities already.
    """
    flat = scores.flatten(0, -2)
    return torch.unflatten(predicted_classes(flat, 0.5 if ready else 0.0), 0, scores.shape[:-1])


def probabilities(scores: Tensor, kept: Tensor, ready: bool = False) -> Tensor:
    """(…, N) the probability of the kept classes (N,) in outputs (…, N, classes); of a single one 1 has it."""
    if scores.shape[-1] == 1:
        # Softmax (0, l) is (1 − sigmoid, sigmoid) of l.
        every = torch.cat([1 - scores, scores] if ready else [torch.zeros_like(scores), scores], -1)
        every = every if ready else every.softmax(-1)
    else:
        every = read_as_probabilities(scores, ready)
    return every.gather(-1, kept.expand(every.shape[:-1]).unsqueeze(-1)).squeeze(-1)


def _read(model: Any, images: Tensor, forward: Forward | None) -> Tensor:
    with named_failures("model", model, "images", images):
        return logits(model, images.clone(), forward)  # A copy: a model may change its input in place.


def _check_finite(scores: Tensor) -> None:
    broken = ~scores.isfinite()
    if broken.any():
        *start, image, _ = broken.nonzero()[0].tolist()
        whose = f"variant {start[0]} of image {image}" if start else f"image {image} as it is"
        raise ValueError(
            f"The model's logits are not finite: {scores[broken][0].item()} for {whose}, so no class can be read."
        )
