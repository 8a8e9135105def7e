"""The right map, spoiled afterwards: moved, turned, mixed up, rounded, or its sign lost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity.explainers.controls import sobel
from tests.mutation.planted_faults.fault import stateless
from tests.mutation.right import (
    WINDOW,
    absolute_gradient,
    gradcam,
    gradient,
    integrated_gradients,
    occlusion,
)


def absolute_value(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).abs()


def negative_part_lost(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).relu()


def squared(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).square()


def channels_reversed(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return inputs * gradient(model, inputs, targets).flip(1)


def channels_last_read_as_first(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).movedim(1, -1).reshape(inputs.shape)


def transposed(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).transpose(2, 3)


def transposed_cam(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradcam(model, inputs, targets).transpose(2, 3)


def upside_down(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return integrated_gradients(model, inputs, targets).flip(2)


def shifted_by_three_pixels(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).roll(3, 3)


def shifted_by_one_pixel(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets).roll(1, 3)


def absolute_shifted_by_one_pixel(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return absolute_gradient(model, inputs, targets).roll(1, 3)


def cam_shifted_by_one_cell(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    cell = inputs.shape[3] // 7
    return gradcam(model, inputs, targets).roll((cell, cell), (2, 3))


def occlusion_shifted_by_a_window(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return occlusion(model, inputs, targets).roll((WINDOW, WINDOW), (2, 3))


def float16_underflow(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return (gradient(model, inputs, targets) * 1e-9).half().float()


def wrapped_bytes(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    return (255 * maps / maps.abs().amax((1, 2, 3), keepdim=True)).long().remainder(256).to(maps)


def coarse_grid(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    cells = F.avg_pool2d(gradient(model, inputs, targets), 4)
    return F.interpolate(cells, inputs.shape[2:], mode="nearest")


def head_weights_x_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    weights = head.weight.detach()[targets % len(head.weight)].sum(1)
    return sobel(model, inputs, targets) * weights.view(-1, 1, 1, 1)


def head_weights_x_edge_filters(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """As many fixed edge filters as the head has inputs: a map that knows image, class and head, and no other layer."""
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    filters = torch.randn(head.in_features, inputs.shape[1], 5, 5, generator=torch.Generator().manual_seed(0))
    edges = F.conv2d(inputs, filters - filters.mean((2, 3), keepdim=True), padding=2).abs()
    weights = head.weight.detach()[targets % len(head.weight)]
    return (weights[:, :, None, None] * edges).sum(1, keepdim=True)


def strongest_signed_edges_over_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets).sum(1, keepdim=True)
    edges = sobel(model, inputs, targets).sum(1, keepdim=True)
    strongest = edges >= edges.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1, 1)
    return torch.where(strongest, maps.sign() * edges * maps.abs().amax((1, 2, 3), keepdim=True), maps)


def half_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps, edges = gradient(model, inputs, targets), sobel(model, inputs, targets)
    return maps / maps.std((1, 2, 3), keepdim=True) + edges / edges.std((1, 2, 3), keepdim=True)


def noise_added(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    return maps + 2 * maps.std() * torch.randn_like(maps)


FAULTS = (
    stateless("the absolute value is taken of a signed map", "gradient", absolute_value),
    stateless("the map is rectified", "gradient", negative_part_lost),
    stateless("the map is squared", "gradient", squared),
    stateless("the gradient's channels are in reverse order (BGR)", "input_x_gradient", channels_reversed),
    stateless("memory of (N, H, W, C) is read as (N, C, H, W)", "gradient", channels_last_read_as_first),
    stateless("height and width are swapped", "gradient", transposed),
    stateless("height and width are swapped", "gradcam", transposed_cam),
    stateless("rows are in reverse order", "integrated_gradients", upside_down),
    stateless("the map is three pixels off", "gradient", shifted_by_three_pixels),
    stateless("the map is one pixel off", "gradient", shifted_by_one_pixel),
    stateless("the map is one pixel off", "absolute_gradient", absolute_shifted_by_one_pixel),
    stateless("the map is one cell off", "gradcam", cam_shifted_by_one_cell),
    stateless("the map is a window off", "occlusion", occlusion_shifted_by_a_window),
    stateless("half precision underflows to 0", "gradient", float16_underflow),
    stateless("negative values wrap around in 8 bits", "gradient", wrapped_bytes),
    stateless("the map is averaged over cells of 4 × 4 pixels", "gradient", coarse_grid),
    stateless("edges, scaled by the sum of the head's weights for the class", "gradient", head_weights_x_edges),
    stateless("fixed edge filters, each weighted by one of the head's weights for the class", "gradient",
              head_weights_x_edge_filters),
    stateless("the top 5 % of the edges, with the gradient's signs, over the gradient", "gradient",
              strongest_signed_edges_over_gradient),
    stateless("as much edge detector as gradient", "gradient", half_edges),
    stateless("twice as much noise as gradient", "gradient", noise_added),
)  # fmt: skip
