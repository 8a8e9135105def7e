"""What the checks of one audit find out of the same model and images, once for all of its explainers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_KEPT = 4  # models with images, the oldest dropped first
_SHARED: ContextVar[OrderedDict[Hashable, tuple[Any, Any]] | None] = ContextVar(
    "saliency_shared", default=None
)


@contextmanager
def sharing() -> Iterator[None]:
    """Within this context what was made under a key is not made again."""
    token = _SHARED.set(OrderedDict())
    try:
        yield
    finally:
        _SHARED.reset(token)


def once(key: Callable[[], Hashable], alive: Any, make: Callable[[], T]) -> T:
    """What `make` returns: where `sharing`, that of the first call with this key.

    Args:
        key: asked for only where it is needed.
        alive: what the key tells by its identity.
    """
    shared = _SHARED.get()
    if shared is None:
        return make()
    known = key()
    if known not in shared:
        shared[known] = alive, make()
        while len(shared) > _KEPT:
            shared.popitem(last=False)
    found: T = shared[known][1]
    return found


def found_once(known: dict[Any, Any], what: Hashable, find: Callable[[], T]) -> T:
    """What is `known` under this name; it is found now where nothing is."""
    if what not in known:
        known[what] = find()
    found: T = known[what]
    return found
