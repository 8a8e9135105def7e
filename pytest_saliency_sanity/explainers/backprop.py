"""Explainers that change the backward pass of every ReLU: guided backpropagation and DeconvNet.

The ReLUs are found as they run, by intercepting the functions that the model calls. Hooks on `nn.ReLU`
modules would miss functional ReLUs and silently return the plain gradient, and replacing modules would
change the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.explainers.excitation import Excitations, Rectifier
from pytest_saliency_sanity.explainers.gradients import input_gradients
from pytest_saliency_sanity.explainers.inputs import as_given
from pytest_saliency_sanity.explainers.interception import (
    argument,
    checkpointed,
    function_name,
    inside_checkpoint,
    refuse_opaque,
)
from pytest_saliency_sanity.explainers.tokens import of_tokens
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Inputs, batch_size


@of_tokens
def guided_backprop(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The gradient, where every ReLU passes only what is positive both forward and backward.

    Springenberg et al. 2015, section 3.4. Acts on every ReLU that runs, however it is written: as a module,
    a function or a method, in place or reused, bounded (ReLU6), as a threshold, a clamp or a maximum with
    zero. Shapes as for `gradient`. Raises NotApplicable if no ReLU runs, or none but in
    squeeze-and-excitation, or if the model uses gradient checkpointing; ValueError if the model or a part of
    it is scripted or compiled.
    """
    return _with_relu_rule("guided_backprop", _Guided, model, inputs, targets)


