"""One process and one thread at a time for each key, by filelock, which takes no lock on a file that lost its name.

So the holder can remove the file: whoever waited for it then opens a new one.
"""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Iterator
from pathlib import Path

import filelock

from pytest_saliency_sanity.files import make_cache
from pytest_saliency_sanity.trained_networks.store.files import path_of

_HELD: set[Path] = set()  # the locks that this process holds
_PAUSE = 0.05  # seconds between two attempts at a lock


class Busy(Exception):
    """Another process holds the lock, and went on holding it."""


@contextlib.contextmanager
def locked(directory: Path, key: str, timeout: float) -> Iterator[None]:
    """Within this context no other process and no other thread is in it for the same key.

    The lock is the operating system's: it ends with the process that holds it, however that ends. Its file is
    removed on leaving.

    Args:
        directory: made where it is missing.
        key: 32 hexadecimal digits.
        timeout: seconds to wait, `math.inf` for as long as it takes; 0 for one attempt.

    Raises:
        Busy: when the time is over.
        ValueError: for another key.
        OSError: when there cannot be a lock, for instance in a file system that has none.
    """
    path = path_of(directory, key, "lock")
    make_cache(directory)
    lock = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        _acquire(lock, path, timeout)
        _HELD.add(path)
        yield
    finally:
        if lock.is_locked:
            _HELD.discard(path)
        _leave(lock, path)


def held(directory: Path, key: str) -> bool:
    """Whether this process is within `locked(directory, key, ...)`."""
    return path_of(directory, key, "lock") in _HELD


def _acquire(lock: filelock.BaseFileLock, path: Path, timeout: float) -> None:
    try:
        lock.acquire(timeout if math.isfinite(timeout) else -1, poll_interval=_PAUSE)
    except filelock.Timeout:
        raise Busy(f"another process holds {path}; waited {timeout:.3g} s for it") from None
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        path.unlink(missing_ok=True)
        raise OSError(errno.ENOLCK, "the file system has no locks", str(path)) from error


def _leave(lock: filelock.BaseFileLock, path: Path) -> None:
    """Remove the file while the lock is held, then let go.

    Also where there is no lock: the last attempt may have made the file and been interrupted.
    """
    try:
        if lock.is_locked or (path.exists() and _is_free(lock)):
            with contextlib.suppress(PermissionError):  # on Windows filelock removes it
                path.unlink(missing_ok=True)
    finally:
        lock.release()


def _is_free(lock: filelock.BaseFileLock) -> bool:
    with contextlib.suppress(filelock.Timeout):
        lock.acquire(timeout=0)
    return lock.is_locked
