"""Linear networks, of which the right map is known: w for a gradient, (x - baseline) * w for a contribution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.layout import axis_of

Parts = tuple[Tensor, ...]
GRADIENT, CONTRIBUTION = "w", "(x - baseline) * w"


class Linear(nn.Module):
    """Logits W x + b of flattened inputs, one or several."""

    def __init__(self, inputs: Parts, classes: int, generator: np.random.Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(part[0].numel(), classes) for part in inputs)
        self.to(inputs[0].device, inputs[0].dtype)
        with torch.no_grad():
            for parameter in self.parameters():
                drawn = generator.standard_normal(tuple(parameter.shape))
                parameter.copy_(torch.from_numpy(drawn))
        self.eval()

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (N, K)."""
        outputs = [layer(part.flatten(1)) for layer, part in zip(self.layers, inputs, strict=True)]
        return torch.stack(outputs).sum(0)


def gradients(network: Linear, inputs: Parts, targets: Tensor) -> Parts:
    """The gradient of each target's logit, in the shape of the inputs: rows of W, or their weighted sums."""
    rows = [_rows(layer.weight.detach(), targets) for layer in network.layers if isinstance(layer, nn.Linear)]
    return tuple(row.view_as(part) for row, part in zip(rows, inputs, strict=True))


def _rows(weight: Tensor, targets: Tensor) -> Tensor:
    return weight[targets] if targets.ndim == 1 else targets.to(weight) @ weight


@dataclass(frozen=True)
class Weighted:
    """An explainer whose channels are weighted before they are summed: channels that are mixed up show then.

    Attributes:
        explainer: the explainer.
        weights: for each input, one number a channel.
        __name__: the explainer's.
    """

    explainer: Callable[..., Any]
    weights: Parts
    __name__: str

    def __call__(self, model: nn.Module, inputs: Any, targets: Any) -> Any:
        """The explainer's maps; those that have the shape of the inputs are weighted."""
        returned = self.explainer(model, inputs, targets)
        images = inputs if isinstance(inputs, tuple) else (inputs,)
        maps = returned if isinstance(returned, (tuple, list)) else (returned,)
        if len(maps) != len(images):
            return returned
        found = tuple(_times(one, image, w) for one, image, w in zip(maps, images, self.weights, strict=True))
        return found if isinstance(returned, (tuple, list)) else found[0]


def _times(one: Any, image: Tensor, weights: Tensor) -> Any:
    if getattr(one, "shape", None) != image.shape:
        return one
    return one * (weights.to(one) if isinstance(one, Tensor) else weights.cpu().numpy())


def channel_weights(inputs: Parts, channel_axis: int | None, generator: np.random.Generator) -> Parts:
    """One number for each channel, as it broadcasts to each input; 1 where there are no channels."""
    return tuple(_of_channels(part, channel_axis, generator) for part in inputs)


def _of_channels(part: Tensor, channel_axis: int | None, generator: np.random.Generator) -> Tensor:
    if part.ndim < 3:
        return torch.ones(1, 1, device=part.device)
    axis = axis_of(part, channel_axis)
    shape = [part.shape[axis] if place == axis else 1 for place in range(part.ndim)]
    return torch.from_numpy(generator.uniform(0.5, 1.5, shape)).to(part)


def without_channels(parts: Sequence[Tensor], channel_axis: int | None) -> Maps:
    """The sums over the channels."""
    return tuple(part if part.ndim < 3 else part.sum(axis_of(part, channel_axis)) for part in parts)
