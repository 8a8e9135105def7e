"""Faults that ranks alone do not see, made by hand: what `sensitivity.suspicions` is there for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.explainers.cam import mean_activation
from pytest_saliency_sanity.explainers.controls import laplacian, sobel


def sparse_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The strongest twentieth of the edges, over a thousandth of the gradient."""
    edges, faint = sobel(model, inputs, targets), gradient(model, inputs, targets).sum(1, keepdim=True)
    strongest = edges.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1, 1)
    return torch.where(edges >= strongest, _scaled(edges), 0) + 1e-3 * _scaled(faint)


def signed_edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Edges with the signs of the gradient."""
    return sobel(model, inputs, targets) * gradient(model, inputs, targets).sum(1, keepdim=True).sign()


def edges_times_logit(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The Laplacian, scaled by the logit: one number of the model's."""
    with torch.no_grad():
        logit = model(inputs).gather(1, targets[:, None])
    return laplacian(model, inputs, targets) * logit.view(-1, 1, 1, 1)


def distance_from_mean(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """|x - mean|, which has one sign and knows no model."""
    return (inputs - inputs.mean(tuple(range(1, inputs.ndim)), keepdim=True)).abs()


ONE_SIDED: Mapping[str, Callable[..., Tensor]] = {
    "mean_activation": mean_activation,
    "distance_from_mean": distance_from_mean,
}
PLANTED: Mapping[str, Callable[..., Tensor]] = {
    "sparse_edges": sparse_edges,
    "signed_edges": signed_edges,
    "edges_times_logit": edges_times_logit,
}


def _scaled(maps: Tensor) -> Tensor:
    return maps / maps.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
