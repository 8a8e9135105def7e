"""A model is changed only within `preserved`, which gives it back: bits, objects, modes and hooks."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn

from .refusals import check_preservable
from .streams import RandomState, random_state

CONTAINERS = (dict, OrderedDict, list, set)
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
# A late Ctrl-C, a runner's SIGTERM and the alarm of a test timeout must not leave a model half restored.
DEFERRED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, eq=False)
class ModuleState:
    """What one module held: its class, its attributes, and the contents of those that are containers."""

    name: str
    module: nn.Module
    kind: type
    training: bool
    attributes: dict[str, Any] = field(repr=False)
    contents: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, eq=False)
class TensorState:
    """What one parameter or buffer was: `alias` is its own memory, `storage` the key of the copied values."""

    name: str
    aspect: str
    tensor: Tensor = field(repr=False)
    alias: Tensor = field(repr=False)
    storage: tuple[str, int]
    requires_grad: bool
    grad: Tensor | None = field(repr=False)
    hooks: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A model's state on entering `preserved`; a storage is copied once, however many tensors share it."""

    model: nn.Module
    modules: tuple[ModuleState, ...] = field(repr=False)
    tensors: dict[int, TensorState] = field(repr=False)
    storages: dict[tuple[str, int], tuple[UntypedStorage, UntypedStorage]] = field(repr=False)
    random: RandomState = field(repr=False)

    def value(self, tensor: Tensor) -> Tensor:
        """The values `tensor` (an object of the model's parameters or buffers) had; do not write to them."""
        return _saved(self, self.tensors[id(tensor)])


@contextlib.contextmanager
def preserved(model: nn.Module, snapshot: Snapshot | None = None) -> Iterator[Snapshot]:
    """Within this context `model` may be changed at will; on leaving, however that happens, it is as before.

    Given back: the bits of parameters and buffers, the same objects in the same slots (also where `.data`,
    an entry of a registry or a submodule was replaced), attributes and classes of modules, training modes,
    `requires_grad`, hooks of modules and tensors, `.grad`, and the global generators of torch (CPU and CUDA),
    numpy and `random`. Within the context every `.grad` is None. Signals that arrive while the model is being
    given back are delivered afterwards. Hooks registered for all modules at once are out of reach.

    Memory: one copy of each storage, or none where `snapshot` is given: that of an enclosing `preserved` of the
    same model, to whose state it goes back. Yields the Snapshot, which `changes` compares with the present state.
    Raises TypeError for what is not an nn.Module, ValueError for lazy (uninitialized), meta, sparse and
    sharded tensors, which cannot be copied and put back.
    """
    if snapshot is None:
        with _given_back(model) as own:
            yield own
        return
    try:
        yield snapshot
    finally:
        _uninterrupted(lambda: _restore(snapshot, within=True))


@contextlib.contextmanager
def _given_back(model: nn.Module) -> Iterator[Snapshot]:
    check_preservable(model)
    snapshot = _snapshot(model)
    try:
        _stash_gradients(snapshot)
        yield snapshot
    finally:
        _uninterrupted(lambda: _restore(snapshot))


