"""A network written in another way: the same function, bit by bit, by other modules."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Doubled(nn.Module):
    """A layer with twice its weights, and half of what it returns: powers of two lose nothing."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer)
        for name, parameter in layer.named_parameters(recurse=False):
            twice = nn.Parameter(2 * parameter.detach(), requires_grad=parameter.requires_grad)
            setattr(self.layer, name, twice)

    def forward(self, inputs: Tensor) -> Tensor:
        """As the layer."""
        return self.layer(inputs) * 0.5  # type: ignore[no-any-return]


class Rectified(nn.Module):
    """ReLU as a choice between two values, which no rule for ReLU modules or functions knows."""

    def forward(self, inputs: Tensor) -> Tensor:
        """As ReLU, and so is its gradient."""
        return torch.where(inputs > 0, inputs, torch.zeros_like(inputs))


def rewritten(model: nn.Module) -> tuple[nn.Module, int]:
    """A copy with other modules, and how many there are: ReLU, and linear layers and convolutions without hooks.

    Raises whatever copying the model raises.
    """
    found = copy.deepcopy(model)
    known: dict[int, nn.Module] = {}
    for parent in filter(_reads_no_weights, list(found.modules())):
        for name, child in list(parent._modules.items()):
            other = None if child is None else known.get(id(child)) or _other(child)
            if child is not None and other is not None:
                known[id(child)] = other
                parent._modules[name] = other
    return found, len(known)


def _reads_no_weights(parent: nn.Module) -> bool:
    """Not so torch's own layers of layers, such as a transformer's: they read the weights of their children."""
    return isinstance(parent, _CONTAINERS) or not type(parent).__module__.startswith("torch.nn.")


def _other(module: nn.Module) -> nn.Module | None:
    if type(module) is nn.ReLU:
        return Rectified().train(module.training)
    plain = type(module) in _LAYERS and not module._forward_hooks and not module._forward_pre_hooks
    return Doubled(module).train(module.training) if plain else None
