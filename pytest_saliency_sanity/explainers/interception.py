"""What function interception (`torch.overrides.TorchFunctionMode`) sees, and what it cannot see."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import Tensor


def function_name(function: Callable[..., Any]) -> str:
    """The bare name of an intercepted function: `Tensor.relu` and `aten.relu.default` are both relu."""
    return getattr(function, "__name__", "").split(".")[0]


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, *names: str, default: Any = None
) -> Any:
    """The argument at `position`, or under one of `names`."""
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), default)


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among `values`, and in lists and tuples of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from tensors_in(value)


def refuse_opaque(explainer: str, model: Any) -> None:
    """ValueError if a part of `model` is scripted or compiled: functions in there are not intercepted."""
    for name, module in _named_modules(model):
        kind = _opaque_kind(module)
        if kind:
            where = f"the submodule {name!r}" if name else "the model"
            raise ValueError(
                f"{explainer} intercepts the functions that a model calls, but cannot see inside "
                f"{where}, which is {kind}: pass the original model."
            )


def inside_checkpoint() -> bool:
    """Whether the code that runs is run by gradient checkpointing, and will be run again, unwatched, backward."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return True
        frame = frame.f_back
    return False


def checkpointed(explainer: str, model: Any) -> str:
    """The sentence that refuses a model with gradient checkpointing."""
    return (
        f"{explainer} does not work with gradient checkpointing (torch.utils.checkpoint), which "
        f"{type(model).__name__} uses: turn it off, e.g. with model.gradient_checkpointing_disable() (transformers) "
        f"or model.set_grad_checkpointing(False) (timm)."
    )


def _named_modules(model: Any) -> list[tuple[str, Any]]:
    return list(model.named_modules()) if isinstance(model, torch.nn.Module) else [("", model)]


def _opaque_kind(module: Any) -> str | None:
    if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        return f"scripted ({type(module).__name__})"
    if _is_compiled(module):
        return "compiled (torch.compile)"
    return None


def _is_compiled(module: Any) -> bool:
    # torch._dynamo takes seconds to import; whoever compiled a model has imported it.
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    if dynamo is not None and isinstance(module, dynamo.OptimizedModule):
        return True
    if getattr(module, "_compiled_call_impl", None) is not None:
        return True
    callables = (module, getattr(module, "forward", None))
    return any(hasattr(function, "_torchdynamo_orig_callable") for function in callables)