def changes(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """What differs from the snapshot now, before it is undone: aspect -> qualified names; empty if nothing.

    The aspects are "weights", "buffers", "modes", "hooks", "modules" (a submodule, a class or a `forward` was
    replaced) and "requires_grad". The root module's name is "". Values are compared bit by bit.
    """
    tensors = snapshot.tensors.values()
    found = {
        "weights": _changed_tensors(snapshot, "weights") + _changed_slots(snapshot, "_parameters"),
        "buffers": _changed_tensors(snapshot, "buffers") + _changed_slots(snapshot, "_buffers"),
        "modes": [s.name for s in snapshot.modules if s.module.training != s.training],
        "hooks": _changed_hooks(snapshot),
        "modules": [s.name for s in snapshot.modules if _restructured(s)],
        "requires_grad": [s.name for s in tensors if s.tensor.requires_grad != s.requires_grad],
    }
    return {aspect: tuple(dict.fromkeys(names)) for aspect, names in found.items() if names}


# Taking the snapshot.


def _snapshot(model: nn.Module) -> Snapshot:
    modules = tuple(_module_state(name, module) for name, module in model.named_modules())
    tensors = {id(state.tensor): state for state in _tensor_states(model)}
    return Snapshot(model, modules, tensors, _copied_storages(tensors.values()), random_state())


def _module_state(name: str, module: nn.Module) -> ModuleState:
    attributes = dict(vars(module))
    contents = {key: value.copy() for key, value in attributes.items() if type(value) in CONTAINERS}
    return ModuleState(name, module, type(module), module.training, attributes, contents)


def _tensor_states(model: nn.Module) -> Iterator[TensorState]:
    # named_parameters() gives each object once; one that is both parameter and buffer cannot exist.
    for name, parameter in model.named_parameters():
        yield _tensor_state(name, "weights", parameter)
    for name, buffer in model.named_buffers():
        yield _tensor_state(name, "buffers", buffer)


def _tensor_state(name: str, aspect: str, tensor: Tensor) -> TensorState:
    hooks = {attribute: getattr(tensor, attribute, None) for attribute in TENSOR_HOOKS}
    copies = {key: (value, None if value is None else value.copy()) for key, value in hooks.items()}
    grad = tensor.grad if tensor.is_leaf else None
    alias = tensor.data
    key = str(alias.device), alias.untyped_storage().data_ptr()
    return TensorState(name, aspect, tensor, alias, key, tensor.requires_grad, grad, copies)


def _copied_storages(
    tensors: Iterable[TensorState],
) -> dict[tuple[str, int], tuple[UntypedStorage, UntypedStorage]]:
    copies = {}
    for state in tensors:
        if state.storage not in copies:
            storage = state.alias.untyped_storage()
            copies[state.storage] = (storage, storage.clone())
    return copies


def _stash_gradients(snapshot: Snapshot) -> None:
    for state in snapshot.tensors.values():
        if state.grad is not None:
            state.tensor.grad = None


# Giving back.


def _restore(snapshot: Snapshot, within: bool = False) -> None:
    """`within` the context that took the snapshot no `.grad` comes back: it is the caller's."""
    for module in snapshot.modules:
        _restore_module(module)
    for storage, copy in snapshot.storages.values():
        _restore_storage(storage, copy)
    for tensor in snapshot.tensors.values():
        _restore_tensor(tensor)
    if within:
        _stash_gradients(snapshot)
    snapshot.random.restore()


def _restore_module(state: ModuleState) -> None:
    if type(state.module) is not state.kind:
        object.__setattr__(state.module, "__class__", state.kind)
    attributes = vars(state.module)
    for added in attributes.keys() - state.attributes.keys():
        del attributes[added]
    attributes.update(state.attributes)
    for key, content in state.contents.items():
        _refill(attributes[key], content)
    if state.module.training != state.training:  # a scripted module keeps its mode elsewhere
        state.module.training = state.training


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.extend(content) if isinstance(container, list) else container.update(content)


def _restore_storage(storage: UntypedStorage, copy: UntypedStorage) -> None:
    # Below autograd on purpose: no version counter moves, so a graph the caller holds can still go backward.
    if storage.nbytes() != copy.nbytes():
        storage.resize_(copy.nbytes())
    storage.copy_(copy)


def _restore_tensor(state: TensorState) -> None:
    tensor = state.tensor
    if state.alias.is_leaf and tensor.grad_fn is not None and not state.requires_grad:
        tensor.detach_()
    if _geometry(tensor) != _geometry(state.alias):
        tensor.data = state.alias
    if tensor.requires_grad != state.requires_grad:
        tensor.requires_grad_(state.requires_grad)
    if tensor.is_leaf and tensor.grad is not state.grad:
        tensor.grad = state.grad
    for attribute, (hooks, content) in state.hooks.items():
        if getattr(tensor, attribute, None) is not hooks:
            setattr(tensor, attribute, hooks)
        if hooks is not None:
            _refill(hooks, content)


def _geometry(tensor: Tensor) -> tuple[Any, ...]:
    return (tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride())


def _uninterrupted(action: Callable[[], None]) -> None:
    # `action` is idempotent: an interrupt in the few instructions before signals are deferred repeats it.
    interrupt = None
    while True:
        try:
            arrived = _with_signals_deferred(action)
            break
        except KeyboardInterrupt as error:
            interrupt = error
    for number in dict.fromkeys(arrived):
        signal.raise_signal(number)
    if interrupt is not None:
        raise interrupt


def _with_signals_deferred(action: Callable[[], None]) -> list[int]:
    """Runs `action`; returns the signals that arrived meanwhile. Only the main thread ever gets any."""
    arrived: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        action()
        return arrived
    handlers = {number: signal.getsignal(number) for number in DEFERRED}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: arrived.append(number))
        action()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return arrived


# Comparing.


def _changed_tensors(snapshot: Snapshot, aspect: str) -> list[str]:
    states = [state for state in snapshot.tensors.values() if state.aspect == aspect]
    return [state.name for state in states if not _identical(state.tensor.data, _saved(snapshot, state))]


def _saved(snapshot: Snapshot, state: TensorState) -> Tensor:
    alias, (_, copy) = state.alias, snapshot.storages[state.storage]
    empty = torch.empty(0, dtype=alias.dtype, device=alias.device)
    return empty.set_(copy, alias.storage_offset(), alias.shape, alias.stride())


def _identical(a: Tensor, b: Tensor) -> bool:
    if (a.device, a.dtype, a.shape) != (b.device, b.dtype, b.shape):
        return False
    return torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    # NaN differs from itself and -0 equals 0: compare the bits.
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.view(INTEGERS[real.element_size()])


def _changed_slots(snapshot: Snapshot, registry: str) -> list[str]:
    return [
        _qualified(state.name, slot)
        for state in snapshot.modules
        if registry in state.contents
        for slot in _changed_keys(state.contents[registry], vars(state.module).get(registry, {}))
    ]


def _changed_keys(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    missing = object()
    return [key for key in [*before, *now] if before.get(key, missing) is not now.get(key, missing)]


def _changed_hooks(snapshot: Snapshot) -> list[str]:
    modules = [state.name for state in snapshot.modules if _hooks_changed(state)]
    return modules + [state.name for state in snapshot.tensors.values() if _tensor_hooks_changed(state)]


def _hooks_changed(state: ModuleState) -> bool:
    hooks = [key for key in state.contents if key.endswith("hooks")]
    return any(_changed_keys(state.contents[key], vars(state.module).get(key, {})) for key in hooks)


def _tensor_hooks_changed(state: TensorState) -> bool:
    return any(
        _changed_keys(content or {}, getattr(state.tensor, attribute, None) or {})
        for attribute, (_, content) in state.hooks.items()
    )


def _restructured(state: ModuleState) -> bool:
    attributes = vars(state.module)
    scripted = "_modules" not in state.contents
    submodules = [] if scripted else _changed_keys(state.contents["_modules"], attributes["_modules"])
    forward = attributes.get("forward") is not state.attributes.get("forward")
    return bool(submodules) or type(state.module) is not state.kind or forward


def _qualified(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
