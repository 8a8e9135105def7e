"""Explainers that are gradients of the target's score, and averages of such gradients.

Each is a plain function `(model, inputs, targets, *, options) -> map`. `inputs` is a tensor (N, C, *S) with
any number of spatial dimensions, or a tuple of such tensors; the map has the shape, dtype and device of the
inputs (a tuple of maps for a tuple). The model runs in the mode it is in, and is left as it was: gradients
are returned, never accumulated on its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.explainers.inputs import (
    Parts,
    as_given,
    baseline_like,
    in_calls,
    joined,
    points_per_call,
    repeated,
    tensors,
    whole_number,
    wide,
)
from pytest_saliency_sanity.explainers.interception import checkpointed
from pytest_saliency_sanity.explainers.tokens import of_tokens
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, Inputs, as_targets, batch_size, class_scores
from pytest_saliency_sanity.text import shown


@of_tokens
def gradient(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The gradient of the target's logit with respect to the input, with its sign.

    Simonyan, Vedaldi and Zisserman 2014, section 3 (there its absolute value). Raises NotApplicable if no
    gradient reaches the inputs.
    """
    return as_given(inputs, input_gradients(model, inputs, targets))


@of_tokens
def input_x_gradient(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """Input times gradient. Shrikumar et al. 2016, section 2."""
    gradients = input_gradients(model, inputs, targets)
    return as_given(inputs, [part.detach() * g for part, g in zip(tensors(inputs), gradients, strict=True)])


@of_tokens
def integrated_gradients(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    steps: int = 32,
    baseline: Any = None,
    batch_size: int | None = None,
) -> Inputs:
    """(x - baseline) times the mean gradient on the straight line from the baseline to x.

    Sundararajan, Taly and Yan 2017, equation 1. The integral is taken by Gauss-Legendre quadrature with
    `steps` nodes: it never evaluates the baseline itself, where a ReLU network without bias has no
    gradient, and is exact on such a network with any number of steps. `baseline` is None (zero), a number,
    a tensor that broadcasts to the inputs, or a tuple of these for a tuple of inputs. `batch_size` bounds
    the images per call of the model.
    """
    parts = _detached(inputs)
    baselines = _baselines(inputs, baseline)
    differences = [part - base for part, base in zip(parts, baselines, strict=True)]
    nodes, weights = _unit_gauss_legendre(whole_number("steps", steps))
    path = (
        tuple(base + node * step for base, step in zip(baselines, differences, strict=True)) for node in nodes
    )
    totals = [torch.zeros_like(wide(part)) for part in parts]
    for weight, gradients in zip(
        weights, _gradients_at(model, inputs, targets, path, batch_size), strict=True
    ):
        totals = [total + weight * g for total, g in zip(totals, gradients, strict=True)]
    maps = [(wide(step) * total).to(step.dtype) for step, total in zip(differences, totals, strict=True)]
    return as_given(inputs, maps)


@of_tokens
def smoothgrad(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    samples: int = 16,
    noise: float = 0.15,
    batch_size: int | None = None,
) -> Inputs:
    """The mean gradient at `samples` noisy copies of the input.

    Smilkov et al. 2017, section 2: Gaussian noise whose standard deviation is the fraction `noise` of each
    image's max - min. It is drawn from torch's global generator on the inputs' device, sample by sample, so
    that the same seed gives the same map with any `batch_size` (the bound on the images per call of the
    model).
    """
    points = _noisy(_detached(inputs), whole_number("samples", samples), noise)
    totals = [torch.zeros_like(wide(part)) for part in tensors(inputs)]
    for gradients in _gradients_at(model, inputs, targets, points, batch_size):
        totals = [total + g for total, g in zip(totals, gradients, strict=True)]
    return as_given(
        inputs, [(t / samples).to(part.dtype) for t, part in zip(totals, tensors(inputs), strict=True)]
    )


@of_tokens
def vargrad(
    model: Any,
    inputs: Inputs,
    targets: Any,
    *,
    samples: int = 16,
    noise: float = 0.15,
    batch_size: int | None = None,
) -> Inputs:
    """The variance of the gradient over noisy copies of the input: never negative.

    Adebayo et al. 2018, "Local explanation methods for deep neural networks lack sensitivity to parameter
    values", section 3; the noise and the options are those of `smoothgrad`. The variance is that of the
    samples (divided by their number). Raises ValueError for fewer than two samples.
    """
    points = _noisy(_detached(inputs), whole_number("samples", samples, least=2), noise)
    every = _gradients_at(model, inputs, targets, points, batch_size)
    # Deviations from the first sample, not from zero: the variance of a nearly linear model is tiny beside
    # the squared mean.
    first = [wide(g) for g in next(every)]
    sums = [torch.zeros_like(f) for f in first]
    squares = [torch.zeros_like(f) for f in first]
    for gradients in every:
        deviations = [g - f for g, f in zip(gradients, first, strict=True)]
        sums = [s + d for s, d in zip(sums, deviations, strict=True)]
        squares = [q + d * d for q, d in zip(squares, deviations, strict=True)]
    variances = [(q / samples - (s / samples) ** 2).clamp_min(0) for q, s in zip(squares, sums, strict=True)]
    return as_given(inputs, [v.to(part.dtype) for v, part in zip(variances, tensors(inputs), strict=True)])


def input_gradients(model: Any, inputs: Inputs, targets: Any) -> Parts:
    """d score_i / d x_i for every tensor of `inputs`, whatever gradient mode the caller is in."""
    with entered(torch.inference_mode(False)), entered(torch.enable_grad()):
        leaves = gradient_leaves(inputs)
        scores = scores_of(model, inputs, leaves, targets)
        gradients = gradients_at(model, scores, leaves)
    if all(g is None for g in gradients):
        raise NotApplicable(NO_GRADIENT)
    return tuple(
        torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, gradients, strict=True)
    )


