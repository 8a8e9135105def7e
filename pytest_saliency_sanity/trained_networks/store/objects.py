"""An object store behind a folder: what one machine has trained, others fetch. fsspec knows its URL.

Objects are written once: the weights are named by what they hash to, and the notes of a network (`<key>.json`) say
which are its own. There are no locks: where two machines train the same network at once, the others find the first.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import tempfile
from pathlib import Path
from typing import Any

from pytest_saliency_sanity.files import make_cache
from pytest_saliency_sanity.settings import is_url
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks.store import entries
from pytest_saliency_sanity.trained_networks.store.entries import Damaged, Entry
from pytest_saliency_sanity.trained_networks.store.files import OURS, entry_paths
from pytest_saliency_sanity.trained_networks.store.leftovers import clear as clear_folder

_URLS: dict[Path, str] = {}  # of the folders that stand for an object store


class Unreachable(Exception):
    """An object store cannot be read or written. The message names it and says what is wrong."""


def folder(cache: str | Path) -> Path:
    """The folder of a cache; of an object store, the one on this machine that holds copies of what it has."""
    if not is_url(cache):
        return Path(cache)
    url = str(cache).rstrip("/")
    name = hashlib.sha256(url.encode()).hexdigest()[:32]
    copies = Path(tempfile.gettempdir()) / f"saliency-sanity-{getpass.getuser()}" / name
    _URLS[copies] = url
    return copies


def load(directory: Path, key: str) -> Entry | None:
    """The network that is stored under `key`, or None; of an object store it is fetched once.

    Raises:
        Damaged: when a file or an object is truncated, altered or not ours.
        Unreachable: when the object store cannot be read.
    """
    if directory in _URLS and not entries.holds(directory, key):
        with _reached(directory) as (files, url):
            _fetch(files, url, directory, key)
    return entries.load(directory, key)


def share(directory: Path, key: str) -> None:
    """Put what the folder has under `key` into its object store, if it is one and has no such network.

    Raises:
        Unreachable: when the object store cannot be written.
    """
    if directory not in _URLS:
        return
    weights, notes = (path.read_bytes() for path in entry_paths(directory, key))
    with _reached(directory) as (files, url):
        digest = hashlib.sha256(weights).hexdigest()
        _put(files, f"{url}/{digest}.safetensors", weights)
        if not _is_whole(files, url, key):
            files.pipe_file(f"{url}/{key}.json", notes)


def holds(directory: Path, key: str) -> bool:
    """Whether there is a network under this key; whether it can be read, `load` says."""
    if entries.holds(directory, key) or directory not in _URLS:
        return entries.holds(directory, key)
    with contextlib.suppress(Unreachable), _reached(directory) as (files, url):
        return bool(files.exists(f"{url}/{key}.json"))
    return False


def clear(directory: Path) -> int:
    """Remove all networks, also those of an object store; objects that are not ours stay.

    Returns:
        How many networks were removed from the folder.

    Raises:
        Unreachable: when the object store cannot be written.
    """
    removed = clear_folder(directory)
    if directory in _URLS:
        with _reached(directory) as (files, url):
            for key in _keys(files, url):
                _remove(files, url, key)
    return removed


@contextlib.contextmanager
def _reached(directory: Path) -> Any:
    """The file system and the URL; what fails in it, of any kind, is `Unreachable`."""
    url = _URLS[directory]
    try:
        import fsspec

        yield fsspec.url_to_fs(url)[0], url
    except Damaged:
        raise
    except Exception as error:  # each file system has its own
        if is_interruption(error):
            raise
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise Unreachable(f"{url} cannot be reached ({type(error).__name__}: {line})") from error


def _fetch(files: Any, url: str, directory: Path, key: str) -> None:
    description = _read(files, f"{url}/{key}.json")
    if description is None:
        return
    content = _weights(files, url, key, description)
    make_cache(directory)
    entries.write(directory, key, content, description)


def _weights(files: Any, url: str, key: str, description: bytes) -> bytes:
    """What the notes of a key describe.

    Raises:
        Damaged: where it is not there, or something else is.
    """
    digest = entries.digest_of(Path(f"{key}.json"), key, description)
    content = _read(files, f"{url}/{digest}.safetensors")
    if content is None:
        raise Damaged(f"{digest}.safetensors is missing in {url}, though {key}.json describes it")
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{digest}.safetensors in {url} is not what was written: its SHA-256 differs")
    return content


def _read(files: Any, path: str) -> bytes | None:
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return None


def _put(files: Any, path: str, content: bytes) -> None:
    """Once; again where it was cut off."""
    if not files.exists(path) or files.size(path) != len(content):
        files.pipe_file(path, content)


def _is_whole(files: Any, url: str, key: str) -> bool:
    """Whether the notes of a key are there, and the weights that they describe."""
    description = _read(files, f"{url}/{key}.json")
    if description is None:
        return False
    try:
        _weights(files, url, key, description)
    except Damaged:
        return False
    return True


def _keys(files: Any, url: str) -> list[str]:
    try:
        listed = files.ls(url, detail=False, refresh=True)
    except FileNotFoundError:
        return []
    names = [str(path).rpartition("/")[2] for path in listed]
    return [match[1] for match in map(OURS.fullmatch, names) if match and match[2] == "json"]


def _remove(files: Any, url: str, key: str) -> None:
    """The notes first: without them there is no network."""
    notes = f"{url}/{key}.json"
    description = _read(files, notes) or b""
    files.rm_file(notes)
    with contextlib.suppress(Damaged, FileNotFoundError):
        files.rm_file(f"{url}/{entries.digest_of(Path(notes), key, description)}.safetensors")
