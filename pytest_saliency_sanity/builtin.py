"""Values made of dict, list, str, int, float, bool and None only: what JSON has, and what xdist can send."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from pytest_saliency_sanity.text import encodable

NOT_FINITE = "not_finite"


def as_builtin(value: Any) -> Any:
    """`value` made of dict, list, str, int, float, bool and None only; not-finite numbers become None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {encodable(str(key)): as_builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_builtin(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, tensors
        return as_builtin(value.tolist()) if not isinstance(value, float) else _finite(float(value))
    if isinstance(value, int):
        return int(value)
    return _finite(float(value)) if isinstance(value, float) else encodable(str(value))


def _finite(number: float) -> float | None:
    return number if abs(number) < float("inf") else None


def as_json(value: Any) -> dict[str, Any]:
    """The fields of a dataclass as builtin types.

    Numbers that are not finite are None, and then "not_finite" says which they are: {"upper": "inf"}.
    """
    fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    odd = {
        name: repr(one) for name, one in fields.items() if isinstance(one, float) and not math.isfinite(one)
    }
    return {**as_builtin(fields), **({NOT_FINITE: odd} if odd else {})}


def fields_of(kind: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the dataclass `kind`, read from what `as_json` gave.

    Raises:
        KeyError: for a field that is missing.
    """
    infinite = {name: float(text) for name, text in given.get(NOT_FINITE, {}).items()}
    return {**{item.name: given[item.name] for item in dataclasses.fields(kind)}, **infinite}


def _number(value: Any) -> float:
    """One NaN for all: so a value with a NaN equals the one that is read from its JSON."""
    number = float(value)
    return math.nan if math.isnan(number) else number


def _text(value: Any) -> str:
    return encodable(str(value))


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(_text, values))


_CASTS: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "float": _number,
    "float | None": _number,
    "int": int,
    "str": _text,
    "Mapping[str, Any]": as_builtin,
    "tuple[str, ...]": _texts,
    "tuple[str, str, str]": _texts,
}


def cast_fields(value: Any) -> None:
    """Make numpy and torch scalars builtin on the way in, so that no value object ever holds one."""
    for item in dataclasses.fields(value):
        present = getattr(value, item.name)
        if item.type in _CASTS and present is not None:
            object.__setattr__(value, item.name, _CASTS[str(item.type)](present))
