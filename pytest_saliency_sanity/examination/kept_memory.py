"""How much memory the objects hold that were made lately, in bytes, without a look at all that was there before.

Python's garbage collector lists its young objects at no cost; those that it will call old are noted just before.
Tensors are counted from these lists. What they do not show (arrays of numpy, what an autograd graph has saved) the
allocators know: that of the C library, and torch's on a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.loans import Loan, lent, loan

_COUNTS = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip
_PROMOTING = sys.version_info >= (3, 14)  # the survivors of any run are old there
# Where a thread waits: also those that torch.compile leaves, and those of an executor that has nothing to do.
_WAITING = (
    "threading.py", "selectors.py", "socket.py", "queue.py", "connection.py", "compile_worker/subproc_pool.py",
    "compile_worker/timer.py", "concurrent/futures/thread.py",
)  # fmt: skip
_NUMPY = getattr(np.lib, "tracemalloc_domain", 389047)


@dataclass(frozen=True)
class Held:
    """Bytes that are held now.

    Attributes:
        tensors: by tensors that Python knows.
        arrays: by arrays of numpy, where they are traced.
        rest: by whatever else the allocators gave: these arrays, graphs, and all that was there before; 0 where no
            allocator says.
    """

    tensors: int
    arrays: int
    rest: int

    def growth(self, before: Held) -> Held:
        """How much more it is."""
        return Held(self.tensors - before.tensors, self.arrays - before.arrays, self.rest - before.rest)


@dataclass(eq=False)
class NewTensors:
    """The tensors that were made lately. Mutable: it notes those that are not young any more.

    Attributes:
        older: those that are old for the garbage collector.
    """

    older: list[ReferenceType[Tensor]] = field(default_factory=list)

    def lasting(self) -> list[Tensor]:
        """Those that are still there; circles of objects, which the garbage collector's next run ends, are not."""
        gc.collect(1)
        noted = {id(tensor): tensor for reference in self.older if (tensor := reference()) is not None}
        return list((noted | {id(tensor): tensor for tensor in _young()}).values())

    def note(self, phase: str, info: Mapping[str, int]) -> None:
        """Called by the garbage collector before and after each of its runs."""
        if phase == "start" and (info["generation"] or _PROMOTING):
            self.older = [*(one for one in self.older if one() is not None), *map(weakref.ref, _young())]


@loan
def noting_tensors() -> Iterator[NewTensors]:
    """Within this context the tensors that are made are known."""
    made = NewTensors()
    gc.collect(1)  # from here on the lists are short
    with lent(lambda: gc.callbacks.append(made.note), lambda: _without(made.note)):
        yield made


def _without(callback: Any) -> None:
    while callback in gc.callbacks:
        gc.callbacks.remove(callback)


def alone() -> bool:
    """Whether all other threads of Python wait.

    Objects must not be listed beside one that runs: a tuple that it is just making is among them, and then it cannot
    end it.
    """
    frames = sys._current_frames()
    others = [
        frames.get(one.ident or 0) for one in threading.enumerate() if one is not threading.current_thread()
    ]
    return all(
        frame is None or frame.f_code.co_filename.replace(os.sep, "/").endswith(_WAITING) for frame in others
    )


def _young() -> list[Tensor]:
    if not alone():
        return []
    listed = (*gc.get_objects(generation=0), *gc.get_objects(generation=1))
    return [one for one in listed if issubclass(type(one), Tensor)]  # a proxy's class may be anything


def tracing_arrays() -> Loan[None]:
    """Within this context the memory of new arrays of numpy is counted."""
    if tracemalloc.is_tracing():
        return lent(lambda: None, lambda: None)
    return lent(tracemalloc.start, tracemalloc.stop)


def held_now(made: NewTensors, besides: Iterable[Tensor] = ()) -> Held:
    """What is held on all devices; `tensors` are less those `besides`."""
    storages = _storages(made.lasting())
    total = sum(storages.values())
    own = sum(storages.get(key, 0) for key in _storages(besides))
    return Held(total - own, _arrays(), _allocated() - total)


def held_by(tensors: Iterable[Tensor]) -> int:
    """The bytes that these tensors hold together."""
    return sum(_storages(tensors).values())


def bytes_of(one: Any) -> int:
    """What a tensor or an array holds; 0 for anything else."""
    if isinstance(one, Tensor):
        return held_by([one])
    return one.nbytes if isinstance(one, np.ndarray) else 0


def _storages(tensors: Iterable[Tensor]) -> dict[tuple[str, int], int]:
    """The bytes of each memory that tensors share; those without one (sparse, of the meta device) are left out."""
    found = {}
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
            continue
        try:
            storage = tensor.untyped_storage()
            found[str(tensor.device), storage.data_ptr()] = storage.nbytes()
        except (NotImplementedError, RuntimeError):  # wrappers of other tensors
            continue
    return found


def _arrays() -> int:
    if not tracemalloc.is_tracing():
        return 0
    snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, _NUMPY)])
    return sum(trace.size for trace in snapshot.traces)


def _allocated() -> int:
    """What the C library has given, and torch on all GPUs that are in use."""
    given = 0
    if torch.cuda.is_initialized():
        given = sum(torch.cuda.memory_allocated(index) for index in range(torch.cuda.device_count()))
    counter = _counter()
    return given if counter is None else given + counter()


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _COUNTS]  # ctypes asks for it


@functools.cache
def _counter() -> Callable[[], int] | None:
    """What counts the bytes that the C library has given; None where it does not say (only glibc does, since 2.33)."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    mallinfo.restype = _MallInfo
    return lambda: _given(mallinfo())


def _given(info: Any) -> int:
    return int(info.uordblks + info.hblkhd)
