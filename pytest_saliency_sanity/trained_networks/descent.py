"""Adam on a network's parameters, also on those whose dtype is too coarse for small steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Descent:
    """Adam on `masters`: the trained parameters, or float32 copies of those that are too coarse for small steps."""

    parameters: list[Tensor]
    masters: list[Tensor]
    adam: torch.optim.Adam


def descent(parameters: Iterable[Tensor], rate: float) -> Descent:
    """Adam with the learning rate `rate` on `parameters`, which have taken no step yet."""
    trained = list(parameters)
    masters = [_fine(parameter) for parameter in trained]
    return Descent(trained, masters, torch.optim.Adam(masters, rate))


def step(descent: Descent, loss: Tensor) -> None:
    """One step down the gradient of `loss`, a scalar with its graph.

    Raises:
        ValueError: for a loss that has none.
    """
    for parameter in descent.parameters:
        parameter.grad = None
    if not loss.requires_grad:
        raise ValueError(
            "the model cannot be trained: no gradient reaches its parameters (they are detached, or used under "
            "torch.no_grad())"
        )
    loss.backward()
    _copy_gradients(descent)
    descent.adam.step()
    _copy_values(descent)


def _fine(parameter: Tensor) -> Tensor:
    return parameter if parameter.element_size() >= 4 else parameter.detach().float()


def _copy_gradients(descent: Descent) -> None:
    for parameter, master in zip(descent.parameters, descent.masters, strict=True):
        if master is not parameter:
            master.grad = None if parameter.grad is None else parameter.grad.to(master.dtype)


@torch.no_grad()
def _copy_values(descent: Descent) -> None:
    for parameter, master in zip(descent.parameters, descent.masters, strict=True):
        if master is not parameter:
            parameter.copy_(master)
