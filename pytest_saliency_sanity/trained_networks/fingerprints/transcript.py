"""The transcript of an object: a line for every object that is found from there, in the order in which they are found.

An object is referred to by its number, which ends all cycles, and no chain of calls is too deep. What is hashed is the
code that is loaded, not the file that it came from: a file may be edited after its import, two lambdas may share a
line, and neither comments nor line numbers train a network.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.trained_networks.fingerprints.functions import code_parts, function_parts
from pytest_saliency_sanity.trained_networks.fingerprints.objects import (
    class_parts,
    instance_parts,
    module_parts,
)
from pytest_saliency_sanity.trained_networks.fingerprints.origins import home, is_installed, qualified_name
from pytest_saliency_sanity.trained_networks.fingerprints.values import (
    PLAIN,
    array_parts,
    items,
    ordered,
    tensor_parts,
)

_TORCH_VALUES = (torch.dtype, torch.device, torch.layout, torch.memory_format)


def code_fingerprint(subject: Any) -> str:
    """A hash of what the code of a callable, a class or an object says.

    It covers a function's instructions, defaults and closure; the arguments of a partial; the class and the
    attributes of an object, also of a bound method's; a class's bases and attributes; and, from there on, the
    functions, classes and constants of user code that are named, also as attributes of the user's modules and in
    imports within a function (which are carried out, as a call would).

    Objects of installed packages count by their type. Out of reach are names that are made up at run time
    (`getattr`, `globals`) and files that are read.
    """
    return fingerprint(subject)


def fingerprint(subject: Any) -> str:
    """A hash of the transcript of any object."""
    return hashed(_transcript(subject))


def hashed(lines: Iterable[str]) -> str:
    """32 hexadecimal digits for lines of text."""
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _transcript(subject: Any) -> Iterator[str]:
    found = _Discoveries()
    yield _token(subject, found)
    for thing in found.things:  # which grows
        yield _token(_parts(thing), found)


@dataclass
class _Discoveries:
    """Objects, numbered by identity. They are kept, as an address may be given to another object otherwise."""

    numbers: dict[int, int] = field(default_factory=dict)
    things: list[Any] = field(default_factory=list)

    def number(self, thing: Any) -> int:
        if id(thing) not in self.numbers:
            self.numbers[id(thing)] = len(self.things)
            self.things.append(thing)
        return self.numbers[id(thing)]


def _token(value: Any, found: _Discoveries) -> str:
    """Immutable values in full, as whether equal ones are one object is up to the compiler; others as a number."""
    kind = type(value)
    if kind in PLAIN or kind in _TORCH_VALUES:
        return repr(value)
    if kind is tuple:
        return f"({' '.join(_token(part, found) for part in value)})"
    if kind is slice:
        return f"[{_token((value.start, value.stop, value.step), found)}]"
    if kind is frozenset:
        return f"{{{' '.join(_token(part, found) for part in ordered(value))}}}"
    if isinstance(value, types.CodeType):
        return _token(code_parts(value), found)
    if _counts_by_name(value):
        return f"<{qualified_name(value)}>"
    return f"#{found.number(value)}"


def _counts_by_name(value: Any) -> bool:
    if isinstance(value, type):
        return is_installed(home(value))
    return isinstance(value, (types.ModuleType, types.BuiltinFunctionType))


def _parts(thing: Any) -> tuple[Any, ...]:
    """What an object consists of, as far as a fingerprint goes."""
    return next(describe for kinds, describe in _KINDS if isinstance(thing, kinds))(thing)


_KINDS: tuple[tuple[Any, Callable[[Any], tuple[Any, ...]]], ...] = (
    (Tensor, tensor_parts),
    ((np.ndarray, np.generic), array_parts),
    (types.FunctionType, function_parts),
    (types.MethodType, lambda method: ("method", method.__func__, method.__self__)),
    ((functools.partial, functools.partialmethod), lambda p: ("partial", p.func, p.args, items(p.keywords))),
    ((staticmethod, classmethod), lambda method: (type(method), method.__func__)),
    (functools.cached_property, lambda p: (type(p), p.func)),
    (property, lambda p: (type(p), p.fget, p.fset, p.fdel)),
    (type, class_parts),
    (nn.Module, module_parts),
    (object, instance_parts),
)
