"""Contexts that always restore what they change of the user's, wherever an exception arrives.

An exception can arrive anywhere: from Ctrl-C, from the alarm of a test's timeout, from a debugger. If it arrives on a
line of `contextlib.contextmanager` itself, nothing is restored. The same is true of the first line of every `__exit__`
that is written in Python, because nobody calls it again. A `Loan` has no such line; its docstring says how.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

from pytest_saliency_sanity.signals import deferred, interrupting, raise_first

P = ParamSpec("P")
T = TypeVar("T")
_ATTEMPTS = 20  # at restoring, before an error is taken for a permanent one


def lent(take: Callable[[], T], give_back: Callable[[], object]) -> Loan[T]:
    """A context: `take` on entering, whose result it yields, and `give_back` on leaving, however that happens.

    No signal arrives in either; those that came are delivered afterwards. An exception in `take` is raised once
    what was taken is restored. If an exception arrives during restoring, restoring is tried again until it is done.

    Args:
        take: changes what belongs to the user, having noted what it was.
        give_back: makes it what it was, also after half of `take` or of itself, and any number of times.

    Raises:
        BaseException: the first one that arrived, the others chained to it.
    """
    return _lending(take, give_back)


def holding(variable: ContextVar[T], value: T) -> Loan[None]:
    """Within this context the variable has this value."""
    before: list[T] = []

    def take() -> None:
        before.append(variable.get())
        variable.set(value)

    return lent(take, lambda: [variable.set(present) for present in before])


def loan(function: Callable[P, Iterator[T]]) -> Callable[P, Loan[T]]:
    """Decorator: as `contextlib.contextmanager`, for a generator that restores what it changes.

    It is not told of an exception in the context: it goes on behind its `yield` in any case. It has to hold what it
    takes in contexts that are loans themselves (`with preserved(model): yield`), for its own lines are in the way
    of an exception, too.
    """

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Loan[T]:
        return Loan(lambda: function(*args, **kwargs))

    return make


@loan
def entered(manager: contextlib.AbstractContextManager[T]) -> Iterator[T]:
    """Somebody else's context, such as `torch.no_grad()`, as a loan."""
    inside: list[tuple[contextlib.AbstractContextManager[T], T]] = []
    with lent(lambda: _enter(manager, inside), lambda: _leave(inside)) as value:
        yield value


class _Passed:
    """A method that is looked up on entering: what it gives is called without a line of Python."""

    def __init__(self, name: str, otherwise: Callable[..., Any]) -> None:
        self.name, self.otherwise = name, otherwise

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self.otherwise if owner is None else owner.__dict__[self.name]


class Loan(contextlib.ContextDecorator, Generic[T]):
    """A context that is left without a line of Python before it restores.

    A generator waits inside its `try`, so resuming it means being inside. `__enter__` and `__exit__` are built-in
    functions which do that: the generator's `__next__`, and `max`, which calls its `key`, the generator's `send`,
    for each of its arguments. The first `send` restores; the others (for the three arguments of `__exit__`) do
    nothing. The largest key is that of False, so that `__exit__` returns False: no exception is swallowed.

    Where the `with` statement itself is left on its own line, as a tracing function can do, the generator is in
    no variable any more; Python then closes it, which restores as well.
    """

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make
        generator = _driven(make())
        self._enter, self._exit = generator.__next__, functools.partial(max, False, key=generator.send)

    if TYPE_CHECKING:

        def __enter__(self) -> T: ...

        def __exit__(self, *exception: object) -> Literal[False]: ...
    else:
        # An ExitStack looks them up in the class and calls them with the object.
        __enter__ = _Passed("_enter", lambda self: self._enter())
        __exit__ = _Passed("_exit", lambda self, *exception: self._exit(*exception))

    def _recreate_cm(self) -> Loan[T]:
        return Loan(self._make)


def _driven(generator: Any) -> Generator[Any, Any, None]:
    try:
        yield next(generator)
        next(generator, None)
    finally:  # where an exception came in between; at its own `yield` it is closed
        generator.close()
    yield 1
    while True:
        yield 0


@loan
def _lending(take: Callable[[], T], give_back: Callable[[], object]) -> Iterator[T]:
    debt = _Debt(give_back)
    try:
        try:
            yield deferred(take)
        finally:
            debt.settle()
    finally:  # an exception on the line before
        debt.settle()


class _Debt:
    """Something to restore, once: `settled` says that it is done."""

    def __init__(self, give_back: Callable[[], object]) -> None:
        self.give_back, self.settled = give_back, False

    @interrupting
    def settle(self) -> None:
        errors: list[BaseException] = []
        while not self.settled and len(errors) < _ATTEMPTS:
            try:
                deferred(self._attempt)
            except BaseException as error:
                errors.append(error)
        raise_first(errors)

    def _attempt(self) -> None:
        self.give_back()
        self.settled = True


def _enter(
    manager: contextlib.AbstractContextManager[T],
    inside: list[tuple[contextlib.AbstractContextManager[T], T]],
) -> T:
    inside.append((manager, manager.__enter__()))
    return inside[0][1]


def _leave(inside: list[tuple[contextlib.AbstractContextManager[T], T]]) -> None:
    while inside:
        inside.pop()[0].__exit__(None, None, None)
