"""A directory of trained networks: `<key>.safetensors` has the weights, `<key>.json` what is known about them.

Nothing is ever unpickled: a cache may come from elsewhere, and a pickle runs code. A JSON file is written after its
weights, and says what they hash to; without it there is no entry.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import filelock
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

_FORMAT = 1
_KEY = re.compile(r"[0-9a-f]{32}")
_OURS = re.compile(r"([0-9a-f]{32})\.(json|safetensors|lock|[0-9a-f]{16}\.tmp)")
_FORSAKEN = (
    24 * 3600.0
)  # seconds after which nobody writes a temporary file any more, where there are no locks
_HELD: set[Path] = set()  # the locks that this process holds
_PAUSE = 0.05  # seconds between two attempts at a lock
_MARKS = {
    ".gitignore": "# Created by pytest-saliency-sanity.\n*\n",
    "CACHEDIR.TAG": (
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# This file is a cache directory tag created by pytest-saliency-sanity.\n"
        "# For information about cache directory tags, see https://bford.info/cachedir/spec.html\n"
    ),
}


@dataclass(frozen=True)
class Entry:
    """A trained network as it was stored.

    Attributes:
        state: its state dict, on the CPU.
        facts: what the caller noted about it, as JSON has it (a tuple is a list).
    """

    state: dict[str, Tensor] = field(repr=False)
    facts: dict[str, Any]


class Damaged(Exception):
    """A file of an entry is not what was written. The message names it and says what is wrong."""


class Busy(Exception):
    """Another process holds the lock, and went on holding it."""


def save(directory: Path, key: str, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Store a network, or replace it. Whoever may not be alone holds `locked(directory, key, ...)`.

    Files appear complete or not at all, also where the process is interrupted.

    Args:
        directory: made where it is missing.
        key: 32 hexadecimal digits.
        state: tensors by name, on any device.
        facts: of types that JSON has.

    Raises:
        TypeError: for an entry of the state that is not a dense tensor, and for facts that JSON does not have.
        ValueError: for another key.
        OSError: when the files cannot be written.
    """
    weights, notes = _paths(directory, key)
    content = _packed(state)
    description = _description(key, content, facts)
    _make(directory)
    _sweep(directory, key)
    with _temporary(directory, key) as first, _temporary(directory, key) as second:
        _write(first, content)
        _write(second, description)
        try:
            notes.unlink(missing_ok=True)  # they describe the weights that are replaced now
            os.replace(first, weights)
            os.replace(second, notes)
        except BaseException:
            if not notes.exists():
                weights.unlink(missing_ok=True)
            raise


def load(directory: Path, key: str) -> Entry | None:
    """The network that is stored under `key`, or None.

    Raises:
        Damaged: when a file is truncated, altered or not ours.
        ValueError: when the key is not 32 hexadecimal digits.
    """
    weights, notes = _paths(directory, key)
    _sweep(directory)
    if not notes.exists():
        return None
    text = _read(notes)
    if text is None:  # removed a moment ago
        return None
    digest, facts = _checked_notes(notes, key, text)
    content = _read(weights)
    if content is None:
        raise Damaged(f"{weights.name} is missing, though {notes.name} describes it")
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{weights.name} is not the file that was written: its SHA-256 differs")
    return Entry(_parsed_weights(weights, content), facts)


def clear(directory: Path) -> int:
    """Remove all networks and what interrupted processes left; files that are not ours stay.

    A network on which a process is at work just now (it holds the lock) stays, too.

    Returns:
        How many networks were removed.
    """
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    keys = {match[1] for match in map(_OURS.fullmatch, names) if match}
    return sum(_removed(directory, key) for key in sorted(keys))


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
    path = _path(directory, key, "lock")
    _make(directory)
    lock = filelock.FileLock(str(path), thread_local=False, **_hard())
    try:
        _acquire(lock, path, timeout)
        _HELD.add(path)
        yield
    finally:
        if lock.is_locked:
            _HELD.discard(path)
        _leave(lock, path)


# Names.


def _path(directory: Path, key: str, suffix: str) -> Path:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a key has 32 hexadecimal digits, not {key!r}")
    return directory / f"{key}.{suffix}"


