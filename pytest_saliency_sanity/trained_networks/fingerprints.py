"""What a trained network depends on, as short hashes that are the same in every process.

Code is followed as far as it is the user's: from a function to the functions, classes and constants that it names.
The standard library and installed packages count by name (`versions` tells which they were).

What is hashed is the code that is loaded, not the file that it came from: a file may be edited after its import,
two lambdas may share a line, and neither comments nor line numbers train a network.
"""

from __future__ import annotations

import argparse
import builtins
import dis
import functools
import hashlib
import importlib.metadata
import importlib.util
import numbers
import os
import re
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity.signals import is_interruption

_PLAIN = (type(None), type(...), type(NotImplemented), bool, int, float, complex, str, bytes, range)
_EXTENDED: tuple[Any, ...] = (int, float, complex, str, bytes)
_TORCH_VALUES = (torch.dtype, torch.device, torch.layout, torch.memory_format)

# What Python itself writes into a class (from 3.13 on also its place in the file) and into a module.
_CLASS_NOISE = frozenset({"__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "_abc_impl"}) | {
    "__firstlineno__", "__static_attributes__", "__annotations_cache__"
}  # fmt: skip
_MODULE_NOISE = vars(types.ModuleType("")).keys() | {"__file__", "__path__", "__cached__", "__builtins__"}
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def tensor_fingerprint(tensor: Tensor) -> str:
    """A hash of dtype, shape and values, bit by bit; the device, the strides and the gradient do not count."""
    digest = hashlib.blake2b(f"{tensor.dtype} {tuple(tensor.shape)}".encode(), digest_size=16)
    if tensor.device.type != "meta":  # which has no values
        digest.update(_bytes(tensor.detach()))
    return digest.hexdigest()


def state_fingerprint(state: Mapping[str, Any]) -> str:
    """A hash of a state dict: names, tensors, and what else a module keeps there."""
    return _fingerprint(tuple((name, _content(state[name])) for name in sorted(state)))


def code_fingerprint(subject: Any) -> str:
    """A hash of what the code of a callable, a class or an object says.

    It covers a function's instructions, defaults and closure; the arguments of a partial; the class and the
    attributes of an object, also of a bound method's; a class's bases and attributes; and, from there on, the
    functions, classes and constants of user code that are named, also as attributes of the user's modules and in
    imports within a function (which are carried out, as a call would).

    Objects of installed packages count by their type. Out of reach are names that are made up at run time
    (`getattr`, `globals`) and files that are read.
    """
    return _fingerprint(subject)


def model_fingerprint(model: nn.Module) -> str:
    """A hash of a network's architecture, of the code of its user-defined modules and of its weights.

    All attributes of its modules count but the training mode, and so does which parameters are frozen. Lazy
    parameters without values count by name.
    """
    extra = tuple((name, part) for name, part in model.state_dict().items() if not isinstance(part, Tensor))
    return _fingerprint((_without_addresses(repr(model)), model, extra))


def versions() -> dict[str, str]:
    """The versions that training depends on; "unknown" for a package that is not installed as one."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "python": python,
        **{name: _version(name) for name in ("torch", "numpy", "pytest-saliency-sanity")},
    }


def combined(*parts: str | int | float | None) -> str:
    """One key of 32 hexadecimal digits for an ordered list.

    Raises:
        TypeError: for a part of another type.
    """
    return _hashed([repr(tuple(_number(part) for part in parts))])


def _number(part: Any) -> str | int | float | None:
    """numpy's 5 is 5."""
    if part is None or isinstance(part, (str, bool)):
        return part
    if isinstance(part, numbers.Integral):
        return int(part)
    if isinstance(part, numbers.Real):
        return float(part)
    raise TypeError(f"a key is made of str, int, float and None, not of {type(part).__name__}: {part!r}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _hashed(lines: Iterable[str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        digest.update(line.encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _without_addresses(text: str) -> str:
    return re.sub(r"\b0x[0-9a-fA-F]{4,}\b", "0x", text)


# Values.


def _content(value: Any) -> Any:
    return tensor_fingerprint(value) if isinstance(value, Tensor) and not is_lazy(value) else value


def _bytes(tensor: Tensor) -> memoryview:
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor if tensor.layout == torch.strided else tensor.to_dense()
    flat = tensor.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data  # numpy has no bfloat16


def _array(array: np.ndarray | np.generic) -> tuple[Any, ...]:
    array = np.asarray(array)
    values = array.tolist() if array.dtype.hasobject else array.tobytes()  # an object's bytes are its address
    return ("array", str(array.dtype), array.shape, values)


def _tensor(tensor: Tensor) -> tuple[Any, ...]:
    if is_lazy(tensor):
        return ("uninitialized", type(tensor))
    return ("tensor", type(tensor), tensor.requires_grad, tensor_fingerprint(tensor))


# The transcript: one line for every object that is found, in the order in which they are found. An object is
# referred to by its number, which ends all cycles, and no chain of calls is too deep.


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


def _fingerprint(subject: Any) -> str:
    return _hashed(_transcript(subject))


def _transcript(subject: Any) -> Iterator[str]:
    found = _Discoveries()
    yield _token(subject, found)
    for thing in found.things:  # which grows
        yield _token(_parts(thing), found)


def _token(value: Any, found: _Discoveries) -> str:
    """Immutable values in full, as whether equal ones are one object is up to the compiler; others as a number."""
    kind = type(value)
    if kind in _PLAIN or kind in _TORCH_VALUES:
        return repr(value)
    if kind is tuple:
        return f"({' '.join(_token(part, found) for part in value)})"
    if kind is slice:
        return f"[{_token((value.start, value.stop, value.step), found)}]"
    if kind is frozenset:
        return f"{{{' '.join(_token(part, found) for part in _ordered(value))}}}"
    if isinstance(value, types.CodeType):
        return _token(_code(value), found)
    if _counts_by_name(value):
        return f"<{_name(value)}>"
    return f"#{found.number(value)}"


def _counts_by_name(value: Any) -> bool:
    if isinstance(value, type):
        return _is_installed(_home(value))
    return isinstance(value, (types.ModuleType, types.BuiltinFunctionType))


def _name(value: Any) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    return f"{_home(value)}.{value.__qualname__}"


def _home(value: Any) -> str:
    module = getattr(value, "__module__", None)
    if module == "builtins" and isinstance(value, type) and value.__flags__ & _HEAP_TYPE:
        return ""  # a class statement that was run in a namespace without a name
    return module if isinstance(module, str) else ""


def _ordered(values: Iterable[Any]) -> list[Any]:
    """The members of a set in an order that does not depend on their hashes."""
    return sorted(values, key=lambda value: (type(value).__name__, _label(value)))


def _label(value: Any) -> str:
    if type(value) is tuple:
        return " ".join(_label(part) for part in value)
    if type(value) is frozenset:
        return " ".join(sorted(_label(part) for part in value))
    return repr(value) if type(value) in _PLAIN else _given_name(value) or ""


def _parts(thing: Any) -> tuple[Any, ...]:
    """What an object consists of, as far as a fingerprint goes."""
    return next(describe for kinds, describe in _KINDS if isinstance(thing, kinds))(thing)


def _function(function: types.FunctionType) -> tuple[Any, ...]:
    closure, wrapped = _closure(function), vars(function).get("__wrapped__")
    if _is_installed(_home(function), function.__code__.co_filename):
        # Perhaps a decorator around a function of the user's, whose name functools.wraps then gave it.
        return ("installed", _name(function), function.__code__.co_name, closure, wrapped)
    defaults = (function.__defaults__, _items(function.__kwdefaults__ or {}))
    attributes = _items(vars(function))
    return ("function", function.__name__, function.__code__, defaults, closure, attributes, _named(function))


def _closure(function: types.FunctionType) -> tuple[Any, ...]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return tuple((name, *_cell(cell)) for name, cell in cells)


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not assigned yet
        return ()


def _class(kind: type) -> tuple[Any, ...]:
    attributes = {name: value for name, value in vars(kind).items() if name not in _CLASS_NOISE}
    return ("class", kind.__qualname__, kind.__bases__, type(kind), _items(attributes))


def _module(module: nn.Module) -> tuple[Any, ...]:
    common = vars(nn.Module())
    own = {name: value for name, value in _attributes(module).items() if name not in common}
    hooks = [tuple(vars(module).get(name, {}).values()) for name in sorted(common) if name.endswith("_hooks")]
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return ("module", type(module), _items(own), tensors, tuple(module.named_children()), *hooks)


def _instance(thing: Any) -> tuple[Any, ...]:
    open_book = isinstance(thing, (types.SimpleNamespace, argparse.Namespace))
    state = _attributes(thing)
    if _is_installed(_home(type(thing))) and not open_book:
        return ("instance", type(thing), _given_name(thing), _payload(thing), state.get("__wrapped__"))
    return ("instance", type(thing), _payload(thing), _items(state))


def _given_name(thing: Any) -> str | None:
    """Of what is callable without being a function: `numpy.sin`, `str.upper`."""
    names = (getattr(thing, attribute, None) for attribute in ("__qualname__", "__name__"))
    return next((name for name in names if isinstance(name, str)), None)


def _attributes(thing: Any) -> dict[str, Any]:
    own = getattr(thing, "__dict__", None)
    slots = [name for kind in type(thing).__mro__ for name in _slots(kind) if hasattr(thing, name)]
    return {**(own if isinstance(own, dict) else {}), **{name: getattr(thing, name) for name in slots}}


def _slots(kind: type) -> list[str]:
    if _is_installed(_home(kind)):
        return []
    return [name for name, value in vars(kind).items() if isinstance(value, types.MemberDescriptorType)]


def _payload(thing: Any) -> Any:
    """The value of an object whose class extends a builtin one: an enumeration's member, a named tuple."""
    if isinstance(thing, (tuple, list, deque)):
        return tuple(thing)
    if isinstance(thing, (set, frozenset)):
        return tuple(_ordered(thing))
    if isinstance(thing, (dict, types.MappingProxyType)):
        return _items(thing)
    if isinstance(thing, bytearray):
        return bytes(thing)
    return next((kind.__repr__(thing) for kind in _EXTENDED if isinstance(thing, kind)), None)


def _items(mapping: Mapping[Any, Any]) -> tuple[tuple[Any, Any], ...]:
    return tuple(mapping.items())


_KINDS: tuple[tuple[Any, Callable[[Any], tuple[Any, ...]]], ...] = (
    (Tensor, _tensor),
    ((np.ndarray, np.generic), _array),
    (types.FunctionType, _function),
    (types.MethodType, lambda method: ("method", method.__func__, method.__self__)),
    ((functools.partial, functools.partialmethod), lambda p: ("partial", p.func, p.args, _items(p.keywords))),
    ((staticmethod, classmethod), lambda method: (type(method), method.__func__)),
    (functools.cached_property, lambda p: (type(p), p.func)),
    (property, lambda p: (type(p), p.fget, p.fset, p.fdel)),
    (type, _class),
    (nn.Module, _module),
    (object, _instance),
)


# Code and the names in it.


def _code(code: types.CodeType) -> tuple[Any, ...]:
    signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    handlers = getattr(code, "co_exceptiontable", b"")  # Python 3.11
    steps = tuple((step.opname, step.argval) for step in _steps(code))
    return ("code", *signature, code.co_varnames, code.co_freevars, handlers, steps)


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    """The instructions, without what a class body notes about its place in the file (Python 3.13)."""
    steps = list(dis.get_instructions(code))
    return [step for step, after in zip(steps, [*steps[1:], None], strict=True) if not _is_note(after)]


def _is_note(step: dis.Instruction | None) -> bool:
    return step is not None and step.opname == "STORE_NAME" and step.argval in _CLASS_NOISE


def _named(function: types.FunctionType) -> tuple[tuple[str, Any], ...]:
    """The globals that a function and the functions within it name, and those of the user's modules.

    Names of attributes are not told from names of globals: one too many costs a training at worst.
    """
    codes = list(_nested(function.__code__))
    names = dict.fromkeys(name for code in codes for name in code.co_names if name not in _MODULE_NOISE)
    scope = function.__globals__
    found = [(name, scope[name]) for name in names if name in scope]
    found += [(module.__name__, module) for code in codes for module in _imported(code, scope)]
    entered: set[str] = set()
    for _, module in found:  # which grows
        if _is_users(module) and module.__name__ not in entered:
            entered.add(module.__name__)
            found += [(name, vars(module)[name]) for name in names if name in vars(module)]
    return tuple(found)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _is_users(module: Any) -> bool:
    return isinstance(module, types.ModuleType) and not _is_installed(module.__name__)


def _imported(code: types.CodeType, scope: dict[str, Any]) -> Iterator[types.ModuleType]:
    """The user's modules that a function imports when it is called.

    They are imported now: a fingerprint must not depend on whether the function was called before.
    """
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for level, names, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step.opname == "IMPORT_NAME" and isinstance(level.argval, int):
            yield from _import(step.argval, names.argval, level.argval, scope)


def _import(name: str, names: Any, level: int, scope: dict[str, Any]) -> Iterator[types.ModuleType]:
    top = name.partition(".")[0] if level == 0 else str(scope.get("__package__") or "").partition(".")[0]
    if not top or _is_installed(top):
        return
    try:
        yield builtins.__import__(name, scope, None, names or (), level)
    except (
        Exception
    ) as error:  # whatever a module of the user's raises: the call that needs it will raise it, too
        if is_interruption(error):
            raise
        return


# Whose code it is.


@functools.cache
def _is_installed(module: str, file: str = "") -> bool:
    """Whether code belongs to the standard library or to an installed package.

    Args:
        module: the name of its module.
        file: where its code was compiled, "" for where the module is.
    """
    if file.startswith("<frozen"):
        return True
    if not file or file.startswith("<"):  # generated code, as a dataclass's __init__, is its module's
        file = _file(module)
    if not file:
        return module.partition(".")[0] in sys.stdlib_module_names
    path = Path(os.path.realpath(file))
    if module.partition(".")[0] == __name__.partition(".")[0]:  # ours, also where it is installed editable
        return True
    return not _INSTALLED.isdisjoint(path.parts) or any(path.is_relative_to(home) for home in _library())


def _file(module: str) -> str:
    """The file of a module, or else of its package; "" for a builtin one.

    Also for the main one: whoever runs a prompt or a notebook there may have a file of its own.
    """
    if module == "__main__":
        return ""
    for name in (module, module.partition(".")[0]):
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str):
            return file
    return _origin(module.partition(".")[0])


def _origin(top: str) -> str:
    """Where a module that is not imported yet would come from."""
    if not top or top in sys.modules:
        return ""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    return spec.origin or "" if spec is not None and spec.has_location else ""


@functools.cache
def _library() -> tuple[Path, ...]:
    return tuple(Path(os.path.realpath(sysconfig.get_path(name))) for name in ("stdlib", "platstdlib"))
