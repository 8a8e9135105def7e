"""The cache on disk: round trips, damage, interruption, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_saliency_sanity.trained_networks import store
from pytest_saliency_sanity.trained_networks.store import leftovers, locks

KEY, OTHER = "0123456789abcdef" * 2, "f" * 32
FACTS = {"labels": "true", "seed": 3, "accuracy": 0.98, "seconds": None, "cached": False}
MARKS = {".gitignore", "CACHEDIR.TAG"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "made" / "cache"


@pytest.fixture
def saved(cache: Path) -> Path:
    store.save(cache, KEY, nn.Linear(3, 2).state_dict(), FACTS)
    return cache


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - MARKS


def pair(key: str = KEY) -> set[str]:
    return {f"{key}.json", f"{key}.safetensors"}


# Round trips.

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool, torch.uint8]
TENSORS = st.builds(
    lambda shape, dtype, seed: torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
    st.lists(st.integers(0, 3), max_size=3), st.sampled_from(DTYPES), st.integers(0, 99),
)  # fmt: skip
NAMES = st.text().filter(lambda name: name != "__metadata__")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, TENSORS, max_size=4), st.dictionaries(st.text(), JSON, max_size=3))
def test_what_is_saved_is_loaded(state: dict[str, torch.Tensor], facts: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store.save(Path(directory), KEY, state, facts)
        entry = store.load(Path(directory), KEY)
    assert entry is not None and entry.facts == facts and entry.state.keys() == state.keys()
    for name, tensor in state.items():
        assert entry.state[name].dtype == tensor.dtype and torch.equal(entry.state[name], tensor)


def test_shared_strided_and_trainable_tensors_are_stored(cache: Path) -> None:
    weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    state = {"a": weight, "b": weight, "t": weight.T, "row": weight[1], "wide": torch.ones(1).expand(4),
             "c": torch.tensor([1 + 2j]).conj()}  # fmt: skip
    store.save(cache, KEY, state, {})
    entry = store.load(cache, KEY)
    assert entry is not None and all(torch.equal(entry.state[name], state[name]) for name in state)
    assert not any(tensor.requires_grad for tensor in entry.state.values())


def test_the_directory_is_made_and_marked_as_a_cache(saved: Path) -> None:
    assert names(saved) == pair()
    assert "*" in (saved / ".gitignore").read_text().splitlines()
    assert (saved / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_directory_of_somebody_elses_is_not_marked(tmp_path: Path) -> None:
    store.save(tmp_path, KEY, {}, {})
    assert {path.name for path in tmp_path.iterdir()} == pair()


def test_a_second_network_replaces_the_first(saved: Path) -> None:
    store.save(saved, KEY, {"w": torch.ones(1)}, {"n": 2})
    entry = store.load(saved, KEY)
    assert entry is not None and entry.facts == {"n": 2} and list(entry.state) == ["w"]
    assert names(saved) == pair()


def test_the_files_have_the_permissions_of_any_other(saved: Path) -> None:
    (saved / "other").touch()
    modes = {(saved / name).stat().st_mode for name in [*pair(), "other"]}
    assert len(modes) == 1


def test_there_is_no_entry_without_json(saved: Path, tmp_path: Path) -> None:
    (saved / f"{KEY}.json").unlink()
    assert store.load(saved, KEY) is None
    assert store.load(tmp_path / "missing", KEY) is None and not (tmp_path / "missing").exists()


# What cannot be stored.


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("x", {"n": 1}, "the state's entry 'x' cannot be stored: it is dict, not a tensor"),
        ("x", None, "the state's entry 'x' cannot be stored: it is NoneType, not a tensor"),
        ("x", nn.LazyLinear(2).weight, "the state's entry 'x' cannot be stored: it is a tensor without values"),
        ("x", torch.ones(1, device="meta"), "the state's entry 'x' cannot be stored: it is a tensor without values"),
        ("x", torch.eye(2).to_sparse(), "the state's entry 'x' cannot be stored: it is torch.sparse_coo, not dense"),
        (3, torch.ones(1), "the state's entry 3 cannot be stored: safetensors does not support this name"),
        ("__metadata__", torch.ones(1), "the state's entry '__metadata__' cannot be stored: safetensors does not "
         "support this name"),
        ("x", torch.ones(1, dtype=torch.complex128), "the state cannot be stored, because safetensors does not "
       "support torch.complex128"),
    ],
)  # fmt: skip
def test_what_safetensors_does_not_have_is_refused(cache: Path, name: Any, value: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(sentence)}$"):
        store.save(cache, KEY, {"w": torch.ones(1), name: value}, {})
    assert not cache.exists()


@pytest.mark.parametrize("key", ["", "../" + KEY, KEY.upper(), KEY + "0", KEY + "\n"])
def test_other_keys_are_refused(cache: Path, key: str) -> None:
    for call in (
        lambda: store.save(cache, key, {}, {}),
        lambda: store.load(cache, key),
        lambda: store.locked(cache, key, 0).__enter__(),
    ):
        with pytest.raises(ValueError, match=r"^a key has 32 hexadecimal digits, not '"):
            call()


def test_facts_that_json_does_not_have_are_refused(cache: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.save(cache, KEY, {}, {"model": object()})
    assert not cache.exists()


# Damage.


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import os; os.environ['EXPLODED'] = 'yes'",)


def _rewritten(directory: Path, **changes: Any) -> None:
    path = directory / f"{KEY}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _foreign_weights(directory: Path, content: bytes) -> None:
    """Weights that are another format's, though their digest fits."""
    (directory / f"{KEY}.safetensors").write_bytes(content)
    _rewritten(directory, sha256=hashlib.sha256(content).hexdigest())


