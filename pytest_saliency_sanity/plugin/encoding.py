"""What leaves an xdist worker: everything in it made of what execnet can send.

A worker that cannot send a report loses the test: exit code 0 and "no tests ran", or an INTERNALERROR. What
execnet cannot send is text with lone surrogates (what Python makes of a file name that is not UTF-8), integers
below -2**31, and everything that is not exactly of a builtin type: numpy's scalars, enums, paths.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from pytest_saliency_sanity.text import encodable

_LEAST = -(2**31)  # execnet packs every integer below 2**31 into four bytes, also one that does not fit
_MOST = 2**4096  # what is longer it sends as digits, and Python refuses to write too many of them
_DEPTH = 100  # nothing that a report carries is nested deeper, unless it holds itself


def sendable(value: Any, depth: int = 0) -> Any:
    """`value` as it is where execnet can send it; what it cannot send as the nearest builtin, else as text."""
    kind = type(value)
    if value is None or kind in (bool, float, bytes, complex):
        return value
    if isinstance(value, str):
        return encodable(str(value))
    if kind is int:
        return value if _LEAST <= value < _MOST else _text(value)
    if depth > _DEPTH:
        return _text(value)
    if isinstance(value, Mapping):
        return {sendable(key, depth + 1): sendable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return _collection(value)([sendable(item, depth + 1) for item in value])
    return _plain(value, depth)


def make_warning_sendable(message: warnings.WarningMessage) -> None:
    """Change a recorded warning in place, whose arguments and text xdist sends beside the reports."""
    warning = message.message
    if not isinstance(warning, Warning):
        message.message = encodable(str(warning))
        return
    warning.args = tuple(sendable(one) if isinstance(one, (str, int)) else one for one in warning.args)
    text = _text(warning)
    try:
        intact = str(warning) == text
    except Exception:
        intact = False
    if not intact:  # its class makes the text of something else
        message.message = Warning(text)


def _collection(value: Any) -> type:
    """The exact builtin type: pytest tells a skip's (path, line, reason) by its being a tuple."""
    return next(kind for kind in (list, tuple, frozenset, set) if isinstance(value, kind))


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, int):
        return sendable(int(value), depth + 1)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, os.PathLike):
        return sendable(os.fspath(value), depth + 1)
    try:
        return sendable(value.tolist(), depth + 1)  # numpy, torch
    except Exception:
        return _text(value)


def _text(value: Any) -> str:
    try:
        return encodable(str(value))
    except Exception:
        return f"<{type(value).__name__} that cannot be printed>"
