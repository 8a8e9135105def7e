"""Functions: their instructions, defaults and closures, and the names in them."""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterator
from typing import Any

from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks.fingerprints.objects import CLASS_NOISE
from pytest_saliency_sanity.trained_networks.fingerprints.origins import home, is_installed, qualified_name
from pytest_saliency_sanity.trained_networks.fingerprints.values import items

_MODULE_NOISE = vars(types.ModuleType("")).keys() | {"__file__", "__path__", "__cached__", "__builtins__"}


def function_parts(function: types.FunctionType) -> tuple[Any, ...]:
    """What a function does; its name where it is installed."""
    closure, wrapped = _closure(function), vars(function).get("__wrapped__")
    if is_installed(home(function), function.__code__.co_filename):
        # Perhaps a decorator around a function of the user's, whose name functools.wraps then gave it.
        return ("installed", qualified_name(function), function.__code__.co_name, closure, wrapped)
    defaults = (function.__defaults__, items(function.__kwdefaults__ or {}))
    attributes = items(vars(function))
    return ("function", function.__name__, function.__code__, defaults, closure, attributes, _named(function))


def code_parts(code: types.CodeType) -> tuple[Any, ...]:
    """The instructions, without lines and files."""
    signature = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    handlers = getattr(code, "co_exceptiontable", b"")  # Python 3.11
    steps = tuple((step.opname, step.argval) for step in _steps(code))
    return ("code", *signature, code.co_varnames, code.co_freevars, handlers, steps)


def _closure(function: types.FunctionType) -> tuple[Any, ...]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return tuple((name, *_cell(cell)) for name, cell in cells)


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not assigned yet
        return ()


def _steps(code: types.CodeType) -> list[dis.Instruction]:
    """The instructions, without what a class body notes about its place in the file (Python 3.13)."""
    steps = list(dis.get_instructions(code))
    return [step for step, after in zip(steps, [*steps[1:], None], strict=True) if not _is_note(after)]


def _is_note(step: dis.Instruction | None) -> bool:
    return step is not None and step.opname == "STORE_NAME" and step.argval in CLASS_NOISE


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
    return isinstance(module, types.ModuleType) and not is_installed(module.__name__)


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
    if not top or is_installed(top):
        return
    try:
        yield builtins.__import__(name, scope, None, names or (), level)
    except Exception as error:  # of any kind: the call that needs the user's module will raise it, too
        if is_interruption(error):
            raise
