"""What was there before counts, or the model is not given back as it was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.explainers.controls import cached_maps, stale_model
from tests.mutation.planted_faults.fault import Explainer, Fault, stateless
from tests.mutation.right import activations_and_gradients, enlarged, gradient, last_convolution, logit


def train_mode(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Explained in training mode, and set back; running statistics move."""
    was = {module: module.training for module in model.modules()}
    model.train()
    try:
        return gradient(model, inputs, targets)
    finally:
        for module, training in was.items():
            module.training = training


def left_in_train_mode(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    model.train()
    return maps


def hook_left(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    last_convolution(model).register_forward_hook(lambda _module, _inputs, _output: None)
    return gradient(model, inputs, targets)


def parameter_gradients_left(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        logit(model, targets)(leaf).sum().backward()
    return leaf.grad


def weights_rectified(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The last convolution keeps only its positive weights, from the first call on."""
    with torch.no_grad():
        last_convolution(model).weight.clamp_(min=0)
    return gradient(model, inputs, targets)


def stale_hook() -> Explainer:
    """Grad-CAM whose hook was set once: its activations are those of the first batch of each size."""
    kept: dict[tuple[int, ...], Tensor] = {}

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        found, gradients = activations_and_gradients(model, inputs, targets)
        activations = kept.setdefault(tuple(inputs.shape), found)
        weights = gradients.mean((2, 3), keepdim=True)
        return enlarged((weights * activations).sum(1, keepdim=True).relu(), inputs)

    return explain


def stale_weights() -> Explainer:
    """Grad-CAM whose channel weights are those of the first call."""
    kept: list[Tensor] = []

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        activations, gradients = activations_and_gradients(model, inputs, targets)
        kept.append(gradients.mean((0, 2, 3)))
        return enlarged((kept[0].view(1, -1, 1, 1) * activations).sum(1, keepdim=True).relu(), inputs)

    return explain


def accumulated() -> Explainer:
    """Gradients of all calls with as many images add up, as in a `.grad` that nobody sets to zero."""
    sums: dict[tuple[int, ...], Tensor] = {}

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        shape = tuple(inputs.shape)
        sums[shape] = sums.get(shape, torch.zeros_like(inputs)) + gradient(model, inputs, targets)
        return sums[shape].clone()

    return explain


def one_call_late() -> Explainer:
    """Each call returns what the call before it computed, where the shape allows."""
    last: dict[tuple[int, ...], Tensor] = {}

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        found = gradient(model, inputs, targets)
        shown = last.get(tuple(inputs.shape), found)
        last[tuple(inputs.shape)] = found
        return shown

    return explain


def detached(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The score is computed from a detached copy, so that the gradient is None, and 0 is returned."""
    with torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        score = logit(model, targets)(leaf.detach()).sum() + 0 * leaf.sum()
        return torch.autograd.grad(score, leaf)[0]


FAULTS = (
    stateless("training mode while it explains", "gradient", train_mode),
    stateless("the model stays in training mode", "gradient", left_in_train_mode),
    stateless("a hook stays on the model", "gradient", hook_left),
    stateless("the parameters' .grad stays filled", "gradient", parameter_gradients_left),
    stateless("weights of the model are changed", "gradient", weights_rectified),
    Fault("stale_model", "a copy of the first model is explained", "gradient", lambda: stale_model(gradient)),
    Fault("stale_hook", "activations are those of the first batch of each size", "gradcam", stale_hook),
    Fault("stale_weights", "channel weights are those of the first call", "gradcam", stale_weights),
    Fault("cached_map", "the first map of an image is returned ever after", "gradient", lambda: cached_maps(gradient)),
    Fault("accumulated", "gradients of all calls add up", "gradient", accumulated),
    Fault("one_call_late", "the map of the call before is returned", "gradient", one_call_late),
    stateless("the score is detached from the image", "gradient", detached),
)  # fmt: skip
