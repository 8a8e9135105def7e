"""A model is changed only within `preserved`, which restores it: bits, objects, modes and hooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, UntypedStorage, nn

from pytest_saliency_sanity.loans import Loan, lent, loan
from pytest_saliency_sanity.perturbations.restoring.caches import uncached
from pytest_saliency_sanity.perturbations.restoring.changes import changes
from pytest_saliency_sanity.perturbations.restoring.modes import mode_of
from pytest_saliency_sanity.perturbations.restoring.refusals import check_preservable
from pytest_saliency_sanity.perturbations.restoring.snapshots import (
    ModuleState,
    Snapshot,
    TensorState,
    snapshot_of,
    structure_of,
)

__all__ = ["Snapshot", "changes", "preserved", "structure_kept", "undone_unless"]


def preserved(model: nn.Module, snapshot: Snapshot | None = None) -> Loan[Snapshot]:
    """Within this context `model` may be changed at will; on leaving, even by an exception, it is restored.

    Restored are: the bits of parameters and buffers, the same objects in the same slots (also where `.data`,
    an entry of a registry or a submodule was replaced), attributes and classes of modules, training modes,
    `requires_grad`, hooks of modules and tensors, `.grad`, and the global generators of torch (CPU and CUDA),
    numpy and `random`. Within the context every `.grad` is None. No signal arrives while the state is taken or
    restored; an exception there starts the restoring anew. Hooks registered for all modules at once are out
    of reach.

    Memory: one copy of each storage, or none where `snapshot` is given: that of an enclosing `preserved` of the
    same model, to whose state it goes back. Yields the Snapshot, which `changes` compares with the present state.
    Raises TypeError for what is not an nn.Module, ValueError for lazy (uninitialized), meta, sparse and
    sharded tensors, which cannot be copied and put back.
    """
    if snapshot is not None:
        return lent(lambda: snapshot, partial(_restore, snapshot, within=True))
    check_preservable(model)
    return _preserved(model)


@loan
def _preserved(model: nn.Module) -> Iterator[Snapshot]:
    taken: list[Snapshot] = []
    with uncached(), lent(partial(_take, model, taken), partial(_give_back, taken)) as snapshot:
        yield snapshot


def undone_unless(model: nn.Module, complete: list[Any]) -> Loan[Snapshot]:
    """As `preserved`, but for the changes to stay where there is something in `complete` on leaving."""
    check_preservable(model)
    taken: list[Snapshot] = []
    return lent(partial(_take, model, taken), lambda: None if complete else _give_back(taken))


def structure_kept(model: nn.Module) -> Loan[None]:
    """As `preserved`, at the cost of no copy: the bits of the weights and the generators do not go back.

    For code that puts objects in place and takes them away (hooks, modules, parameters with other `.data`), and
    writes into none of the model's own tensors.
    """
    taken: list[tuple[tuple[ModuleState, ...], dict[int, TensorState]]] = []

    def take() -> None:
        taken.append(structure_of(model))
        _stash_gradients(taken[0][1].values())

    def give_back() -> None:
        for modules, tensors in taken:
            _restore_structure(modules, tensors.values())

    return lent(take, give_back)


def _take(model: nn.Module, taken: list[Snapshot]) -> Snapshot:
    taken.append(snapshot_of(model))
    _stash_gradients(taken[0].tensors.values())
    return taken[0]


def _give_back(taken: list[Snapshot]) -> None:
    for snapshot in taken:
        _restore(snapshot)


def _stash_gradients(tensors: Iterable[TensorState]) -> None:
    for state in tensors:
        if state.grad is not None:
            state.tensor.grad = None


def _restore(snapshot: Snapshot, within: bool = False) -> None:
    """`within` the context that took the snapshot no `.grad` comes back: it is the caller's."""
    for module in snapshot.modules:
        _restore_module(module)
    for storage, copy in snapshot.storages.values():
        _restore_storage(storage, copy)
    for tensor in snapshot.tensors.values():
        _restore_tensor(tensor)
    if within:
        _stash_gradients(snapshot.tensors.values())
    snapshot.random.restore()


def _restore_structure(modules: Iterable[ModuleState], tensors: Iterable[TensorState]) -> None:
    for module in modules:
        _restore_module(module)
    for tensor in tensors:
        _restore_tensor(tensor)


def _restore_module(state: ModuleState) -> None:
    if type(state.module) is not state.kind:
        object.__setattr__(state.module, "__class__", state.kind)
    attributes = vars(state.module)
    for added in attributes.keys() - state.attributes.keys():
        del attributes[added]
    attributes.update(state.attributes)
    for key, content in state.contents.items():
        _refill(attributes[key], content)
    # A scripted module keeps its mode elsewhere.
    if state.training is not None and mode_of(state.module) != state.training:
        state.module.training = state.training


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.extend(content) if isinstance(container, list) else container.update(content)


def _restore_storage(storage: UntypedStorage, copy: UntypedStorage) -> None:
    # Below autograd on purpose: no version counter moves, so a graph the caller holds can still go backward.
    if (
        not copy.nbytes()
    ):  # an empty tensor's, which may have grown and then cannot be resized; its alias stays empty
        return
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
