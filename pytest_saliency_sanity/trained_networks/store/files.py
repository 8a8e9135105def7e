"""The files of a cache by their names, and the directory that holds them."""

from __future__ import annotations

import re
from pathlib import Path

_KEY = re.compile(r"[0-9a-f]{32}")
OURS = re.compile(r"([0-9a-f]{32})\.(json|safetensors|lock|[0-9a-f]{16}\.tmp)")


def path_of(directory: Path, key: str, suffix: str) -> Path:
    """The file of a key.

    Raises:
        ValueError: for a key that is not 32 hexadecimal digits.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"a key has 32 hexadecimal digits, not {key!r}")
    return directory / f"{key}.{suffix}"


def entry_paths(directory: Path, key: str) -> tuple[Path, Path]:
    """The weights and the notes of a network."""
    return path_of(directory, key, "safetensors"), path_of(directory, key, "json")
