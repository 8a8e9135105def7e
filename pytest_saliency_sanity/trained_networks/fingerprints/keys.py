"""Keys: one hash for all that a network depends on."""

from __future__ import annotations

import importlib.metadata
import numbers
import sys
from typing import Any

from pytest_saliency_sanity.trained_networks.fingerprints.transcript import hashed


def combined(*parts: str | int | float | None) -> str:
    """One key of 32 hexadecimal digits for an ordered list.

    Raises:
        TypeError: for a part of another type.
    """
    return hashed([repr(tuple(_number(part) for part in parts))])


def versions() -> dict[str, str]:
    """The versions that training depends on; "unknown" for a package that is not installed as one."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        "python": python,
        **{name: _version(name) for name in ("torch", "numpy", "pytest-saliency-sanity")},
    }


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