def gradients_at(model: Any, scores: Tensor, tensors: Parts, keep: bool = False) -> tuple[Tensor | None, ...]:
    """The gradient of the scores' sum at each of the tensors, None where it depends on them not.

    Args:
        model: named where it uses gradient checkpointing in a way that refuses: NotApplicable.
        keep: whether the graph is needed again.
    """
    try:
        return torch.autograd.grad(
            scores, tensors, torch.ones_like(scores), retain_graph=keep, allow_unused=True
        )
    except RuntimeError as error:
        if "checkpoint" in str(error).lower():
            raise NotApplicable(checkpointed("a gradient with respect to the inputs", model)) from error
        raise


NO_GRADIENT = (
    "No gradient reaches the inputs: the model detaches them, runs under torch.no_grad(), is "
    "quantized or leaves torch on the way to its logits."
)


def gradient_leaves(inputs: Inputs) -> Parts:
    """Copies of the inputs' tensors that ask for a gradient; call it with gradients enabled."""
    return tuple(part.detach().clone().requires_grad_() for part in tensors(inputs))


def scores_of(
    model: Any, inputs: Inputs, leaves: Parts, targets: Any, forward: Forward | None = None
) -> Tensor:
    """The targets' scores (N,) as a function of `leaves`; NotApplicable if autograd sees no dependence."""
    # A second copy, because a model may change its input in place, which a leaf forbids.
    batch = as_given(inputs, [leaf.clone() for leaf in leaves])
    scores = class_scores(model, batch, as_targets(targets, batch_size(inputs)).clone(), forward)
    if not scores.requires_grad:
        raise NotApplicable(NO_GRADIENT)
    return scores


def _gradients_at(
    model: Any, inputs: Inputs, targets: Any, points: Iterable[Parts], limit: int | None
) -> Iterator[Parts]:
    count = batch_size(inputs)
    targets = as_targets(targets, count)
    for call in in_calls(points, points_per_call(inputs, limit)):
        batch = as_given(inputs, joined(call))
        gradients = input_gradients(model, batch, repeated(targets, len(call)))
        yield from zip(*(torch.split(g, count) for g in gradients), strict=True)


def _detached(inputs: Inputs) -> Parts:
    return tuple(part.detach() for part in tensors(inputs))


def _noisy(parts: Parts, samples: int, noise: float) -> Iterator[Parts]:
    if not noise >= 0:
        raise ValueError(f"noise must be a fraction of each image's range, 0 or more, got {shown(noise)}.")
    deviations = [noise * _range(part) for part in parts]
    for _ in range(samples):
        yield tuple(part + sd * torch.randn_like(part) for part, sd in zip(parts, deviations, strict=True))


def _range(part: Tensor) -> Tensor:
    axes = tuple(range(1, part.dim()))
    return part.amax(axes, keepdim=True) - part.amin(axes, keepdim=True)


def _unit_gauss_legendre(steps: int) -> tuple[list[float], list[float]]:
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def _baselines(inputs: Inputs, baseline: Any) -> list[Tensor]:
    parts = tensors(inputs)
    given = tuple(baseline) if isinstance(baseline, (tuple, list)) else (baseline,) * len(parts)
    if len(given) != len(parts):
        raise ValueError(f"There are {len(parts)} input tensors but {len(given)} baselines.")
    return [baseline_like(part, base) for part, base in zip(parts, given, strict=True)]
