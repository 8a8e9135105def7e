"""Right explainers, written flat, which faults are made from; and what each claims.

They take (N, C, H, W) and targets (N,), and return a map of the same shape or (N, 1, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Explainer = Callable[..., Any]
Layer = Callable[[nn.Module], nn.Module]
STEPS = 16
NOISE = 0.15
SAMPLES = 16
WINDOW = 6


def derivative(score: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Of the sum of a score (N,) with respect to the inputs."""
    with torch.enable_grad():
        leaf = inputs.detach().clone().requires_grad_()
        return torch.autograd.grad(score(leaf).sum(), leaf)[0]


def logit(model: nn.Module, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """The targets' scores, (N,)."""
    return lambda inputs: model(inputs).gather(1, targets[:, None])[:, 0]


def gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return derivative(logit(model, targets), inputs)


def gradient_of_pair(model: nn.Module, inputs: tuple[Tensor, Tensor], targets: Tensor) -> tuple[Tensor, ...]:
    """Of a network with two inputs, for each a map."""
    with torch.enable_grad():
        leaves = [part.detach().clone().requires_grad_() for part in inputs]
        return torch.autograd.grad(model(*leaves).gather(1, targets[:, None]).sum(), leaves)


def absolute_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).abs()


def input_x_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return inputs * gradient(model, inputs, targets)


def smoothgrad(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    noisy = [inputs + NOISE * torch.randn_like(inputs) for _ in range(SAMPLES)]
    return torch.stack([gradient(model, one, targets) for one in noisy]).mean(0)


def integrated_gradients(model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS) -> Tensor:
    """Midpoints of `steps` equal parts of the line from zero."""
    shares = [(step + 0.5) / steps for step in range(steps)]
    return inputs * torch.stack([gradient(model, share * inputs, targets) for share in shares]).mean(0)


def last_convolution(model: nn.Module) -> nn.Module:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]


def activations_and_gradients(
    model: nn.Module, inputs: Tensor, targets: Tensor, layer: Layer = last_convolution
) -> tuple[Tensor, Tensor]:
    """The rectified output of a layer, and the derivative of the targets' scores there."""
    kept: list[Tensor] = []
    with torch.enable_grad():
        handle = layer(model).register_forward_hook(
            lambda _module, _inputs, output: kept.append(output.clone()) or kept[-1]
        )
        try:
            score = logit(model, targets)(inputs.detach().clone().requires_grad_()).sum()
        finally:
            handle.remove()
        return kept[-1].detach().relu(), torch.autograd.grad(score, kept[-1])[0]


def enlarged(cam: Tensor, inputs: Tensor) -> Tensor:
    return F.interpolate(cam, inputs.shape[2:], mode="bilinear", align_corners=False)


def gradcam(model: nn.Module, inputs: Tensor, targets: Tensor, layer: Layer = last_convolution) -> Tensor:
    activations, gradients = activations_and_gradients(model, inputs, targets, layer)
    weights = gradients.mean((2, 3), keepdim=True)
    return enlarged((weights * activations).sum(1, keepdim=True).relu(), inputs)


def windows(inputs: Tensor, side: int = WINDOW) -> list[tuple[slice, slice]]:
    """Windows that overlap by half."""
    height, width = inputs.shape[2:]
    step = side // 2
    corners = [(top, left) for top in range(0, height - step, step) for left in range(0, width - step, step)]
    return [(slice(top, top + side), slice(left, left + side)) for top, left in corners]


def occlusion(
    model: nn.Module, inputs: Tensor, targets: Tensor, score: Callable[..., Any] = logit, fill: Any = 0.0
) -> Tensor:
    """The mean drop of the score over the windows that cover a pixel."""
    total, count = torch.zeros_like(inputs[:, :1]), torch.zeros_like(inputs[:1, :1])
    with torch.no_grad():
        clean = score(model, targets)(inputs)
        for rows, columns in windows(inputs):
            hidden = inputs.clone()
            hidden[:, :, rows, columns] = fill[:, :, rows, columns] if isinstance(fill, Tensor) else fill
            total[:, :, rows, columns] += (clean - score(model, targets)(hidden)).view(-1, 1, 1, 1)
            count[:, :, rows, columns] += 1
    return total / count


@dataclass(frozen=True)
class Right:
    """A right explainer.

    Attributes:
        explainer: what it computes.
        axioms: what its method claims, which its user would ask for; by name the check's options.
    """

    explainer: Explainer
    axioms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_W, _CONTRIBUTION = {"expects": "gradient"}, {"expects": "contribution"}
_OF_GRADIENTS: Mapping[str, Mapping[str, Any]] = {"ignored_input": {}, "implementation_invariance": {}}
RIGHT: Mapping[str, Right] = {
    "gradient": Right(gradient, {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}}),
    "gradient_of_pair": Right(gradient_of_pair, {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}}),
    "absolute_gradient": Right(absolute_gradient, {**_OF_GRADIENTS, "input_shift": {}}),
    "smoothgrad": Right(smoothgrad, {"linear_oracle": _W, **_OF_GRADIENTS, "input_shift": {}}),
    "input_x_gradient": Right(input_x_gradient, {"linear_oracle": _CONTRIBUTION, **_OF_GRADIENTS}),
    "integrated_gradients": Right(
        integrated_gradients,
        {"linear_oracle": _CONTRIBUTION, **_OF_GRADIENTS, "completeness": {}},
    ),
    "gradcam": Right(gradcam),
    "occlusion": Right(occlusion),
}
