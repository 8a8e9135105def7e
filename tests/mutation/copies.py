"""A copy of a library in a temporary folder, of which one file is changed at a time, and processes that import it.

The process is forked from one that has imported torch and not the library, so that it starts at once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 300  # after which a process is ended, if nothing else is said


def home(library: str) -> Path:
    """Where the library is installed; it is not imported."""
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(library)
    return Path(spec.origin).parent


@contextmanager
def copied(library: str) -> Iterator[Path]:
    """The copy's folder; the folder above it goes first in a process that imports the copy."""
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__", "*.js", "insights")
        yield Path(shutil.copytree(home(library), Path(folder) / library, ignore=ignored))


@contextmanager
def changed(copy: Path, file: str, source: str) -> Iterator[None]:
    """The copy with this source in place of a file's."""
    path = copy / file
    original = path.read_text(encoding="utf-8")
    path.write_text(source, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(original, encoding="utf-8")


def in_process(work: Callable[[], Any], copy: Path, seconds: int | None = None) -> Any:
    """What `work` returns, as JSON carries it, in a fork that imports the copy; None if it dies or takes longer.

    Raises:
        RuntimeError: where the library has been imported already: a fork would have it from there.
    """
    if copy.name in sys.modules:
        raise RuntimeError(f"{copy.name} has been imported, and a fork would not import the copy")
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns where other threads run: the fork uses none
        child = os.fork()
    if not child:
        os.close(reader)
        _work(work, copy, writer, seconds or SECONDS)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def _work(work: Callable[[], Any], copy: Path, writer: int, seconds: int) -> None:
    """In the fork: never returns."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(copy.parent))
        importlib.invalidate_caches()
        warnings.simplefilter("ignore")
        answer = json.dumps(work())
        with os.fdopen(writer, "w", encoding="utf-8") as answers:
            answers.write(answer)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)
