"""A cache in an object store: what one machine has trained is found by others, and nothing is written twice."""

from __future__ import annotations

import json
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.trained_networks import store
from pytest_saliency_sanity.trained_networks.safekeeping import TwinCacheWarning, is_kept, kept
from pytest_saliency_sanity.trained_networks.store import objects
from tests.trained_networks.test_safekeeping import Made, making

Machine = Callable[[str], Path]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    """The folder that stands for an object store on a machine of its own."""
    made: list[Path] = []

    def enter(url: str) -> Path:
        made.append(tmp_path / str(len(made)))
        made[-1].mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(made[-1]))
        monkeypatch.setattr(objects, "_URLS", {})
        return store.folder(url)

    return enter


@pytest.fixture
def url() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield "memory://bucket/networks"
    files.store.clear()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket/networks/"
    server.stop()


def one(folder: Path, trained: list[int], number: int = 0) -> Made:
    return kept(making(number, trained), OrderedDict(), cache=folder)


def shares_networks(machine: Machine, url: str) -> None:
    trained: list[int] = []
    first = one(machine(url), trained)
    here = one(store.folder(url), trained)
    other = machine(url)
    assert is_kept(making(0, trained).key, OrderedDict(), other)
    there = one(other, trained)
    assert trained == [0]
    assert [made.cached for made in (first, here, there)] == [False, True, True]
    assert torch.equal(there.model.weight, first.model.weight)  # type: ignore[arg-type]
    assert store.clear(other) == 1
    one(machine(url), trained)
    assert trained == [0, 0]


def test_what_one_machine_has_trained_is_found_by_others(machine: Machine, url: str) -> None:
    shares_networks(machine, url)


@pytest.mark.extended
def test_it_is_found_in_a_bucket_of_s3(machine: Machine, bucket: str) -> None:
    shares_networks(machine, bucket)


def objects_of(url: str) -> dict[str, bytes]:
    files, root = fsspec.url_to_fs(url)
    return {path.rpartition("/")[2]: files.cat_file(path) for path in files.find(root)}


def test_nothing_is_written_twice(machine: Machine, url: str) -> None:
    """Two machines train at once: the second finds the notes of the first, and leaves them."""
    folders = machine(url), machine(url)
    objects._URLS.update(dict.fromkeys(folders, url))
    key = making(0, []).key
    for number, folder in enumerate(folders):
        store.save(folder, key, nn.Linear(1, 1).state_dict(), {"number": number})
        store.share(folder, key)
    found = objects_of(url)
    assert len(found) == 3  # the weights of both, for no object is replaced
    assert json.loads(found[f"{key}.json"])["facts"] == {"number": 0}


@pytest.mark.parametrize("what", ["truncated", "missing", "other notes", "a path as a digest"])
def test_damage_is_found_and_mended(machine: Machine, url: str, what: str) -> None:
    trained: list[int] = []
    one(machine(url), trained)
    files, root = fsspec.url_to_fs(url)
    key = making(0, trained).key
    weights = next(path for path in files.find(root) if path.endswith(".safetensors"))
    notes = f"{root}/{key}.json"
    if what == "truncated":
        files.pipe_file(weights, files.cat_file(weights)[:-1])
    elif what == "missing":
        files.rm_file(weights)
    elif what == "other notes":
        files.pipe_file(notes, b"{}")
    else:
        known = json.loads(files.cat_file(notes)) | {"sha256": "../../secrets"}
        files.pipe_file(notes, json.dumps(known).encode())
    with pytest.warns(TwinCacheWarning, match="trained again"):
        one(machine(url), trained)
    assert trained == [0, 0]
    assert one(machine(url), trained).cached and trained == [0, 0]


def test_a_store_that_cannot_be_reached_costs_no_verdict(
    machine: Machine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("no access\nmore of it")

    trained: list[int] = []
    folder = machine(url)
    for name in ("cat_file", "exists"):
        monkeypatch.setattr(fsspec.get_filesystem_class("memory"), name, refused)
    with pytest.warns(TwinCacheWarning) as told:
        assert not one(folder, trained).cached
    words = [str(one.message) for one in told]
    assert words == [
        f"{url} cannot be reached (PermissionError: no access); the network is trained again",
        f"{url} cannot be reached (PermissionError: no access); the network is kept on this machine",
    ]
    monkeypatch.undo()
    assert not is_kept("0" * 32, OrderedDict(), folder)


def test_folders_and_urls() -> None:
    assert store.folder("networks") == Path("networks")
    assert store.folder(Path("networks")) == Path("networks")
    assert store.folder("memory://a/") == store.folder("memory://a") != store.folder("memory://b")
    with pytest.raises(settings.SettingsError, match="'nothing://a/b'"):
        settings.overridden(settings.current(), cache="nothing://a/b")
    assert settings.overridden(settings.current(), cache="s3://a/b").cache == "s3://a/b"
