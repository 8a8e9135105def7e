"""Images of a batch are confused with one another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.mutation.planted_faults.fault import stateless
from tests.mutation.right import gradcam, gradient


def neighbor_in_batch(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).roll(1, 0)


def first_map_for_all(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets)[:1].expand_as(inputs)


def mean_map_for_all(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).mean(0, keepdim=True).expand_as(inputs)


def normalized_over_batch(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    return (maps - maps.mean(0)) / (maps.std(0) + 1e-8)


def cam_scaled_by_batch(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    cam = gradcam(model, inputs, targets)
    return cam / cam.max()


def batch_tail_dropped(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Batches of five; what is left over stays zero."""
    maps = torch.zeros_like(inputs)
    for start in range(0, len(inputs) - 4, 5):
        part = slice(start, start + 5)
        maps[part] = gradient(model, inputs[part], targets[part])
    return maps


FAULTS = (
    stateless("each image gets its neighbor's map", "gradient", neighbor_in_batch),
    stateless("all images get the first one's map", "gradient", first_map_for_all),
    stateless("all images get the mean map", "gradient", mean_map_for_all),
    stateless("maps are standardized over the batch", "gradient", normalized_over_batch),
    stateless("maps are divided by the maximum of the batch", "gradcam", cam_scaled_by_batch),
    stateless("the last, incomplete batch of five stays 0", "gradient", batch_tail_dropped),
)  # fmt: skip
