"""One forward pass, watched: when each parameter and buffer is last used, and when each module runs.

Ours, as hooks of modules alone, which torch.utils.module_tracker and flop_counter use, see what 8 of 19 networks of the
tests use (`python -m tests.benchmarks.libraries networks`).
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from pytest_saliency_sanity.loans import Loan, entered, lent, loan
from pytest_saliency_sanity.outputs import Forward, Inputs, logits
from pytest_saliency_sanity.perturbations.restoring.caches import uncached
from pytest_saliency_sanity.perturbations.restoring.modes import evaluating
from pytest_saliency_sanity.perturbations.restoring.streams import random_state, restoring
from pytest_saliency_sanity.perturbations.weights.addresses import holders, submodule
from pytest_saliency_sanity.perturbations.weights.gradients import Reached, reached

IMAGES = 2  # enough where all images take one path
READS = {
    "__bool__", "__int__", "__index__", "__float__", "__complex__", "__contains__", "__array__", "item", "tolist",
    "numpy", "equal", "allclose", "is_nonzero", "nonzero", "argwhere", "unique", "unique_consecutive", "masked_select",
}  # fmt: skip


@dataclass(frozen=True)
class Execution:
    """What ran, by id of tensors and modules; positions count calls and entries of modules from 0.

    `reached` are the parameters on which a logit has a gradient that is not zero, `connected` those on which it has
    any; `idle` are the tensors that were used and on which no logit depends (`influence.depended_on`): they have no
    last use. `reads` are the functions by which Python saw values: without any, all images take one path.
    """

    last_use: dict[int, float] = field(default_factory=dict)
    intervals: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    reached: set[int] = field(default_factory=set)
    connected: set[int] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    idle: set[int] = field(default_factory=set)

    @property
    def varies(self) -> bool:
        """Whether what runs can depend on the image."""
        return bool(self.reads)

    def during(self, module: nn.Module, position: float) -> bool:
        """Whether `module` was running at `position`."""
        return any(start <= position <= end for start, end in self.intervals.get(id(module), ()))


def executed(network: nn.Module, inputs: Inputs, forward: Forward | None = None) -> Execution:
    """Run `network`, in evaluation mode and eagerly, on the first two inputs.

    Training modes and global generators are restored. A tensor is used where it is an argument of a torch
    function that returns a tensor (`p.dtype` is no use). What no function was seen to take, as within a
    scripted module, is in use if the logits have a gradient with respect to it, and takes the place of its
    nearest executed ancestor. Lazy modules are initialized by this run, for good.
    """
    with undisturbed(network):
        execution = watched(network, selected(inputs, 0, IMAGES), forward)
        note_gradients(execution, network, _reached_by_first(network, inputs, forward))
    return execution


def watched(network: nn.Module, inputs: Inputs, forward: Forward | None = None) -> Execution:
    """What is seen to run on all of `inputs`."""
    execution = Execution()
    with entered(torch.no_grad()), _watched_modules(execution) as clock, entered(_Uses(execution, clock)):
        logits(network, inputs, forward)
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        execution.reads.add("what is scripted")
    return execution


@loan
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Within this context the network runs in evaluation mode and eagerly; modes and generators come back."""
    with evaluating(network), restoring(random_state()), uncached(), _eager():
        yield


def selected(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Some of the images, as a copy: a model may write into what it gets."""
    if isinstance(inputs, (tuple, list)):
        return tuple(part[start:stop].clone() for part in inputs)
    return inputs[start:stop].clone()


class _Uses(TorchFunctionMode):
    # The one class that torch asks for: a mode is how its functions are intercepted.
    def __init__(self, execution: Execution, clock: Iterator[int]):
        super().__init__()
        self.execution, self.clock = execution, clock

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if _reads(function, args):
            self.execution.reads.add(function.__name__)
        if any(True for _ in _tensors(result)):
            now = next(self.clock)
            for tensor in _tensors([args, kwargs]):
                self.execution.last_use[id(tensor)] = now
        return result


def _reads(function: Callable[..., Any], args: Any) -> bool:
    """Whether what follows can depend on the values of a tensor: Python sees them, or a shape comes of them."""
    name = getattr(function, "__name__", "")
    masked = name == "__getitem__" and any(t.dtype in (torch.bool, torch.uint8) for t in _tensors(args[1:]))
    return name in READS or masked or (name == "where" and len(args) == 1)


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
def hooked(enter: Callable[..., None], leave: Callable[..., None], always: bool = False) -> Iterator[None]:
    """Within this context `enter(module, args)` and `leave(module, args, output)` are called for every module.

    `always` calls `leave` of a module that raises, too.
    """
    with entered(warnings.catch_warnings()), _registered(enter, leave, always):
        warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
        yield


def _registered(enter: Callable[..., None], leave: Callable[..., None], always: bool) -> Loan[None]:
    handles: list[RemovableHandle] = []

    def register() -> None:
        handles.append(register_module_forward_pre_hook(enter))
        handles.append(register_module_forward_hook(leave, always_call=always))

    return lent(register, lambda: list(map(RemovableHandle.remove, handles)))


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


# What no function was seen to take.


def _reached_by_first(network: nn.Module, inputs: Inputs, forward: Forward | None) -> Reached:
    """As `reached`, by the first two images; the first alone is enough where it reaches every parameter."""
    found = reached(network, selected(inputs, 0, 1), forward)
    if found[0].issuperset(map(id, network.parameters())):
        return found
    return reached(network, selected(inputs, 0, IMAGES), forward)


def note_gradients(execution: Execution, network: nn.Module, found: Reached) -> None:
    """Note which parameters have a gradient, and give a place to those that no function was seen to take."""
    values, connected = found
    execution.reached.update(values)
    execution.connected.update(connected)
    unseen = {name: p for name, p in network.named_parameters() if id(p) not in execution.last_use}
    for rank, (name, parameter) in enumerate(unseen.items(), 1):
        if id(parameter) in execution.reached:
            # Just before its ancestor ends; among several, in the order of registration.
            end = _end_of_nearest_executed(execution, network, name)
            execution.last_use[id(parameter)] = end - 1 + rank / (len(unseen) + 1)


def _end_of_nearest_executed(execution: Execution, network: nn.Module, name: str) -> int:
    for path in reversed(holders(name)):
        intervals = execution.intervals.get(id(submodule(network, path)))
        if intervals:
            return intervals[-1][1]
    return 0
