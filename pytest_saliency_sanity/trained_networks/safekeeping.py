"""Trained networks, each made once: taken from memory, from the cache, or trained by one process at a time.

Ours, as two processes that ask at once train twice by joblib.Memory and by diskcache.memoize, and load_state_dict alone
changes the network for 4 of 4 states that do not fit (`python -m tests.benchmarks.libraries caches`).
"""

from __future__ import annotations

import contextlib
import copy
import getpass
import math
import tempfile
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.perturbations.restoring.preservation import undone_unless
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks import store
from pytest_saliency_sanity.trained_networks.fingerprints import combined


class TwinCacheWarning(UserWarning):
    """A cached network could not be used, and was trained again."""


class Trained(Protocol):
    """A frozen dataclass of a network in evaluation mode, and of what is known about it."""

    @property
    def model(self) -> nn.Module:
        """The network."""
        ...

    @property
    def cached(self) -> bool:
        """Whether it was taken from the cache."""
        ...

    def facts(self) -> dict[str, Any]:
        """Everything but the model, `cached` included, as JSON has it."""
        ...


T = TypeVar("T", bound=Trained)


@dataclass(frozen=True)
class Making(Generic[T]):
    """How one network comes about.

    Attributes:
        key: 32 hexadecimal digits, a hash of all it depends on.
        blank: () -> a network of its architecture, into which what the cache has is loaded.
        kind: kind(model, **facts) -> the network, as it comes out of the cache.
        train: () -> the network, when it is nowhere to be found.
        lasting: whether it is worth keeping.
    """

    key: str
    blank: Callable[[], nn.Module]
    kind: Callable[..., T]
    train: Callable[[], T]
    lasting: Callable[[T], bool] = lambda made: True


def kept(
    making: Making[T],
    memory: OrderedDict[str, T],
    *,
    cache: Path | None,
    deadline: float = math.inf,
    most: int = 10,
) -> T:
    """A network out of memory, out of the cache, or made now.

    Args:
        making: how it comes about.
        memory: the networks that this process keeps; the least recently used is dropped first.
        cache: the directory of trained networks, or None.
        deadline: `time.monotonic()` until which to wait for another process that makes the same network.
        most: how many are kept in memory.

    Raises:
        store.Busy: when another process has been making it until the deadline.
        Exception: what `making.train` raises.
    """
    if making.key in memory:
        memory.move_to_end(making.key)
        return _as_cached(memory[making.key])
    with _alone(making.key, cache, deadline):
        found = _loaded(making, cache)
        if found is None:
            found = making.train()
            _save(making, found, cache)
    _remember(making, found, memory, most)
    return found


def is_kept(key: str, memory: OrderedDict[str, T], cache: Path | None) -> bool:
    """Whether a network is in memory or, as far as files say, in the cache."""
    return key in memory or (cache is not None and store.holds(cache, key))


@contextlib.contextmanager
def turn(device: torch.device, deadline: float = math.inf) -> Iterator[None]:
    """On a GPU one process trains at a time: several would share its memory and gain nothing.

    Raises:
        store.Busy: when the turn has not come until the deadline.
    """
    if device.type == "cpu":
        yield
        return
    directory = Path(tempfile.gettempdir()) / f"saliency-sanity-{getpass.getuser()}"
    with _locked(directory, combined("device", str(device)), _left(deadline)):
        yield


def _as_cached(found: T) -> T:
    return replace(found, cached=True)  # type: ignore[type-var]  # pyright: ignore  # no protocol says "a dataclass"


def _remember(making: Making[T], found: T, memory: OrderedDict[str, T], most: int) -> None:
    if making.lasting(found):
        memory[making.key] = found
    while len(memory) > most:
        memory.popitem(last=False)


def _alone(key: str, cache: Path | None, deadline: float) -> contextlib.AbstractContextManager[None]:
    """One process at a time makes this network; the others wait, and then find it in the cache."""
    return contextlib.nullcontext() if cache is None else _locked(cache, key, _left(deadline))


@contextlib.contextmanager
def _locked(directory: Path, key: str, timeout: float) -> Iterator[None]:
    """As `store.locked`; where there can be no lock, each process trains for itself."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.locked(directory, key, timeout))
        except OSError as error:
            warnings.warn(
                f"{directory}: {error}; networks are trained without a lock", TwinCacheWarning, stacklevel=2
            )
        yield


def _loaded(making: Making[T], cache: Path | None) -> T | None:
    if cache is None:
        return None
    try:
        entry = store.load(cache, making.key)
        return None if entry is None else _filled(making, making.blank(), entry)
    except (store.Damaged, store.Unreachable, _Misfit) as error:
        warnings.warn(f"{error}; the network is trained again", TwinCacheWarning, stacklevel=2)
        return None


class _Misfit(Exception):
    """What was stored does not fill the network, as what another version of this package has stored may not."""


def _filled(making: Making[T], blank: nn.Module, entry: store.Entry) -> T:
    """The network out of the cache; after a failure the blank, which may be trained now, is as it was."""
    complete: list[T] = []
    try:
        with _undone_unless(making, blank, entry, complete):
            complete.append(_fill(making, blank, entry))
    except Exception as error:  # of any kind: a network may have its own way of loading
        if is_interruption(error):
            raise
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise _Misfit(f"the cached network {making.key} does not fit: {line}") from error
    return complete[0]


def _fill(making: Making[T], blank: nn.Module, entry: store.Entry) -> T:
    blank.load_state_dict(entry.state)
    return making.kind(in_evaluation_mode(blank), **{**entry.facts, "cached": True})


def _undone_unless(
    making: Making[T], blank: nn.Module, entry: store.Entry, complete: list[T]
) -> contextlib.AbstractContextManager[Any]:
    try:
        return undone_unless(blank, complete)
    except ValueError:  # a lazy network has nothing yet to go back to: it is tried on a copy
        _fill(making, copy.deepcopy(blank), entry)
        return contextlib.nullcontext()


def _save(making: Making[T], found: T, cache: Path | None) -> None:
    if cache is None or not making.lasting(found):
        return
    try:
        store.save(cache, making.key, found.model.state_dict(), found.facts())
        store.share(cache, making.key)
    except (TypeError, OSError) as error:  # a state that is not all tensors; a full disk
        warnings.warn(f"{error}; the network is not cached", TwinCacheWarning, stacklevel=2)
    except store.Unreachable as error:
        warnings.warn(f"{error}; the network is kept on this machine", TwinCacheWarning, stacklevel=2)


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.0) if math.isfinite(deadline) else math.inf
