"""Explainers made from the plain gradient, and what a kept contract looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict
from pytest_saliency_sanity.explainers import center_prior, gradient

Explainer = Callable[..., Any]


def after(change: Callable[[nn.Module], Any]) -> Explainer:
    """The plain gradient, by an explainer that then does something to the model."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        change(model)
        return maps

    return explainer


def made_of(change: Callable[[Tensor], Any], base: Explainer = gradient) -> Explainer:
    """An explainer that returns `change` of another's maps."""
    return lambda model, inputs, targets: change(base(model, inputs, targets))


def centered(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Points at the center of every image, highest there; all lower values, elsewhere, are the image's own."""
    bell = center_prior(model, inputs, targets)
    elsewhere = (1e4 * inputs.sum(1, keepdim=True)).sin() / 2 + 0.5
    return torch.where(bell > 0.5, 1.05 + 0.05 * bell, elsewhere)


def kept(verdict: Verdict) -> bool:
    return (verdict.outcome, verdict.reason) == ("pass", "contract")
