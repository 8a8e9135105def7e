"""Files that appear complete or not at all, whatever happens while they are written; and folders of caches."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_MARKS = {
    ".gitignore": "# Created by pytest-saliency-sanity.\n*\n",
    "CACHEDIR.TAG": (
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# This file is a cache directory tag created by pytest-saliency-sanity.\n"
        "# For information about cache directory tags, see https://bford.info/cachedir/spec.html\n"
    ),
}


def write(path: Path, content: str | bytes) -> None:
    """Write a file, or leave what stands there as it is; missing folders are made.

    Raises:
        OSError: where it cannot be written; it names the file.
    """
    path = path.resolve()  # a link stays a link
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name[:100]}.{secrets.token_hex(8)}.tmp"
    try:
        temporary.write_bytes(data)
        with contextlib.suppress(OSError):  # there is none, or this file system has no modes
            temporary.chmod(path.stat().st_mode)
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_cache(directory: Path) -> None:
    """Make a directory that is missing, and mark it as a cache."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return  # whose directory it is, we do not know
    for name, text in _MARKS.items():
        (directory / name).write_text(text, encoding="utf-8")
