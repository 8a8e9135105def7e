"""Signals whose handlers raise: deferred while state is restored, and told apart from what a model raises itself."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
Handlers = dict[int, Any]

# A Ctrl-C, a runner's SIGTERM, the alarm of a test's timeout, and what else a project may raise exceptions by.
DEFERRED = tuple(
    getattr(signal, name)
    for name in (
        "SIGINT", "SIGTERM", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGBREAK",
    )
    if hasattr(signal, name)
)  # fmt: skip


def deferred(action: Callable[[], T]) -> T:
    """The result of `action`, in which no signal arrives: each is delivered to its own handler afterwards.

    Only the main thread ever gets signals; elsewhere `action` is just called. The handlers that were there are put
    back however this ends.

    Raises:
        BaseException: what `action` raises, and what the handlers of the signals that arrived raise: the first one.
    """
    if threading.current_thread() is not threading.main_thread():
        return action()
    handlers, arrived = _handlers(), list[int]()
    try:
        try:
            for number in handlers:
                signal.signal(number, lambda number, frame: arrived.append(number))
            return action()
        finally:
            _put_back(handlers)
    finally:  # an exception on the way there has left some of them
        _put_back(handlers)
        _deliver(arrived)


def raise_first(errors: Iterable[BaseException]) -> None:
    """Raise the first of several exceptions, the others chained to it as its context; nothing if there are none."""
    distinct = list(dict.fromkeys(errors))
    if not distinct:
        return
    first, *others = distinct
    for error in others:
        if all(known is not error for known in chain(first)):
            list(chain(first))[-1].__context__ = error
    raise first


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, its context, the context's, and so on."""
    seen: list[BaseException] = []
    present: BaseException | None = error
    while present is not None and all(known is not present for known in seen):
        seen.append(present)
        yield present
        present = present.__context__


def is_interruption(error: BaseException) -> bool:
    """Whether an exception comes from outside the code that it passes: a signal's handler, a trace function, restoring.

    A timeout's alarm may ring inside a model. Its TimeoutError says nothing of the model, and has to go on.
    """
    known = set(_interrupting) | {code for handler in _handlers().values() for code in _codes(handler)}
    return any(frame.f_code in known or _is_handling(frame) for frame in _frames(error.__traceback__))


def interrupting(function: Callable[..., T]) -> Callable[..., T]:
    """Decorator: what is raised out of `function` is an interruption, wherever it arrives."""
    _interrupting.add(function.__code__)
    return function


_SHOWN = 20  # exceptions that are chained, of a storm of signals
_EVENTS = {"call", "line", "return", "exception", "opcode"}
_interrupting: set[CodeType] = set()


def _handlers() -> Handlers:
    present = {number: signal.getsignal(number) for number in DEFERRED}
    return {number: handler for number, handler in present.items() if callable(handler)}


def _put_back(handlers: Handlers) -> None:
    """Each handler that is put back lets its signal raise again, also while the next one's turn is pending."""
    errors: list[BaseException] = []
    while missing := [n for n, handler in handlers.items() if signal.getsignal(n) is not handler]:
        try:
            for number in missing:
                signal.signal(number, handlers[number])
        except BaseException as error:
            errors = [*errors, error][:_SHOWN]
    raise_first(errors)


def _deliver(arrived: list[int]) -> None:
    errors = []
    numbers = list(
        dict.fromkeys(arrived)
    )  # as the system does it: one that is waiting already is not counted
    arrived.clear()
    while numbers:
        try:
            signal.raise_signal(numbers.pop(0))
        except BaseException as error:
            errors.append(error)
    raise_first(errors)


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _is_handling(frame: FrameType) -> bool:
    """Whether Python called a frame on its own, and not the code in which it appears.

    As handlers are, with the signal's number and the frame that was interrupted: by now the signal may have another
    handler, as where one is meant for a single alarm. Or as the functions of `sys.settrace` and `sys.monitoring`.
    """
    back = frame.f_back
    if back is None:
        return False
    values = list(frame.f_locals.values())
    values += [
        part for value in values if type(value) is tuple for part in value
    ]  # *arguments of a decorator
    if any(value is back for value in values):
        return any(_is_number(value) or (isinstance(value, str) and value in _EVENTS) for value in values)
    return frame.f_code.co_argcount == 2 and any(value is back.f_code for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in DEFERRED


def _codes(handler: Any) -> Iterator[CodeType]:
    """The code of a handler: a function, a method, a partial, or an object that can be called."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    called = handler if hasattr(handler, "__code__") else getattr(type(handler), "__call__")  # noqa: B004, B009
    code = getattr(called, "__code__", None)  # a method has its function's
    if isinstance(code, CodeType):
        yield code
