"""A model's state, written down so that it can be compared and put back: bits, objects, modes and hooks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, UntypedStorage, nn

from pytest_saliency_sanity.perturbations.restoring.modes import mode_of
from pytest_saliency_sanity.perturbations.restoring.streams import RandomState, random_state

CONTAINERS = (dict, OrderedDict, list, set)
TENSOR_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


@dataclass(frozen=True, eq=False)
class ModuleState:
    """What one module held: its class, its attributes, and the contents of those that are containers."""

    name: str
    module: nn.Module
    kind: type
    training: bool | None
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
        return self.saved(self.tensors[id(tensor)])

    def saved(self, state: TensorState) -> Tensor:
        """The values of one of its tensors; do not write to them."""
        alias, (_, copy) = state.alias, self.storages[state.storage]
        empty = torch.empty(0, dtype=alias.dtype, device=alias.device)
        return empty.set_(copy, alias.storage_offset(), alias.shape, alias.stride())


# Taking the snapshot.


def snapshot_of(model: nn.Module) -> Snapshot:
    """The present state of a model and of the global generators."""
    modules, tensors = structure_of(model)
    return Snapshot(model, modules, tensors, _copied_storages(tensors.values()), random_state())


def structure_of(model: nn.Module) -> tuple[tuple[ModuleState, ...], dict[int, TensorState]]:
    """A model's modules and tensors, without a copy of their bits."""
    modules = tuple(_module_state(name, module) for name, module in model.named_modules())
    return modules, {id(state.tensor): state for state in _tensor_states(model)}


def _module_state(name: str, module: nn.Module) -> ModuleState:
    attributes = dict(vars(module))
    contents = {key: value.copy() for key, value in attributes.items() if type(value) in CONTAINERS}
    return ModuleState(name, module, type(module), mode_of(module), attributes, contents)


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
            copy = storage.clone()
            copies[state.storage] = (storage, copy)
    return copies
