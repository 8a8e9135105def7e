"""How values and words get into a message: on one line, not too long, and such that xdist can send them."""

from __future__ import annotations

import functools
import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def shown(value: Any, most: int = 80) -> str:
    """A value as a sentence shows it: on one line, not too long."""
    text = " ".join(_SHORT.repr(value).split())
    return encodable(text if len(text) <= most else f"{text[: most - 1]}…")


def encodable(text: str) -> str:
    """`text` with lone surrogates escaped: xdist cannot send them, and loses the test with exit code 0."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def name_of(explainer: Any) -> str:
    """A readable name: the function's, with a partial's options; an object's class."""
    if isinstance(explainer, functools.partial):
        options = ", ".join(f"{key}={shown(value)}" for key, value in explainer.keywords.items())
        return f"{name_of(explainer.func)}({options})"
    return getattr(explainer, "__name__", None) or type(explainer).__name__
