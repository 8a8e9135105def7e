"""Caches and locks: joblib, diskcache, filelock, safetensors, load_state_dict."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from tests.trained_networks import test_safekeeping
from tests.trained_networks.test_store import Bomb

ROOT = Path(__file__).parents[3]


def altered_bytes(times: int = 1000) -> str:
    """How many files of safetensors load as other weights when one byte of them is altered."""
    state, draws = nn.Linear(30, 20).state_dict(), random.Random(0)
    content, other = safetensors.torch.save(state), 0
    for _ in range(times):
        altered = bytearray(content)
        altered[draws.randrange(len(altered))] ^= draws.randrange(1, 256)
        try:
            loaded = safetensors.torch.load(bytes(altered))
        except Exception:
            continue
        same = loaded.keys() == state.keys() and all(torch.equal(loaded[name], state[name]) for name in state)
        other += not same
    return f"safetensors loads {other} of {times} files with an altered byte"


def planted_pickles() -> str:
    """Whether a cache runs the code of a pickle that lies where its own lay."""
    import diskcache
    import joblib

    directory, found = Path(tempfile.mkdtemp()), []
    memory = joblib.Memory(directory / "joblib", verbose=0).cache(_same)
    memory(1)
    next((directory / "joblib").rglob("output.pkl")).write_bytes(pickle.dumps(Bomb()))
    memory(1)
    found.append(f"joblib.Memory: {os.environ.pop('EXPLODED', 'no')}")
    cache = diskcache.Cache(directory / "diskcache")
    cache["x"] = (1, [2])
    cache._sql("UPDATE Cache SET value = ? WHERE key = 'x'", (memoryview(pickle.dumps(Bomb())),))
    _ = cache["x"]
    found.append(f"diskcache: {os.environ.pop('EXPLODED', 'no')}")
    return f"runs the code of a planted pickle: {', '.join(found)}"


def _same(value: Any) -> Any:
    return value


TRAIN = """
    import sys, time
    directory = sys.argv[1]
    def train(number):
        with open(directory + "/log", "a") as log:
            log.write("x")
        time.sleep(3)
"""
JOBS = {
    "joblib.Memory": "import joblib; made = joblib.Memory(directory + '/cache', verbose=0).cache(train)",
    "diskcache.memoize": "import diskcache; made = diskcache.Cache(directory + '/cache').memoize()(train)",
    "safekeeping.kept": """
from pathlib import Path
from collections import OrderedDict
from tests.trained_networks.test_safekeeping import Made
from pytest_saliency_sanity.trained_networks.safekeeping import Making, kept
from torch import nn
making = Making("0" * 32, lambda: nn.Linear(1, 1), Made, lambda: train(1) or Made(nn.Linear(1, 1)))
made = lambda number: kept(making, OrderedDict(), cache=Path(directory))
""",
}


def trainings() -> str:
    """How often two processes train that ask for the same network at once."""
    return "two processes train " + ", ".join(
        f"{_times_trained(job)} times by {name}" for name, job in JOBS.items()
    )


def _times_trained(job: str) -> int:
    directory = tempfile.mkdtemp()
    script = Path(directory) / "job.py"  # joblib wants a file
    script.write_text(f"{textwrap.dedent(TRAIN)}\n{job}\nprint(flush=True); sys.stdin.readline(); made(1)\n")
    processes = [_started(str(script), directory) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    return len((Path(directory) / "log").read_text())


LOCKS = {
    "diskcache.Lock": "import diskcache; lock = diskcache.Lock(diskcache.Cache(sys.argv[1]), 'key')",
    "filelock.FileLock": "import filelock; lock = filelock.FileLock(sys.argv[1] + '/key')",
}


def killed_holders(wait: float = 8) -> str:
    """Whose lock ends with the process that held it."""
    return "the lock of a killed process is " + ", ".join(
        f"{'free' if _is_free_again(lock, wait) else 'held for ever'} ({name})"
        for name, lock in LOCKS.items()
    )


def _is_free_again(lock: str, wait: float) -> bool:
    directory = tempfile.mkdtemp()
    script = f"import sys, time; {lock}; lock.acquire(); print(flush=True); time.sleep(float(sys.argv[2]))"
    holder = _started("-c", script, directory, "60")
    holder.stdout.readline()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    waiting = _started("-c", script, directory, "0")
    try:
        return waiting.wait(wait) == 0
    except subprocess.TimeoutExpired:
        waiting.kill()
        return False


def _started(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def half_loaded() -> str:
    """How many states that do not fit change a network on the way to the exception."""
    changes, changed = ["shape", "missing", "renamed", "more"], 0
    for change in changes:
        model = test_safekeeping.network()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        try:
            model.load_state_dict(test_safekeeping.other_state(change))
        except RuntimeError:
            changed += any(not torch.equal(before[name], part) for name, part in model.state_dict().items())
    return f"load_state_dict changes the network for {changed} of {len(changes)} states that do not fit"


MEASURES = (altered_bytes, planted_pickles, trainings, killed_holders, half_loaded)