@of_tokens
def deconvnet(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The gradient, where every ReLU passes what is positive backward, whatever it passed forward.

    Zeiler and Fergus 2014, section 2.1, in the form of Springenberg et al. 2015, figure 1. Finds ReLUs and
    raises errors as `guided_backprop` does.
    """
    return _with_relu_rule("deconvnet", _Deconvolved, model, inputs, targets)


def _with_relu_rule(
    explainer: str, rule: type[torch.autograd.Function], model: Any, inputs: Inputs, targets: Any
) -> Inputs:
    # Replicas of DataParallel run in threads of their own, where no mode is active.
    model = model.module if isinstance(model, torch.nn.DataParallel) else model
    refuse_opaque(explainer, model)
    mode = _ReLURule(rule, batch_size(inputs), checkpointed(explainer, model))
    with entered(mode):
        maps = input_gradients(model, inputs, targets)
    reached = [rectifier for rectifier in mode.rectifiers if rectifier.reached]
    if all(rectifier.weighs for rectifier in reached):
        raise NotApplicable(_no_relu(explainer, model, mode.others, reached))
    return as_given(inputs, maps)


def _no_relu(explainer: str, model: Any, others: set[str], reached: list[Rectifier]) -> str:
    if reached:
        where = "only squeeze-and-excitation blocks have ReLUs, which weight whole channels,"
        plain = "nearly the plain gradient"
    else:
        where, plain = "no ReLU runs", "the plain gradient"
    other = "other " if reached else ""
    ran = (
        f"the {other}activations that run are {', '.join(sorted(others))}"
        if others
        else f"no {other}activation runs"
    )
    return (
        f"{explainer} changes how ReLUs pass gradients, but {where} in {type(model).__name__} ({ran}): "
        f"its map would be {plain}."
    )


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: float, rectifier: Rectifier) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < upper))
        ctx.rectifier = rectifier
        return x.clamp(0, upper) if upper < math.inf else x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        ctx.rectifier.reached = True
        (passed,) = ctx.saved_tensors
        return grad.clamp(min=0) * passed, None, None


class _Deconvolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, upper: float, rectifier: Rectifier) -> Tensor:
        ctx.rectifier = rectifier
        return x.clamp(0, upper) if upper < math.inf else x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        ctx.rectifier.reached = True
        return grad.clamp(min=0), None, None


class _ReLURule(TorchFunctionMode):
    """Runs `rule` instead of every ReLU on the way from the inputs, and notes which activations ran."""

    def __init__(self, rule: type[torch.autograd.Function], n: int, checkpointed: str) -> None:
        super().__init__()
        self.rule = rule
        self.checkpointed = checkpointed
        self.rectifiers: list[Rectifier] = []
        self.others: set[str] = set()
        self._excitations = Excitations(n)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = function_name(func)
        found = _rectified(name, args, kwargs)
        if found is None:
            self._note(name)
            out = func(*args, **kwargs)
            self._excitations.follow(name, args, kwargs, out)
            return out
        if inside_checkpoint():
            raise NotApplicable(self.checkpointed)
        return self._rectify(*found, in_place=name.endswith("_") or bool(kwargs.get("inplace")))

    def _rectify(self, x: Tensor, upper: float, in_place: bool) -> Tensor:
        self.rectifiers.append(Rectifier())
        # In place the result is written back into the tensor itself, so that every alias and view of it sees it.
        made = self.rule.apply(x.clone() if in_place else x, upper, self.rectifiers[-1])
        out = x.copy_(made) if in_place else made
        self._excitations.begin(self.rectifiers[-1], x, out)
        return out

    def _note(self, name: str) -> None:
        activation = _OTHER_ACTIVATIONS.get(name.rstrip("_"))
        if activation:
            self.others.add(activation)


_OTHER_ACTIVATIONS = {
    "celu": "CELU", "elu": "ELU", "gelu": "GELU", "glu": "GLU", "hardsigmoid": "Hardsigmoid",
    "hardswish": "Hardswish", "hardtanh": "Hardtanh", "leaky_relu": "LeakyReLU", "logsigmoid": "LogSigmoid",
    "mish": "Mish", "prelu": "PReLU", "rnn_relu": "RNN(ReLU)", "rnn_relu_cell": "RNN(ReLU)",
    "rrelu": "RReLU", "selu": "SELU", "sigmoid": "Sigmoid", "silu": "SiLU", "softplus": "Softplus",
    "softsign": "Softsign", "tanh": "Tanh",
}  # fmt: skip


def _rectified(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, float] | None:
    """What a call rectifies and at which upper bound, if it is a ReLU of a tensor that has a gradient."""
    bounds_of = _BOUNDS.get(name.strip("_"))
    if bounds_of is None or "out" in kwargs:
        return None
    x = argument(args, kwargs, 0, "input", "self")
    if not (isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled()):
        return None
    lower, upper = bounds_of(args, kwargs)
    return (x, upper) if lower == 0 and upper > 0 else None


def _threshold(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    threshold, value = argument(args, kwargs, 1, "threshold"), argument(args, kwargs, 2, "value")
    return (0.0 if threshold == 0 and value == 0 else math.nan), math.inf


def _hardtanh(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    lower, upper = (
        argument(args, kwargs, 1, "min_val", default=-1),
        argument(args, kwargs, 2, "max_val", default=1),
    )
    return _number(lower, math.nan), _number(upper, math.nan)


def _clamp(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    lower, upper = argument(args, kwargs, 1, "min"), argument(args, kwargs, 2, "max")
    return _number(lower, -math.inf), _number(upper, math.inf)


def _maximum(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[float, float]:
    other = argument(args, kwargs, 1, "other")
    constant = isinstance(other, Tensor) and other.is_floating_point() and not other.requires_grad
    return (0.0 if constant and not other.any() else math.nan), math.inf


def _number(bound: Any, absent: float) -> float:
    """A bound as a number; a tensor of bounds that differ is none (nan)."""
    if bound is None:
        return absent
    if not isinstance(bound, Tensor):
        return float(bound)
    return float(bound) if bound.numel() == 1 and not bound.requires_grad else math.nan


_BOUNDS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], tuple[float, float]]] = {
    "relu": lambda args, kwargs: (0.0, math.inf),
    "relu6": lambda args, kwargs: (0.0, 6.0),
    "threshold": _threshold,
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "clip": _clamp,
    "clamp_min": _clamp,
    "maximum": _maximum,
    "max": _maximum,
}