def _edited(suffix: str, edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = directory / f"{KEY}.{suffix}"
        path.write_bytes(edit(path.read_bytes()))

    return damage


@pytest.mark.parametrize(
    "damage, sentence",
    [
        pytest.param(_edited("safetensors", lambda b: b[:-1]),
                     r"safetensors is not the file that was written: its SHA-256 differs", id="truncated weights"),
        pytest.param(_edited("safetensors", lambda b: b[:-1] + bytes([b[-1] ^ 1])), "safetensors is not the file",
                     id="a flipped bit"),
        pytest.param(lambda d: (d / f"{KEY}.safetensors").unlink(), rf"safetensors is missing, though {KEY}\.json "
                     "describes it", id="no weights"),
        pytest.param(lambda d: _foreign_weights(d, b""), "safetensors is not a safetensors file: ", id="empty weights"),
        pytest.param(lambda d: _foreign_weights(d, pickle.dumps(Bomb())), "safetensors is not a safetensors file: ",
                     id="a pickle"),
        pytest.param(_edited("json", lambda b: b[:-5]), "json is not JSON: ", id="truncated JSON"),
        pytest.param(_edited("json", lambda b: b""), "json is not JSON: ", id="empty JSON"),
        pytest.param(_edited("json", lambda b: pickle.dumps(Bomb())), "json is not JSON: ", id="a pickle as JSON"),
        pytest.param(_edited("json", lambda b: b"[" * 100_000), "json is not JSON: ", id="deep JSON"),
        pytest.param(_edited("json", lambda b: b"[]"), "json is not a JSON object but list", id="a list"),
        pytest.param(lambda d: _rewritten(d, format=2), "json has the format 2, not 1", id="another format"),
        pytest.param(lambda d: _rewritten(d, key=OTHER), f"json belongs to another network: its key is '{OTHER}'",
                     id="another key"),
        pytest.param(lambda d: _rewritten(d, facts=None), "json lacks the digest of the weights or the facts",
                     id="no facts"),
        pytest.param(lambda d: _rewritten(d, sha256=None), "json lacks the digest", id="no digest"),
        pytest.param(lambda d: _rewritten(d, facts={"accuracy": 1.0}),
                     "json is not the file that was written: the SHA-256 of its facts differs", id="other facts"),
    ],
)  # fmt: skip
def test_damage_is_told_and_nothing_is_unpickled(
    saved: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(saved)
    with pytest.raises(store.Damaged, match=rf"^{KEY}\.{sentence}"):
        store.load(saved, KEY)
    assert "EXPLODED" not in os.environ


def test_the_bomb_explodes_where_it_is_unpickled() -> None:
    pickle.loads(pickle.dumps(Bomb()))
    assert os.environ.pop("EXPLODED") == "yes"


def test_a_directory_in_place_of_a_file_is_damage(saved: Path) -> None:
    (saved / f"{KEY}.json").unlink()
    (saved / f"{KEY}.json").mkdir()
    with pytest.raises(store.Damaged, match=rf"^{KEY}\.json cannot be read: Is a directory$"):
        store.load(saved, KEY)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_altered_byte_is_damage_or_changes_nothing(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        cache = Path(directory)
        store.save(cache, KEY, {"w": torch.ones(2)}, FACTS)
        path = cache / data.draw(st.sampled_from(sorted(pair())))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with contextlib.suppress(store.Damaged):
            entry = store.load(cache, KEY)
            assert entry is not None and entry.facts == FACTS and torch.equal(entry.state["w"], torch.ones(2))
            assert path.suffix == ".json"


# Interruption.


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("function, call", [("replace", 1), ("replace", 2), ("fsync", 1), ("fsync", 2)])
@pytest.mark.parametrize("again", [False, True])
def test_an_interrupted_save_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, function: str, call: int, again: bool
) -> None:
    if again:
        store.save(cache, KEY, {"w": torch.zeros(2)}, {"n": 1})
    calls, real = [], getattr(os, function)

    def interrupted(*args: Any) -> None:
        calls.append(args)
        if len(calls) == call:
            raise error
        real(*args)

    monkeypatch.setattr(os, function, interrupted)
    with pytest.raises(type(error)):
        store.save(cache, KEY, {"w": torch.ones(2)}, {"n": 2})
    monkeypatch.undo()
    kept = again and function == "fsync"  # the old entry is whole until the new one is
    assert names(cache) == (pair() if kept else set())
    entry = store.load(cache, KEY)
    assert entry.facts == {"n": 1} if kept else entry is None


def test_weights_come_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets, real = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (targets.append(Path(b).suffix), real(a, b)))
    store.save(cache, KEY, {}, {})
    assert targets == [".safetensors", ".json"]


# Clearing.


def test_clear_removes_networks_and_leftovers_and_nothing_else(saved: Path) -> None:
    store.save(saved, OTHER, {}, {})
    foreign = {"notes.json", "model.safetensors", f"{KEY}.txt", f"{KEY[:-1]}.json", f"{KEY.upper()}.json", "a.lock",
               f"{KEY}.x.tmp"}  # fmt: skip
    for name in [*foreign, f"{'a' * 32}.safetensors", f"{'b' * 32}.lock", f"{'c' * 32}.{'0' * 16}.tmp"]:
        (saved / name).touch()
    assert store.clear(saved) == 2
    assert names(saved) == foreign and {path.name for path in saved.iterdir()} >= MARKS
    assert store.clear(saved) == 0


def test_clear_of_a_missing_directory_is_zero(tmp_path: Path) -> None:
    assert store.clear(tmp_path / "missing") == 0 and not (tmp_path / "missing").exists()


def test_clear_leaves_a_network_that_is_being_made(saved: Path) -> None:
    store.save(saved, OTHER, {}, {})
    with store.locked(saved, KEY, 0):
        assert store.clear(saved) == 1
        assert names(saved) == {*pair(), f"{KEY}.lock"}


# Locks.

ROOT = Path(__file__).parents[2]

COUNT = """
    import sys, time
    from pathlib import Path
    from pytest_saliency_sanity.trained_networks import store
    from pytest_saliency_sanity.trained_networks.store import locks
    directory, key, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    locks._PAUSE = 0.0005  # many handovers
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(times):
        with store.locked(directory, key, 60):
            count = int((directory / "count").read_text())
            time.sleep(0.0005)
            (directory / "count").write_text(str(count + 1))
"""

HOLD = """
    import math, signal, sys, time
    from pathlib import Path
    from pytest_saliency_sanity.trained_networks import store
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
    with store.locked(Path(sys.argv[1]), sys.argv[2], math.inf):
        print("held", flush=True)
        time.sleep(60)
"""


def started(script: str, *args: str) -> subprocess.Popen[str]:
    """A process that runs `script` and has printed its first line."""
    return begun((script, *args))[0]


def begun(*scripts: tuple[str, ...]) -> list[subprocess.Popen[str]]:
    """Processes that run a script with arguments each and have printed their first lines; they start side by side."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
        )
        for script, *args in scripts
    ]  # fmt: skip
    assert all(process.stdout.readline() for process in processes)
    return processes


def ended(process: subprocess.Popen[str], by: int | None = None) -> int:
    if by is not None:
        process.send_signal(by)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.extended)])
def test_processes_take_turns_and_leave_no_lock_file(tmp_path: Path, count: int) -> None:
    (tmp_path / "count").write_text("0")
    processes = begun(*[(COUNT, str(tmp_path), KEY, "100")] * count)
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [ended(process) for process in processes] == [0] * count
    assert (tmp_path / "count").read_text() == str(100 * count)
    assert names(tmp_path) == {"count"}


def test_threads_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PAUSE", 0.0005)
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with store.locked(tmp_path, KEY, 60):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80 and names(tmp_path) == set()


@pytest.mark.parametrize("by", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.extended)])
def test_a_holder_that_is_killed_does_not_block(cache: Path, by: int) -> None:
    holder = started(HOLD, str(cache), KEY)
    with pytest.raises(store.Busy), store.locked(cache, KEY, 0):
        pass
    assert ended(holder, by) != 0
    assert names(cache) == ({f"{KEY}.lock"} if by == signal.SIGKILL else set())
    with store.locked(cache, KEY, 5):
        pass
    assert names(cache) == set()


def test_the_time_runs_out_with_a_sentence(cache: Path) -> None:
    with store.locked(cache, KEY, 0):
        began = time.monotonic()
        with pytest.raises(store.Busy, match=rf"^another process holds .*{KEY}\.lock; waited 0\.2 s for it$"), \
                store.locked(cache, KEY, 0.2):  # fmt: skip
            pass
        assert 0.2 <= time.monotonic() - began < 5
        assert names(cache) == {f"{KEY}.lock"}
    assert names(cache) == set()


def test_other_keys_do_not_wait(cache: Path) -> None:
    with store.locked(cache, KEY, 0), store.locked(cache, OTHER, 0):
        assert names(cache) == {f"{KEY}.lock", f"{OTHER}.lock"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_no_lock_file_stays_after_an_exception(cache: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), store.locked(cache, KEY, math.inf):
        raise error
    assert names(cache) == set()
    with store.locked(cache, KEY, 0):
        pass


def test_no_lock_file_stays_of_an_interrupted_attempt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = fcntl.flock, []

    def interrupted(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt), store.locked(cache, KEY, math.inf):
        pass
    assert len(calls) > 1 and names(cache) == set()


def test_a_lock_of_a_file_without_its_name_does_not_count(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder removes the file and another makes a new one, after ours was opened and before it is locked."""
    real, calls = fcntl.flock, []

    def late(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 1:
            (cache / f"{KEY}.lock").unlink()
            (cache / f"{KEY}.lock").touch()
        real(*args)

    monkeypatch.setattr(fcntl, "flock", late)
    with store.locked(cache, KEY, 5), open(cache / f"{KEY}.lock") as named, pytest.raises(BlockingIOError):
        real(named, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert len(calls) > 1 and names(cache) == set()


def test_a_symbolic_link_is_not_followed(cache: Path, tmp_path: Path) -> None:
    cache.mkdir(parents=True)
    (tmp_path / "precious").write_text("words")
    (cache / f"{KEY}.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError), store.locked(cache, KEY, 0):
        pass
    assert (tmp_path / "precious").read_text() == "words"


def test_a_file_system_without_locks_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "no flock")

    monkeypatch.setattr(fcntl, "flock", missing)
    with pytest.raises(OSError, match="the file system has no locks"), store.locked(cache, KEY, 0):
        pass
    assert names(cache) == set()


# Sweeping.

WRITE = """
    import os, signal, sys
    from pathlib import Path
    import torch
    from pytest_saliency_sanity.trained_networks import store
    from pytest_saliency_sanity.trained_networks.store import entries
    directory, key, by = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    def write(path, content):
        path.write_bytes(content)
        print("written", flush=True)
        sys.stdin.readline() if by == "waits" else os.kill(os.getpid(), signal.SIGKILL)
    entries._write = write
    with store.locked(directory, key, 10):
        store.save(directory, key, {"w": torch.ones(2)}, {})
"""


def temporaries(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.tmp")}


@pytest.fixture(scope="module")
def forsaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as a writer left it that was killed."""
    directory = tmp_path_factory.mktemp("forsaken")
    assert ended(started(WRITE, str(directory), OTHER, "dies")) != 0
    return directory


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize("then", ["save", "load", "clear", "locked save"])
def test_what_a_killed_writer_left_is_swept(cache: Path, forsaken: Path, key: str, then: str) -> None:
    shutil.copytree(forsaken, cache)
    assert len(temporaries(cache)) == 1
    if then == "save":
        store.save(cache, key, {}, {})
    elif then == "load":
        store.load(cache, key)
    elif then == "clear":
        store.clear(cache)
    else:
        with store.locked(cache, key, 5):
            store.save(cache, key, {}, {})
    assert temporaries(cache) == set()


@pytest.mark.extended
def test_what_a_living_writer_writes_stays(cache: Path) -> None:
    process = started(WRITE, str(cache), OTHER, "waits")
    present = temporaries(cache)
    assert len(present) == 1
    store.save(cache, KEY, {}, {})
    assert temporaries(cache) == present
    assert store.load(cache, KEY) is not None and temporaries(cache) == present
    assert store.clear(cache) == 1 and temporaries(cache) == present
    process.stdin.write("\n\n")
    process.stdin.flush()
    assert ended(process) == 0
    assert store.load(cache, OTHER) is not None and temporaries(cache) == set()


def test_without_locks_only_what_is_old_is_swept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    young, old = (cache / f"{OTHER}.{digit * 16}.tmp" for digit in "01")
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 2 * leftovers._FORSAKEN,) * 2)

    @contextlib.contextmanager
    def none(*arguments: Any) -> Iterator[None]:
        raise OSError("no locks")
        yield

    monkeypatch.setattr(leftovers, "locked", none)
    store.save(cache, KEY, {}, {})
    assert temporaries(cache) == {young.name}


def test_foreign_temporary_files_stay(saved: Path) -> None:
    foreign = {f"{KEY}.x.tmp", "notes.tmp", f"{'a' * 31}.{'0' * 16}.tmp"}
    for name in foreign:
        (saved / name).touch()
    store.save(saved, OTHER, {}, {})
    assert temporaries(saved) == foreign


def test_what_cannot_be_swept_is_no_trouble(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (saved / f"{OTHER}.{'0' * 16}.tmp").touch()

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(leftovers, "_remove_temporary", refuse)
    assert store.load(saved, KEY).facts == FACTS
