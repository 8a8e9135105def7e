"""The layer that a method looks at: by name, by the module itself, or the last with a spatial map; and its maps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import called
from pytest_saliency_sanity.text import shown


def layer_of(model: nn.Module, layer: Any, inputs: Any) -> nn.Module:
    """The module of the model at hand that `layer` says: its name, the module itself, or None for the default.

    Raises:
        UnusableExplainer: for a name that the model does not have, and for a module of another model.
        NotApplicable: where no module has a spatial map.
    """
    if layer is None:
        return last_with_a_map(model, inputs)
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if isinstance(layer, str):
        if layer not in modules:
            names = ", ".join(name for name in modules if name)
            raise UnusableExplainer(f"the model has no layer {layer!r}; choose from {names}")
        return modules[layer]
    if not isinstance(layer, nn.Module):
        raise UnusableExplainer(f"a layer is a module or its name, such as 'layer4', not {shown(layer)}")
    if not any(layer is module for module in modules.values()):
        raise UnusableExplainer(
            f"the layer {type(layer).__name__} is not part of the model that is explained; pass its name instead, "
            f"which is looked up in each model"
        )
    return layer


def last_with_a_map(model: nn.Module, inputs: Any) -> nn.Module:
    """The last module, of those that run once, whose output (n, C, *S) has more than one position."""
    runs: dict[nn.Module, int] = {}
    order: list[nn.Module] = []

    def seen(module: nn.Module, _: Any, output: Any) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(output, Tensor) and output.ndim == few[0].ndim > 2 and math.prod(output.shape[2:]) > 1:
            order.append(module)

    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    few = tuple(part[:1].detach() for part in parts)
    handles = [module.register_forward_hook(seen) for module in model.modules() if module is not model]
    try:
        with entered(torch.no_grad()):
            called(model, few if isinstance(inputs, tuple) else few[0])
    finally:
        for handle in handles:
            handle.remove()
    found = [module for module in order if runs[module] == 1]
    if not found:
        raise NotApplicable(
            "no layer of the model has a map with more than one position; name one with the layer's option"
        )
    return found[-1]


def enlarged(maps: Tensor, inputs: Tensor) -> Tensor:
    """Maps (N, C, *s) at the size of the inputs (N, C, *S): linearly interpolated."""
    sides = inputs.shape[2:]
    if maps.shape[2:] == sides:
        return maps
    return F.interpolate(
        maps, sides, mode=("linear", "bilinear", "trilinear")[len(sides) - 1], align_corners=False
    )
