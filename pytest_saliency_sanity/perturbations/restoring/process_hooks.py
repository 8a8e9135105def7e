"""Hooks that torch keeps beside any model: for all modules, all optimizers, all functions, and all saved tensors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules import module as of_modules
from torch.optim import Optimizer

from pytest_saliency_sanity.loans import Loan, lent

_AUTOGRAD: Any = vars(torch._C)["_autograd"]  # it has no types
_MARK = "_global_"
_FLAGS = ("_always_called", "_with_kwargs")  # registries that say more of hooks in another one
_SETTING = "DeviceContext"  # what torch.set_default_device enters: a setting, no hook


@dataclass(frozen=True)
class ProcessHooks:
    """What is registered for the whole process.

    Attributes:
        registries: (name, the registry itself, its entries).
        full_backward: whether the global backward hooks are full ones; None while there are none.
        saved: the pair of hooks for saved tensors that is in force, or None.
        functions, dispatched: the modes that intercept torch's functions, and its operators, the innermost last.
    """

    registries: tuple[tuple[str, dict[int, Any], dict[int, Any]], ...]
    full_backward: bool | None
    saved: tuple[Any, ...] | None
    functions: tuple[str, ...]
    dispatched: tuple[str, ...]

    def added(self) -> tuple[str, ...]:
        """What has been added since, in words."""
        counts = [
            (name, len(now.keys() - before.keys()))
            for name, now, before in self.registries
            if now and not name.endswith(_FLAGS)
        ]
        return (*(f"{_in_words(name)} ({count})" for name, count in counts if count), *self._opened())

    def _opened(self) -> tuple[str, ...]:
        modes = (*_functions()[len(self.functions) :], *_dispatched()[len(self.dispatched) :])
        now = _saved()
        saved = now is not None and not _same(now, self.saved)
        return tuple(f"an open {what}" for what in (*(["saved_tensors_hooks"] if saved else []), *modes))

    def restore(self) -> None:
        """Take away what has been added, and bring back what was removed."""
        for _, registry, before in self.registries:
            if registry.keys() != before.keys():
                registry.clear()
                registry.update(before)
        of_modules._global_is_full_backward_hook = self.full_backward
        while not _same(_saved(), self.saved) and _saved() is not None:
            _AUTOGRAD._pop_saved_tensors_default_hooks()
        _pop(_functions, torch._C._pop_torch_function_stack, len(self.functions))
        _pop(_dispatched, torch._C._pop_torch_dispatch_stack, len(self.dispatched))


def process_hooks() -> ProcessHooks:
    """What is registered now."""
    return ProcessHooks(
        registries=tuple((name, registry, dict(registry)) for name, registry in _registries()),
        full_backward=of_modules._global_is_full_backward_hook,
        saved=_saved(),
        functions=_functions(),
        dispatched=_dispatched(),
    )


def keeping_process_hooks() -> Loan[ProcessHooks]:
    """A context after which all of them are as they are now; yields what they are now."""
    state = process_hooks()
    return lent(lambda: state, state.restore)


@functools.cache
def _registries() -> tuple[tuple[str, dict[int, Any]], ...]:
    both = {**vars(of_modules), **vars(sys.modules[Optimizer.__module__])}
    return tuple(item for item in both.items() if item[0].startswith(_MARK) and isinstance(item[1], dict))


def _in_words(name: str) -> str:
    return f"global {name.removeprefix(_MARK).replace('_', ' ')}"


def _saved() -> tuple[Any, ...] | None:
    """The hooks that pack and unpack what is saved for the backward pass; older versions of torch do not say."""
    top = getattr(_AUTOGRAD, "_top_saved_tensors_default_hooks", None)
    return None if top is None else top(True)


def _same(left: tuple[Any, ...] | None, right: tuple[Any, ...] | None) -> bool:
    if left is None or right is None:
        return left is right
    return all(one is other for one, other in zip(left, right, strict=True))


def _functions() -> tuple[str, ...]:
    return _modes(torch._C._len_torch_function_stack(), torch._C._get_function_stack_at)


def _dispatched() -> tuple[str, ...]:
    return _modes(torch._C._len_torch_dispatch_stack(), torch._C._get_dispatch_stack_at)


def _modes(length: int, at: Callable[[int], Any]) -> tuple[str, ...]:
    """The classes of the modes, from the outermost to the innermost; the default device is one, at the outside."""
    names = (type(at(place)).__name__ for place in range(length))
    return tuple(name for name in names if name != _SETTING)


def _pop(modes: Callable[[], tuple[str, ...]], pop: Callable[[], Any], length: int) -> None:
    while len(modes()) > length:
        pop()
