"""The folder that the workers of pytest-xdist share while a run lasts, below the cache folder.

The controller names it and removes it. A worker that has tests of ours makes it, and holds a lock in it as long as it
lives. So a folder whose locks are all free was left by a run that was killed, and the workers of a later one remove it.
"""

from __future__ import annotations

import contextlib
import getpass
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from pytest_saliency_sanity.files import make_cache
from pytest_saliency_sanity.settings import is_url

_INPUT = "saliency_shared"  # of a worker
_HELD = ".held"
_FORSAKEN = 24 * 3600.0  # seconds after which a folder without locks is nobody's
_LOCK = pytest.StashKey[Any]()


class SharedFolder:
    """Registered on the controller."""

    def __init__(self, cache: str | Path) -> None:
        self._folder = _runs(cache) / uuid.uuid4().hex

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker."""
        node.workerinput[_INPUT] = str(self._folder)

    def pytest_unconfigure(self) -> None:
        """The workers have ended."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs have theirs there
            self._folder.parent.rmdir()


def of_worker(config: pytest.Config) -> str | None:
    """Where it is, there or not; None beside xdist, and without a cache."""
    found: str | None = getattr(config, "workerinput", {}).get(_INPUT)
    return found


def prepare(session: pytest.Session) -> None:
    """On a worker that will run tests of ours: make it, and remove what runs left that were killed."""
    place, config = of_worker(session.config), session.config
    if place is not None and any(item.get_closest_marker("saliency") for item in session.items):
        with contextlib.suppress(OSError):  # nothing is shared then
            config.stash[_LOCK] = held(Path(place), getattr(config, "workerinput", {})["workerid"])
            sweep(Path(place))


def held(folder: Path, worker: str) -> Any:
    """Make the folder, and a lock in it that ends with this process; None where there are no locks."""
    make_cache(folder.parent.parent)
    folder.mkdir(parents=True, exist_ok=True)
    lock = _lock(folder / f"{worker}{_HELD}")
    try:
        lock.acquire(timeout=0)
    except OSError:
        return None
    return lock


def sweep(own: Path) -> None:
    """Remove the folders beside this one whose processes have ended."""
    for folder in own.parent.iterdir():
        if folder != own and folder.is_dir() and _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _runs(cache: str | Path) -> Path:
    """Below the cache; of an object store, below the temporary folder."""
    local = (
        Path(tempfile.gettempdir()) / f"saliency-sanity-{getpass.getuser()}" if is_url(cache) else Path(cache)
    )
    return local.absolute() / "runs"


def _is_left(folder: Path) -> bool:
    from filelock import Timeout

    paths = list(folder.glob(f"*{_HELD}"))
    try:
        with contextlib.ExitStack() as stack:
            for path in paths:
                stack.enter_context(_lock(path))
    except Timeout:
        return False
    except OSError:  # no locks here
        paths = []
    return bool(paths) or time.time() - folder.stat().st_mtime > _FORSAKEN


def _lock(path: Path) -> Any:
    from filelock import FileLock

    return FileLock(path, timeout=0, fallback_to_soft=False)
