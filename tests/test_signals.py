"""Signals that are put off, and exceptions told from those that a model raises itself."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_saliency_sanity.signals import deferred, is_interruption, raise_first

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGALRM nor its like")
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1] if os.name != "nt" else []


class Rang(TimeoutError):
    pass


def ring(number: int, frame: Any) -> None:
    raise Rang(number)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """A handler that raises, for every signal."""
    before = {number: signal.signal(number, ring) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def present() -> list[Any]:
    return [signal.getsignal(number) for number in NUMBERS]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_waits_and_then_reaches_its_own_handler(number: int) -> None:
    done: list[str] = []

    def action() -> None:
        signal.raise_signal(number)
        done.append("all")

    with pytest.raises(Rang) as caught:
        deferred(action)
    assert done == ["all"] and caught.value.args == (number,)
    assert present() == [ring] * len(NUMBERS)


def test_every_signal_that_came_is_delivered_and_the_first_is_raised() -> None:
    delivered: list[int] = []

    def note(number: int, frame: Any) -> None:
        delivered.append(number)
        raise Rang(number)

    for number in NUMBERS:
        signal.signal(number, note)
    with pytest.raises(Rang) as caught:
        deferred(lambda: [signal.raise_signal(number) for number in NUMBERS])
    assert delivered == NUMBERS and caught.value.args == (NUMBERS[0],)
    chained, one = [], caught.value
    while one is not None:
        chained.append(one.args[0])
        one = one.__context__
    assert chained == NUMBERS


@pytest.mark.parametrize("while_installing", [True, False])
@pytest.mark.parametrize("call", range(1, 9))
def test_an_interrupt_between_two_calls_of_signal_leaves_the_user_s_handlers(
    monkeypatch: pytest.MonkeyPatch, call: int, while_installing: bool
) -> None:
    """With every signal that raises at once where its handler is the user's again, or still."""
    real, calls = signal.signal, []

    def interrupted(number: int, handler: Any) -> Any:
        calls.append(number)
        if len(calls) == call:
            if while_installing:
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)
        return real(number, handler)

    monkeypatch.setattr(signal, "signal", interrupted)
    with pytest.raises((KeyboardInterrupt, Rang)):
        deferred(lambda: None)
    monkeypatch.undo()
    assert present() == [ring] * len(NUMBERS)


def test_what_the_action_raises_is_raised_and_what_it_returns_is_returned() -> None:
    assert deferred(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        deferred(lambda: 1 / 0)
    assert present() == [ring] * len(NUMBERS)


def test_a_signal_comes_before_what_the_action_raises() -> None:
    def action() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise ZeroDivisionError

    with pytest.raises(Rang) as caught:
        deferred(action)
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_other_threads_just_call() -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(deferred(lambda: threading.current_thread())))
    thread.start()
    thread.join()
    assert found == [thread] and present() == [ring] * len(NUMBERS)


def test_ignored_and_default_signals_are_left_alone() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert deferred(present)[1:3] == [signal.SIG_IGN, signal.SIG_DFL]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGALRM)) == (
        signal.SIG_IGN,
        signal.SIG_DFL,
    )


def test_the_first_of_several_is_raised_with_the_others_chained() -> None:
    errors = [KeyboardInterrupt(), TimeoutError(), SystemExit()]
    with pytest.raises(KeyboardInterrupt) as caught:
        raise_first([*errors, errors[0]])
    assert (
        caught.value is errors[0]
        and errors[0].__context__ is errors[1]
        and errors[1].__context__ is errors[2]
    )
    raise_first([])


# Whose exception it is.


class Bell:
    def method(self, number: int, frame: Any) -> None:
        raise Rang(number)

    def __call__(self, number: int, frame: Any) -> None:
        raise Rang(number)


def _deeper(number: int, frame: Any) -> None:
    def inner() -> None:
        raise Rang

    inner()


def _forgetful(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Rang


def _wrapped(*arguments: Any) -> None:
    _raise(arguments[0])


def _raise(number: int) -> None:
    raise Rang(number)


HANDLERS: dict[str, Callable[..., Any]] = {
    "function": ring,
    "lambda": lambda number, frame: _raise(number),
    "method": Bell().method,
    "object": Bell(),
    "partial": functools.partial(lambda more, number, frame: _raise(number), "more"),
    "calls": _deeper,
    "for one signal": _forgetful,
    "any arguments": _wrapped,
}


def caught_in(work: Callable[[], Any]) -> BaseException:
    """What a model's `except Exception` would get."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_handler_raises_is_an_interruption(handler: Callable[..., Any], number: int) -> None:
    signal.signal(number, handler)
    assert is_interruption(caught_in(lambda: signal.raise_signal(number)))


@pytest.mark.parametrize("by", ["settrace", "monitoring"])
def test_what_a_tracing_tool_raises_is_an_interruption(by: str) -> None:
    def work() -> None:
        ""
        ""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_code is work.__code__:
            raise Rang
        return trace

    def line(code: Any, number: int) -> None:
        if code is work.__code__:
            raise Rang

    if by == "settrace":
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            error = caught_in(work)
        finally:
            sys.settrace(before)
    else:
        monitoring = getattr(sys, "monitoring", None) or pytest.skip("sys.monitoring is Python 3.12's")
        monitoring.use_tool_id(4, "test")
        monitoring.register_callback(4, monitoring.events.LINE, line)
        monitoring.set_events(4, monitoring.events.LINE)
        try:
            error = caught_in(work)
        finally:
            monitoring.set_events(4, 0)
            monitoring.free_tool_id(4)
    assert is_interruption(error)


def _recovers() -> None:
    with contextlib.suppress(Rang):
        signal.raise_signal(signal.SIGALRM)
    raise ValueError("something else, later")


@pytest.mark.parametrize(
    "work",
    [lambda: 1 / 0, lambda: [].pop(), lambda: _raise(14), _recovers],
    ids=["zero", "pop", "timeout", "later"],
)
def test_what_the_code_raises_itself_is_none(work: Callable[[], Any]) -> None:
    assert not is_interruption(caught_in(work))
