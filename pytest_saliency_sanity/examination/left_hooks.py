"""Hooks that an explainer registers and leaves in place: on what it was given, on other modules, for the whole process.

Every hook of torch has a handle, which knows the registry that the hook is in. The handles that are made during a call
are noted; afterwards each registry that is still alive shows whether its hook is still there.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pytest_saliency_sanity.loans import Loan, lent
from pytest_saliency_sanity.perturbations.restoring.snapshots import TENSOR_HOOKS

Left = tuple[Callable[[], Any], int]  # a reference to the registry, and the hook's key in it


def noting_hooks(made: list[Left]) -> Loan[None]:
    """Within this context every hook that this thread registers is added to `made`."""
    initialize, thread = RemovableHandle.__init__, threading.get_ident()

    def initialize_and_note(handle: RemovableHandle, *args: Any, **options: Any) -> None:
        initialize(handle, *args, **options)
        if threading.get_ident() == thread:
            made.append((handle.hooks_dict_ref, handle.id))

    def put(function: Any) -> None:
        RemovableHandle.__init__ = function  # type: ignore[method-assign]

    return lent(lambda: put(initialize_and_note), lambda: put(initialize))


def still_there(made: Iterable[Left], model: nn.Module) -> list[Left]:
    """Those that are in a living registry, other than one of the model's, which are looked at by themselves."""
    alive = [(reference, key) for reference, key in made if key in (reference() or ())]
    own = {id(registry) for registry in _of_model(model)} if alive else set()
    return [(reference, key) for reference, key in alive if id(reference()) not in own]


def on_inputs(inputs: Any) -> tuple[str, ...]:
    """Hooks on the very tensors that the explainer was given, in words."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    count = sum(len(getattr(part, kind, None) or ()) for part in parts for kind in TENSOR_HOOKS)
    return (f"hooks on its inputs ({count})",) if count else ()


def owners(left: Iterable[Left]) -> tuple[str, ...]:
    """The classes of the modules, and the leaf tensors, that the registries belong to; it looks at every object."""
    wanted = {id(reference()) for reference, _ in left}
    found = (_owner(one, wanted) for one in gc.get_objects())
    return tuple(dict.fromkeys(name for name in found if name))


def _owner(one: Any, wanted: set[int]) -> str:
    if issubclass(type(one), nn.Module):
        return type(one).__name__ if any(id(value) in wanted for value in vars(one).values()) else ""
    if issubclass(type(one), Tensor) and one.is_leaf:
        return "a tensor" if any(id(getattr(one, kind, None)) in wanted for kind in TENSOR_HOOKS) else ""
    return ""


def _of_model(model: nn.Module) -> Iterator[Any]:
    for module in model.modules():
        yield from (value for value in vars(module).values() if isinstance(value, Mapping))
    for tensor in (*model.parameters(), *model.buffers()):
        yield from (getattr(tensor, kind, None) for kind in TENSOR_HOOKS)
