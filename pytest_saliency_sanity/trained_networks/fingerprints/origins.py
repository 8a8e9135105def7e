"""Whose code it is: the user's, or that of the standard library and of installed packages."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_INSTALLED = frozenset({"site-packages", "dist-packages"})


@functools.cache
def is_installed(module: str, file: str = "") -> bool:
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
    return not _INSTALLED.isdisjoint(path.parts) or any(path.is_relative_to(folder) for folder in _library())


def home(value: Any) -> str:
    """The name of the module of a class or a function, or ""."""
    module = getattr(value, "__module__", None)
    if module == "builtins" and isinstance(value, type) and value.__flags__ & _HEAP_TYPE:
        return ""  # a class statement that was run in a namespace without a name
    return module if isinstance(module, str) else ""


def qualified_name(value: Any) -> str:
    """The name of a module, a class or a function, with that of its module."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    return f"{home(value)}.{value.__qualname__}"


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
