"""An exception that is kept with a verdict: its text and its traceback as text, but no frames.

The frames of a traceback hold the model, its maps and everything else. A run over many models must not keep them all.
"""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_saliency_sanity.text import encodable

_HEADING = "Raised at (most recent call last):"
_MOST = 20  # frames that are shown
_HERE = str(Path(__file__).parent / "_")[:-1]
_PLAIN = (str, bytes, int, float, complex, type(None), Path, type, enum.Enum, BaseException)


class Shown:
    """Replaces an object in an exception that must not be kept: only its text is kept."""

    def __init__(self, value: Any) -> None:
        self._text, self._representation = _text(str, value), _text(repr, value)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return self._representation


def without_frames(error: BaseException) -> BaseException:
    """The same exception, its causes and contexts, each with its traceback as a note instead of frames.

    Objects that it carries (the model of an AttributeError, a tensor among its arguments) are replaced by their text.
    Where its own text does not survive that, a RuntimeError with that text takes its place.
    """
    for one in list(_linked(error)):
        _note_traceback(one)
        shown = _text(str, one)
        _forget_objects(one)
        if _text(str, one) != shown and one is error:
            return _replaced(error, shown)
    return error


def _linked(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        values = [
            one.__cause__,
            one.__context__,
            *getattr(one, "exceptions", ()),
            *one.args,
            *_attributes(one).values(),
        ]
        waiting += [value for value in values if isinstance(value, BaseException)]


def _note_traceback(error: BaseException) -> None:
    if error.__traceback__ is None:
        return
    entries = traceback.extract_tb(_outside(error.__traceback__), limit=-_MOST)
    lines = "".join(traceback.format_list(entries)).rstrip()
    notes = [note for note in getattr(error, "__notes__", ()) if not str(note).startswith(_HEADING)]
    error.__notes__ = [*notes, encodable(f"{_HEADING}\n{lines}")]  # add_note is Python 3.11's
    error.__traceback__ = None


def _outside(found: TracebackType) -> TracebackType:
    """From the first frame on that is not ours, or the last ones where all are."""
    own: TracebackType | None = found
    while own is not None and own.tb_frame.f_code.co_filename.startswith(_HERE):
        own = own.tb_next
    return own or found


def _forget_objects(error: BaseException) -> None:
    if not all(map(_is_plain, error.args)):
        error.args = tuple(value if _is_plain(value) else Shown(value) for value in error.args)
    for name, value in _attributes(error).items():
        if not _is_plain(value):
            setattr(error, name, Shown(value))


def _attributes(error: BaseException) -> dict[str, Any]:
    """Its own, and those that Python keeps elsewhere: the object of an AttributeError, a StopIteration's value."""
    built_in = {name: getattr(error, name, None) for name in ("obj", "value")}
    built_in = {name: value for name, value in built_in.items() if value is not None}
    return {**built_in, **getattr(error, "__dict__", {})}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return type(value) in (tuple, list, set, frozenset) and all(map(_is_plain, value))
    if isinstance(value, dict):
        return type(value) is dict and all(_is_plain(part) for item in value.items() for part in item)
    return isinstance(value, (*_PLAIN, Shown))


def _text(show: Callable[[Any], str], value: Any) -> str:
    try:
        return show(value)
    except Exception as error:  # a __str__ of the user's
        return f"<{type(value).__name__}, whose {show.__name__} raised {type(error).__name__}>"


def _replaced(error: BaseException, shown: str) -> BaseException:
    substitute = RuntimeError(f"{type(error).__name__}: {shown}")
    substitute.__cause__, substitute.__context__ = error.__cause__, error.__context__
    substitute.__suppress_context__ = error.__suppress_context__
    if notes := getattr(error, "__notes__", None):
        substitute.__notes__ = list(notes)
    return substitute
