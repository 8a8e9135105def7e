"""What re-initialization did to a model: how many of its parameters changed, and how its logits did."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pytest_saliency_sanity.perturbations.weights.addresses import tensor_at
from pytest_saliency_sanity.perturbations.weights.randomization import Step
from pytest_saliency_sanity.predictions import decision, predicted_classes

STILL = 1e-6  # a logit that varies less over the images, relative to the largest one, is dead


@dataclass(frozen=True)
class Coverage:
    """What re-initialization did to the model: parameters changed out of those in use, and to the logits.

    `tensors_*` count parameters as tensors, `parameters_*` their elements; a parameter counts once, however
    many layers share it. `logit_correlation` is Pearson's, over images and classes, 0 where undefined;
    `prediction_agreement` the fraction of images whose class stays; `nan` whether any logit is not finite;
    `dead` the fraction of logits that no longer depend on the image (0 for a single image).
    """

    tensors_changed: int
    tensors_total: int
    parameters_changed: int
    parameters_total: int
    logit_correlation: float
    prediction_agreement: float
    nan: bool
    dead: float


def coverage(step: Step, trained_logits: Tensor, logits: Tensor) -> Coverage:
    """How far the model at `step`, while it is there, is from the trained one, whose logits (N, K) are given.

    Both logits are of the same images. Raises ValueError if their shapes differ.
    """
    if trained_logits.shape != logits.shape or logits.dim() != 2:
        shapes = f"{tuple(trained_logits.shape)} and {tuple(logits.shape)}"
        raise ValueError(f"Both logits must have the same shape (N, K), got {shapes}.")
    before, after = trained_logits.detach().double(), logits.detach().double()
    stay = predicted_classes(before) == predicted_classes(after, decision(before))
    return Coverage(
        *_changed_parameters(step),
        logit_correlation=_correlation(before, after),
        prediction_agreement=stay.double().mean().item(),
        nan=not bool(after.isfinite().all()),
        dead=_dead(after),
    )


def _changed_parameters(step: Step) -> tuple[int, int, int, int]:
    tensors = [tensor_at(step.network, name) for block in step.used for name in block.parameters]
    changed = [int((tensor.data != step.trained.value(tensor)).count_nonzero()) for tensor in tensors]
    sizes = [tensor.numel() for tensor in tensors]
    return sum(count > 0 for count in changed), len(tensors), sum(changed), sum(sizes)


def _correlation(before: Tensor, after: Tensor) -> float:
    a, b = (logits.flatten() - logits.mean() for logits in (before, after))
    correlation = (a @ b / (a.norm() * b.norm())).item()
    return correlation if abs(correlation) <= 2 else 0.0  # not NaN: constant logits have nothing in common


def _dead(logits: Tensor) -> float:
    if len(logits) < 2:
        return 0.0
    ranges = logits.amax(0) - logits.amin(0)
    return (ranges <= STILL * logits.abs().max()).double().mean().item()
