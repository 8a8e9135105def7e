"""Networks as files: `<key>.safetensors` has the weights, `<key>.json` what is known about them.

A JSON file is written after its weights, and says what they hash to; without it there is no entry.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity.files import make_cache
from pytest_saliency_sanity.trained_networks.store.files import entry_paths, path_of
from pytest_saliency_sanity.trained_networks.store.leftovers import sweep

_FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    content = _packed(state)
    description = _description(key, content, facts)
    make_cache(directory)
    sweep(directory, key)
    write(directory, key, content, description)


def write(directory: Path, key: str, content: bytes, description: bytes) -> None:
    """Both files of an entry, complete or not at all.

    Raises:
        OSError: when they cannot be written.
    """
    weights, notes = entry_paths(directory, key)
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
    weights, notes = entry_paths(directory, key)
    sweep(directory)
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


# Writing.


def holds(directory: Path, key: str) -> bool:
    """Whether the directory has both files of a key; whether they can be read, `load` says."""
    return all(path.is_file() for path in entry_paths(directory, key))


def digest_of(path: Path, key: str, text: bytes) -> str:
    """What the weights hash to by the notes of their key.

    Raises:
        Damaged: for notes that are not ours.
    """
    return _checked_notes(path, key, text)[0]


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
    path = path_of(directory, key, f"{secrets.token_hex(8)}.tmp")
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
    if not (isinstance(digest, str) and _SHA256.fullmatch(digest)) or not isinstance(facts, dict):
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