def _paths(directory: Path, key: str) -> tuple[Path, Path]:
    return _path(directory, key, "safetensors"), _path(directory, key, "json")


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return  # whose directory it is, we do not know
    for name, text in _MARKS.items():
        (directory / name).write_text(text, encoding="utf-8")


# Writing.


def _packed(state: Mapping[str, Tensor]) -> bytes:
    dense = {name: _dense(name, tensor) for name, tensor in state.items()}
    try:
        return safetensors.torch.save(dense)
    except (KeyError, ValueError) as error:  # a dtype or a name that the format does not have
        raise TypeError(
            f"the state cannot be stored, because safetensors does not support {error}"
        ) from error


def _dense(name: str, tensor: Tensor) -> Tensor:
    """A copy that shares no memory: safetensors refuses tensors that do."""
    obstacle = _obstacle(name, tensor)
    if obstacle:
        raise TypeError(f"the state's entry {name!r} cannot be stored: {obstacle}")
    copy = tensor.detach().cpu().resolve_conj().resolve_neg()
    return copy.clone(memory_format=torch.contiguous_format)


def _obstacle(name: Any, tensor: Any) -> str | None:
    if not isinstance(tensor, Tensor):
        return f"it is {type(tensor).__name__}, not a tensor"
    if is_lazy(tensor) or tensor.is_meta:
        return "it is a tensor without values"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return f"it is {'quantized' if tensor.is_quantized else tensor.layout}, not dense"
    if not isinstance(name, str) or name == "__metadata__":
        return "safetensors does not support this name"
    return None


def _description(key: str, content: bytes, facts: Mapping[str, Any]) -> bytes:
    kept = json.loads(json.dumps(dict(facts)))
    digests = {"sha256": hashlib.sha256(content).hexdigest(), "facts_sha256": _facts_digest(kept)}
    return json.dumps({"format": _FORMAT, "key": key, **digests, "facts": kept}, indent=1).encode()


def _facts_digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def _temporary(directory: Path, key: str) -> Iterator[Path]:
    """A path in the same directory, where a rename is atomic; what is there in the end is removed."""
    path = _path(directory, key, f"{secrets.token_hex(8)}.tmp")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:  # not tempfile's: the permissions are to be those of any other file
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


# Reading.


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror or error}") from error


def _checked_notes(path: Path, key: str, text: bytes) -> tuple[str, dict[str, Any]]:
    """The digest of the weights, and the facts."""
    notes = _parsed_notes(path, text)
    if notes.get("format") != _FORMAT:
        raise Damaged(f"{path.name} has the format {notes.get('format')!r}, not {_FORMAT}")
    if notes.get("key") != key:
        raise Damaged(f"{path.name} belongs to another network: its key is {notes.get('key')!r}")
    digest, facts = notes.get("sha256"), notes.get("facts")
    if not isinstance(digest, str) or not isinstance(facts, dict):
        raise Damaged(f"{path.name} lacks the digest of the weights or the facts")
    if notes.get("facts_sha256") != _facts_digest(facts):
        raise Damaged(f"{path.name} is not the file that was written: the SHA-256 of its facts differs")
    return digest, facts


def _parsed_notes(path: Path, text: bytes) -> dict[str, Any]:
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path.name} is not JSON: {error}") from error
    if not isinstance(notes, dict):
        raise Damaged(f"{path.name} is not a JSON object but {type(notes).__name__}")
    return notes


