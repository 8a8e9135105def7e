"""Models that cannot be re-initialized or restored, each refused with its reason."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
FLOAT = ("FloatFunctional", "FXFloatFunctional")  # of the same package: they add and multiply floats
SHARDED = ("FullyShardedDataParallel", "DTensor")


def check_module(model: Any) -> None:
    """Raise TypeError unless `model` is an nn.Module."""
    if isinstance(model, nn.Module):
        return
    hint = ", and this is a class: pass an object of it" if isinstance(model, type) else ""
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    raise TypeError(f"The model must be a torch.nn.Module, got {name}{hint}.")


def check_preservable(model: Any) -> None:
    """Raise TypeError or ValueError, in one sentence, if `model`'s state cannot be copied and put back."""
    check_module(model)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        reason = _no_copy(tensor)
        if reason:
            raise ValueError(f"{type(model).__name__} cannot be preserved: {name!r} {reason}.")


def check_randomizable(model: Any, *, lazy: bool = False) -> None:
    """Raise TypeError or ValueError, in one sentence, if `model`'s weights cannot be drawn anew in place.

    `lazy=True` lets parameters pass that the first forward pass will initialize.
    """
    check_module(model)
    reason = _quantized(model) or _sharded(model)
    if reason:
        raise ValueError(f"{type(model).__name__} cannot be randomized: {reason}.")
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing to re-initialize.")
    for name, parameter in parameters.items():
        if lazy and is_lazy(parameter):
            continue
        reason = _no_copy(parameter) or _no_draw(parameter)
        if reason:
            raise ValueError(f"{type(model).__name__} cannot be randomized: {name!r} {reason}.")


def _quantized(model: nn.Module) -> str:
    for name, module in model.named_modules():
        kind = type(module)
        if (kind.__module__.startswith(QUANTIZED) and kind.__name__ not in FLOAT) or "_packed_params" in vars(
            module
        ):
            return f"{name!r} is quantized ({kind.__name__}), its weights are packed; audit the float model"
    return ""


def _sharded(model: nn.Module) -> str:
    kinds = {type(part).__name__ for part in [*model.modules(), *model.parameters()]}
    found = [kind for kind in SHARDED if kind in kinds]
    return f"its weights are sharded over processes ({found[0]}); audit the unsharded model" if found else ""


def _no_copy(tensor: Tensor) -> str:
    if is_lazy(tensor):
        return "is not initialized yet; run the model once first"
    if tensor.is_meta:
        return "is on the meta device, it has no values"
    if tensor.layout != torch.strided:
        return f"has the layout {tensor.layout}, only strided tensors can be put back"
    if is_traceable_wrapper_subclass(tensor):
        return f"is a {type(tensor).__name__}, a tensor made of several others"
    return ""


def _no_draw(parameter: Tensor) -> str:
    if not (parameter.is_floating_point() or parameter.is_complex()):
        return f"holds {parameter.dtype} numbers, only floating-point weights can be drawn"
    if parameter.is_inference():
        return "was made under torch.inference_mode and cannot be changed; build the model outside of it"
    if any(step == 0 and size > 1 for step, size in zip(parameter.stride(), parameter.shape, strict=True)):
        return f"is expanded (strides {parameter.stride()}), several elements share one memory cell"
    return ""
