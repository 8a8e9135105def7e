"""Classes, modules of networks and other objects: their attributes."""

from __future__ import annotations

import argparse
import types
from collections import deque
from typing import Any

from torch import nn

from pytest_saliency_sanity.trained_networks.fingerprints.origins import home, is_installed
from pytest_saliency_sanity.trained_networks.fingerprints.values import given_name, items, ordered

_EXTENDED: tuple[Any, ...] = (int, float, complex, str, bytes)
# What Python itself writes into a class, from 3.13 on also its place in the file.
CLASS_NOISE = frozenset({"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "_abc_impl"}) | {
    "__firstlineno__", "__static_attributes__", "__annotations_cache__"
}  # fmt: skip


def class_parts(kind: type) -> tuple[Any, ...]:
    """A class of the user's: its bases and attributes."""
    attributes = {name: value for name, value in vars(kind).items() if name not in CLASS_NOISE}
    return ("class", kind.__qualname__, kind.__bases__, type(kind), items(attributes))


def module_parts(module: nn.Module) -> tuple[Any, ...]:
    """A part of a network: its attributes, tensors, children and hooks."""
    common = vars(nn.Module())
    own = {name: value for name, value in _attributes(module).items() if name not in common}
    hooks = [tuple(vars(module).get(name, {}).values()) for name in sorted(common) if name.endswith("_hooks")]
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return ("module", type(module), items(own), tensors, tuple(module.named_children()), *hooks)


def instance_parts(thing: Any) -> tuple[Any, ...]:
    """Any other object: its value and, where its class is the user's, its attributes."""
    open_book = isinstance(thing, (types.SimpleNamespace, argparse.Namespace))
    state = _attributes(thing)
    if is_installed(home(type(thing))) and not open_book:
        return ("instance", type(thing), given_name(thing), _payload(thing), state.get("__wrapped__"))
    return ("instance", type(thing), _payload(thing), items(state))


def _attributes(thing: Any) -> dict[str, Any]:
    own = getattr(thing, "__dict__", None)
    slots = [name for kind in type(thing).__mro__ for name in _slots(kind) if hasattr(thing, name)]
    return {**(own if isinstance(own, dict) else {}), **{name: getattr(thing, name) for name in slots}}


def _slots(kind: type) -> list[str]:
    if is_installed(home(kind)):
        return []
    return [name for name, value in vars(kind).items() if isinstance(value, types.MemberDescriptorType)]


def _payload(thing: Any) -> Any:
    """The value of an object whose class extends a builtin one: an enumeration's member, a named tuple."""
    if isinstance(thing, (tuple, list, deque)):
        return tuple(thing)
    if isinstance(thing, (set, frozenset)):
        return tuple(ordered(thing))
    if isinstance(thing, (dict, types.MappingProxyType)):
        return items(thing)
    if isinstance(thing, bytearray):
        return bytes(thing)
    return next((kind.__repr__(thing) for kind in _EXTENDED if isinstance(thing, kind)), None)
