"""300 calls of each check hold memory, hooks, threads and open files flat, and leave the process as it was."""

from __future__ import annotations

import gc
import random
import statistics
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_modules

from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.examination import kept_memory
from pytest_saliency_sanity.examination.memory import held_of
from pytest_saliency_sanity.explainers import gradient, input_x_gradient
from pytest_saliency_sanity.perturbations.restoring.process_hooks import process_hooks
from tests.checks.models import cnn, images

CALLS, WARM, SAMPLES = 300, 60, 7
# Bytes for each call, the median of six stretches of 40 calls. Where nothing leaks the first was at most 70, of which
# the samples themselves are a part, and the second at most 310; a map of these images has 576.
PER_CALL = 512  # that the C library may have given more
RESIDENT = (
    8 * 1024
)  # by which the resident memory may grow: a page or two, which a shared arena takes at once
pytestmark = pytest.mark.extended
TRAINING = images(24, seed=1), torch.arange(24) % 2
BOXES = torch.tensor([[3, 3, 8, 8]]).expand(16, -1)

OPTIONS: dict[str, dict[str, Any]] = {
    "insertion_deletion": {"steps": 4},
    "localization": {"regions": BOXES},
    "parity": {"reference": input_x_gradient},
    "distancing": {"classes": (0, 1), "alphas": (1.0,), "epochs": 1, "min_agreement": 0.0, "data": TRAINING},
}  # fmt: skip


def asking(name: str) -> Callable[[], Any]:
    """One call of a check, with the same arguments each time."""
    check = next(one for one in CHECKS if one.name == name)
    model, inputs = cnn(classes=2), images(16)
    if name == "data_sensitivity":
        untrained = partial(cnn, classes=2)
        return partial(check.load(), gradient, untrained, TRAINING, inputs, max_epochs=60, cache=None)
    return partial(check.load(), gradient, model, inputs, **OPTIONS.get(name, {}))


@dataclass(frozen=True)
class Seen:
    """What a process has at a moment.

    Attributes:
        allocated: bytes that the C library has given; 0 where it does not say.
        resident: bytes of memory that the process holds.
        others: all that has to stay exactly the same.
    """

    allocated: int
    resident: int
    tensors: int
    tensor_bytes: int
    hooks: int
    global_hooks: str
    threads: int
    tasks: int
    files: tuple[str, ...]
    filters: int
    callbacks: int
    random: int
    settings: tuple[Any, ...]


GROWING = ("allocated", "resident")


def seen() -> Seen:
    gc.collect()
    listed = [one for one in gc.get_objects() if issubclass(type(one), (Tensor, nn.Module))]
    tensors = [one for one in listed if isinstance(one, Tensor)]
    counter = kept_memory._counter()
    return Seen(
        allocated=counter() if counter else 0,
        resident=held_of(torch.device("cpu")),
        tensors=len(tensors),
        tensor_bytes=kept_memory.held_by(tensors),
        hooks=sum(_hooks(one) for one in listed),
        global_hooks=str(process_hooks()),
        threads=threading.active_count(),
        tasks=len(list(Path("/proc/self/task").iterdir())),
        files=tuple(sorted(_files())),
        filters=len(warnings.filters),
        callbacks=len(gc.callbacks),
        random=hash((torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), random.getstate())),
        settings=(
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), np.geterr()["over"],
            torch.are_deterministic_algorithms_enabled(),
        ),
    )  # fmt: skip


def _files() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield f"{link.name} {link.readlink()}"
        except FileNotFoundError:  # that of this very listing
            continue


def _hooks(one: Tensor | nn.Module) -> int:
    if isinstance(one, nn.Module):
        return sum(len(value) for name, value in vars(one).items() if name.endswith("hooks") and value)
    return sum(
        len(getattr(one, name, None) or ()) for name in ("_backward_hooks", "_post_accumulate_grad_hooks")
    )


def leaks_of(call: Callable[[], Any], calls: int = CALLS, warm: int = WARM) -> dict[str, Any]:
    """What changes between the samples, each after as many calls; of memory, the growth for each call."""
    for _ in range(warm):
        call()
    samples, between = [seen()], (calls - warm) // (SAMPLES - 1)
    while len(samples) < SAMPLES:
        for _ in range(between):
            call()
        samples.append(seen())
    grown = {
        name: statistics.median(np.diff([getattr(one, name) for one in samples])) / between
        for name in GROWING
    }
    found: dict[str, Any] = {
        name: rate
        for (name, rate), most in zip(grown.items(), (PER_CALL, RESIDENT), strict=True)
        if rate > most
    }
    for field in fields(Seen):
        values = [getattr(one, field.name) for one in samples]
        if field.name not in GROWING and len(set(values)) > 1:
            found[field.name] = values
    return found


@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_calls_of_a_check_leave_nothing(name: str) -> None:
    assert leaks_of(asking(name)) == {}


# What this would find.

KEPT: list[Any] = []


def _a_file() -> None:
    KEPT.append(tempfile.TemporaryFile())  # noqa: SIM115  # it is to stay open


def _a_growing_tensor() -> None:
    KEPT[:] = [torch.cat([*KEPT, torch.zeros(1)])]


def _a_thread() -> None:
    KEPT.append(threading.Event())
    threading.Thread(target=KEPT[-1].wait, daemon=True).start()


PLANTED: dict[str, tuple[Callable[[], Any], str]] = {
    "a tensor": (lambda: KEPT.append(torch.zeros(1)), "tensors"),
    "a growing tensor": (_a_growing_tensor, "tensor_bytes"),
    "a hook": (lambda: KEPT[0].register_forward_hook(print) if KEPT else KEPT.append(nn.ReLU()), "hooks"),
    "a global hook": (
        lambda: KEPT.append(of_modules.register_module_forward_hook(lambda *given: None)),
        "global_hooks",
    ),
    "memory": (lambda: KEPT.append(bytes(2000)), "allocated"),
    "much memory": (lambda: KEPT.append(np.ones(20_000)), "resident"),
    "a thread": (_a_thread, "threads"),
    "a file": (_a_file, "files"),
    "a filter": (lambda: warnings.filterwarnings("ignore", f"number {random.random()}"), "filters"),
    "random numbers": (lambda: torch.rand(1), "random"),
    "a setting": (lambda: torch.set_grad_enabled(not torch.is_grad_enabled()), "settings"),
}  # fmt: skip


@pytest.mark.parametrize("leave, found", PLANTED.values(), ids=PLANTED)
def test_what_a_check_would_leave_is_found(leave: Callable[[], Any], found: str) -> None:
    ask = asking("contract")

    def leaking() -> None:
        ask()
        leave()

    try:
        with warnings.catch_warnings():
            assert found in leaks_of(leaking, calls=45, warm=15)
    finally:
        _clear()


def _clear() -> None:
    torch.set_grad_enabled(True)
    for one in KEPT:
        for end in ("set", "close", "remove"):
            getattr(one, end, lambda: None)()
    KEPT.clear()
