"""One forward pass, watched: when each parameter and buffer is last used, and when each module runs."""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from ..loans import Loan, entered, lent, loan
from ..outputs import Forward, Inputs, logits
from .addresses import holders, submodule
from .modes import evaluating
from .streams import random_state, restoring

IMAGES = 2  # enough to run: a model in evaluation mode does the same for every image


@dataclass(frozen=True)
class Execution:
    """What ran, by id of tensors and modules; positions count calls and entries of modules from 0."""

    last_use: dict[int, float] = field(default_factory=dict)
    intervals: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def during(self, module: nn.Module, position: float) -> bool:
        """Whether `module` was running at `position`."""
        return any(start <= position <= end for start, end in self.intervals.get(id(module), ()))


def executed(network: nn.Module, inputs: Inputs, forward: Forward | None = None) -> Execution:
    """Run `network` once, in evaluation mode and eagerly, on the first two inputs.

    Training modes and global generators are given back. A tensor is used where it is an argument of a torch
    function that returns a tensor (`p.dtype` is no use). What no function was seen to take, as within a
    scripted module, is in use if the logits have a gradient with respect to it, and takes the place of its
    nearest executed ancestor. Lazy modules are initialized by this run, for good.
    """
    execution, inputs = Execution(), _few(inputs)
    with _evaluating(network), entered(torch.no_grad()), _eager():
        with _watched_modules(execution) as clock, entered(_Uses(execution, clock)):
            logits(network, inputs, forward)
        _place_unseen(execution, network, inputs, forward)
    return execution


class _Uses(TorchFunctionMode):
    # The one class that torch asks for: a mode is how its functions are intercepted.
    def __init__(self, execution: Execution, clock: Iterator[int]):
        super().__init__()
        self.execution, self.clock = execution, clock

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if any(True for _ in _tensors(result)):
            now = next(self.clock)
            for tensor in _tensors([args, kwargs]):
                self.execution.last_use[id(tensor)] = now
        return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        yield from itertools.chain.from_iterable(map(_tensors, value))
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


@loan
def _watched_modules(execution: Execution) -> Iterator[Iterator[int]]:
    clock, running = itertools.count(), []

    def enter(module: nn.Module, args: Any) -> None:
        running.append((module, next(clock)))

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        entered, start = running.pop()
        while entered is not module:  # those in between left by an exception that the model caught
            entered, start = running.pop()
        execution.intervals.setdefault(id(module), []).append((start, next(clock)))

    # Compiled modules warn of hooks for all modules; they are no trouble here, where nothing is compiled.
    with hooked(enter, leave):
        yield clock


@loan
def hooked(enter: Callable[..., None], leave: Callable[..., None]) -> Iterator[None]:
    """Within this context `enter(module, args)` and `leave(module, args, output)` are called for every module."""
    with entered(warnings.catch_warnings()), _registered(enter, leave):
        warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
        yield


def _registered(enter: Callable[..., None], leave: Callable[..., None]) -> Loan[None]:
    handles: list[RemovableHandle] = []

    def register() -> None:
        handles.append(register_module_forward_pre_hook(enter))
        handles.append(register_module_forward_hook(leave))

    return lent(register, lambda: [handle.remove() for handle in handles])


@loan
def _evaluating(network: nn.Module) -> Iterator[None]:
    with evaluating(network), restoring(random_state()):
        yield


def _eager() -> contextlib.AbstractContextManager[Any]:
    # Compiled code is not watched. Before torch 2.6 nothing can suspend a compiled submodule from outside.
    stance = getattr(torch.compiler, "set_stance", None)
    return _stanced(stance) if stance else contextlib.nullcontext()


def _stanced(stance: Callable[[str], Any]) -> Loan[None]:
    set_already: list[Any] = []  # by making it
    return lent(
        lambda: set_already.append(stance("force_eager")),
        lambda: [made.__exit__(None, None, None) for made in set_already],
    )


def _few(inputs: Inputs) -> Inputs:
    return tuple(part[:IMAGES] for part in inputs) if isinstance(inputs, (tuple, list)) else inputs[:IMAGES]


# What no function was seen to take.


def _place_unseen(execution: Execution, network: nn.Module, inputs: Inputs, forward: Forward | None) -> None:
    unseen = {name: p for name, p in network.named_parameters() if id(p) not in execution.last_use}
    used = _influential(network, list(unseen.values()), inputs, forward)
    for rank, (name, parameter) in enumerate(unseen.items(), 1):
        if id(parameter) in used:
            # Just before its ancestor ends; among several, in the order of registration.
            end = _end_of_nearest_executed(execution, network, name)
            execution.last_use[id(parameter)] = end - 1 + rank / (len(unseen) + 1)


def _influential(
    network: nn.Module, candidates: list[Tensor], inputs: Inputs, forward: Forward | None
) -> set[int]:
    candidates = [p for p in candidates if p.is_floating_point() or p.is_complex()]
    if not candidates:
        return set()
    with _only_these_require_grad(network.parameters(), candidates), entered(torch.enable_grad()):
        scores = logits(network, inputs, forward)
        if not scores.requires_grad:
            return set()
        gradients = torch.autograd.grad(scores.sum(), candidates, allow_unused=True)
    return {id(p) for p, gradient in zip(candidates, gradients, strict=True) if gradient is not None}


def _only_these_require_grad(parameters: Iterable[Tensor], these: list[Tensor]) -> Loan[None]:
    before, wanted = [(p, p.requires_grad) for p in parameters], set(map(id, these))
    return lent(
        lambda: _require_grad([(p, id(p) in wanted) for p, _ in before]), lambda: _require_grad(before)
    )


def _require_grad(parameters: list[tuple[Tensor, bool]]) -> None:
    for parameter, required in parameters:
        parameter.requires_grad_(required)


def _end_of_nearest_executed(execution: Execution, network: nn.Module, name: str) -> int:
    for path in reversed(holders(name)):
        intervals = execution.intervals.get(id(submodule(network, path)))
        if intervals:
            return intervals[-1][1]
    return 0
