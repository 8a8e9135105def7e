"""What is removed: all networks when a user asks for it, and what writers left that were killed."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path

from pytest_saliency_sanity.trained_networks.store.files import OURS, entry_paths
from pytest_saliency_sanity.trained_networks.store.locks import Busy, held, locked

# Seconds after which nobody writes a temporary file any more, where there are no locks.
_FORSAKEN = 24 * 3600.0


def clear(directory: Path) -> int:
    """Remove all networks and what interrupted processes left; files that are not ours stay.

    A network on which a process is at work just now (it holds the lock) stays, too.

    Returns:
        How many networks were removed.
    """
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    keys = {match[1] for match in map(OURS.fullmatch, names) if match}
    return sum(_removed(directory, key) for key in sorted(keys))


def _removed(directory: Path, key: str) -> bool:
    """Remove the files of one key; whether there was a network."""
    try:
        with locked(directory, key, 0):
            return _remove(directory, key)
    except Busy:
        return False


def _remove(directory: Path, key: str) -> bool:
    weights, notes = entry_paths(directory, key)
    existed = notes.is_file()
    leftovers = directory.glob(f"{key}.*.tmp")
    for path in (notes, weights, *leftovers):  # notes first: without them there is no entry
        if OURS.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)
    return existed


# Sweeping: what writers left that were killed. A writer holds its key's lock, which ends with its process.


def sweep(directory: Path, own: str | None = None) -> None:
    """Remove temporary files that nobody is writing; `own` is the key that is about to be written.

    It is housekeeping: where it cannot be done, the files stay.
    """
    with contextlib.suppress(OSError):
        keys = {path.name.partition(".")[0] for path in directory.glob("*.tmp") if OURS.fullmatch(path.name)}
        for key in sorted(keys):
            with contextlib.suppress(Busy, OSError):
                _sweep_key(directory, key, alone=key == own and held(directory, key))


def _sweep_key(directory: Path, key: str, alone: bool) -> None:
    try:
        with contextlib.nullcontext() if alone else locked(directory, key, 0):
            _remove_temporary(directory, key)
    except Busy:
        raise
    except OSError:  # no locks here: whoever writes does so without one
        _remove_temporary(directory, key, age=_FORSAKEN)


def _remove_temporary(directory: Path, key: str, age: float = -math.inf) -> None:
    for path in directory.glob(f"{key}.*.tmp"):
        if OURS.fullmatch(path.name) and not path.is_dir() and time.time() - path.stat().st_mtime > age:
            path.unlink(missing_ok=True)
