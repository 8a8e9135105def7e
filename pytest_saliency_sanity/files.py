"""Files that appear complete or not at all, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


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