def _parsed_weights(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise Damaged(f"{path.name} is not a safetensors file: {error}") from error


# Clearing.


def _removed(directory: Path, key: str) -> bool:
    """Remove the files of one key; whether there was a network."""
    try:
        with locked(directory, key, 0):
            return _remove(directory, key)
    except Busy:
        return False


def _remove(directory: Path, key: str) -> bool:
    weights, notes = _paths(directory, key)
    existed = notes.is_file()
    leftovers = directory.glob(f"{key}.*.tmp")
    for path in (notes, weights, *leftovers):  # notes first: without them there is no entry
        if _OURS.fullmatch(path.name) and not path.is_dir():
            path.unlink(missing_ok=True)
    return existed


# Sweeping: what writers left that were killed. A writer holds its key's lock, which ends with its process.


def _sweep(directory: Path, own: str | None = None) -> None:
    """Remove temporary files that nobody is writing; `own` is the key that is about to be written.

    It is housekeeping: where it cannot be done, the files stay.
    """
    with contextlib.suppress(OSError):
        keys = {path.name.partition(".")[0] for path in directory.glob("*.tmp") if _OURS.fullmatch(path.name)}
        for key in sorted(keys):
            with contextlib.suppress(Busy, OSError):
                _sweep_key(directory, key, held=key == own and _path(directory, key, "lock") in _HELD)


def _sweep_key(directory: Path, key: str, held: bool) -> None:
    try:
        with contextlib.nullcontext() if held else locked(directory, key, 0):
            _remove_temporary(directory, key)
    except Busy:
        raise
    except OSError:  # no locks here: whoever writes does so without one
        _remove_temporary(directory, key, age=_FORSAKEN)


def _remove_temporary(directory: Path, key: str, age: float = -math.inf) -> None:
    for path in directory.glob(f"{key}.*.tmp"):
        if _OURS.fullmatch(path.name) and not path.is_dir() and time.time() - path.stat().st_mtime > age:
            path.unlink(missing_ok=True)


# Locking. A lock file that is removed may still be open in a process that waits for it: that process would lock a
# file without a name, while the next one locks a new file of the old name. So the file is removed by its holder
# only, and whoever has got a lock looks whether the name still belongs to what was locked.


def _acquire(lock: filelock.BaseFileLock, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not _attempt(lock, path):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Busy(f"another process holds {path}; waited {timeout:.3g} s for it")
        time.sleep(min(_PAUSE, left))


def _attempt(lock: filelock.BaseFileLock, path: Path) -> bool:
    """Try once. The file is held open meanwhile, so that its inode is not given to another one.

    It had the name before filelock opened the name, and has it still: then it is the file that was locked.
    filelock does not say which one that was.
    """
    mine = False
    with _opened(path) as descriptor:
        try:
            _try(lock, path)
            mine = lock.is_locked and _has_name(descriptor, path)
        finally:
            if not mine:
                _unlock(lock)
    return mine


def _try(lock: filelock.BaseFileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except (filelock.Timeout, FileNotFoundError):  # held, or removed by its holder a moment ago
        pass
    except NotImplementedError:  # filelock < 3.24 on a file system without flock
        _refuse(path)
    except OSError as error:  # filelock >= 3.32 there
        if error.errno != errno.ENOSYS:
            raise
        _refuse(path)
    _check_hard(lock, path)


def _check_hard(lock: filelock.BaseFileLock, path: Path) -> None:
    """Versions from 3.24 to 3.31 make a soft lock of it on such a file system: a killed process would keep that.

    They change the lock's class, to one of a module that they import then: its identity alone may deceive.
    """
    if isinstance(lock, filelock.SoftFileLock) or type(lock) is not filelock.FileLock:
        _unlock(lock)
        _refuse(path)


def _refuse(path: Path) -> NoReturn:
    path.unlink(missing_ok=True)
    raise OSError(errno.ENOLCK, "the file system has no locks", str(path))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    # No symbolic links: in a directory that others can write to, one may lead anywhere.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_name(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _leave(lock: filelock.BaseFileLock, path: Path) -> None:
    """Remove the file while the lock is held, then let go.

    Also where there is no lock: the last attempt may have made the file and been interrupted.
    """
    try:
        if (lock.is_locked or (path.exists() and _attempt(lock, path))) and not _filelock_removes():
            path.unlink(missing_ok=True)
    finally:
        _unlock(lock)


def _unlock(lock: filelock.BaseFileLock) -> None:
    if lock.is_locked:
        lock.release()


@functools.cache
def _hard() -> dict[str, Any]:
    """What tells filelock to be the operating system's lock or none; versions before 3.32 have no such option."""
    known = inspect.signature(filelock.FileLock.__init__).parameters
    return {"fallback_to_soft": False} if "fallback_to_soft" in known else {}


@functools.cache
def _filelock_removes() -> bool:
    """Whether filelock removes the file itself: on Windows, and elsewhere from 3.21 to 3.25.

    There a second removal would be another holder's.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "lock")
        with filelock.FileLock(str(path)):
            pass
        return not path.exists()
