"""How a model differs from its snapshot."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.restoring.modes import mode_of
from pytest_saliency_sanity.perturbations.restoring.snapshots import ModuleState, Snapshot, TensorState

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def changes(snapshot: Snapshot) -> dict[str, tuple[str, ...]]:
    """What differs from the snapshot now, before it is undone: aspect -> qualified names; empty if nothing.

    The aspects are "weights", "buffers", "modes", "hooks", "modules" (a submodule, a class or a `forward` was
    replaced) and "requires_grad". The root module's name is "". Values are compared bit by bit.
    """
    tensors = snapshot.tensors.values()
    found = {
        "weights": _changed_tensors(snapshot, "weights") + _changed_slots(snapshot, "_parameters"),
        "buffers": _changed_tensors(snapshot, "buffers") + _changed_slots(snapshot, "_buffers"),
        "modes": [s.name for s in snapshot.modules if mode_of(s.module) != s.training],
        "hooks": _changed_hooks(snapshot),
        "modules": [s.name for s in snapshot.modules if _restructured(s)],
        "requires_grad": [s.name for s in tensors if s.tensor.requires_grad != s.requires_grad],
    }
    return {aspect: tuple(dict.fromkeys(names)) for aspect, names in found.items() if names}


def restructured(snapshot: Snapshot) -> bool:
    """Whether modules were added, removed or replaced, or their `forward`."""
    return any(map(_restructured, snapshot.modules))


def _changed_tensors(snapshot: Snapshot, aspect: str) -> list[str]:
    states = [state for state in snapshot.tensors.values() if state.aspect == aspect]
    return [state.name for state in states if not _identical(state.tensor.data, snapshot.saved(state))]


def _identical(a: Tensor, b: Tensor) -> bool:
    if (a.device, a.dtype, a.shape) != (b.device, b.dtype, b.shape):
        return False
    return torch.equal(_bits(a), _bits(b))


def checksum(tensor: Tensor) -> int:
    """A checksum of the bytes of a tensor: it tells states apart, but is no protection against manipulation."""
    copied = tensor.detach().to("cpu", copy=True)  # the storage of what numpy has seen can be resized no more
    return zlib.crc32(copied.reshape(-1).view(torch.uint8).numpy().data)


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
    # A scripted module keeps its methods there once they are looked up.
    forward = not scripted and attributes.get("forward") is not state.attributes.get("forward")
    return bool(submodules) or type(state.module) is not state.kind or forward


def _qualified(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
