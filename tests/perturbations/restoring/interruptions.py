"""Exceptions raised at each line of the code that takes something from the user and gives it back.

A recording run finds the lines that a piece of work executes; then one run for each of them raises an exception
right before it. Everything is done by `sys.settrace`, as a debugger would.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.overrides
from torch import nn
from torch.nn.modules import module as torch_module

import pytest_saliency_sanity
from tests.perturbations.state import state_of

PACKAGE = Path(pytest_saliency_sanity.__file__).parent
ROOMS = (
    "loans.py", "signals.py", "outputs.py", "perturbations/restoring/preservation.py",
    "perturbations/restoring/modes.py", "perturbations/restoring/process.py",
    "perturbations/restoring/snapshots.py", "perturbations/restoring/streams.py",
    "perturbations/weights/randomization.py", "perturbations/weights/execution.py",
    "perturbations/weights/initialization.py", "audited/subject.py", "examination/single_analysis.py",
    "sensitivity/sequential_audit.py", "sensitivity/cascade.py", "sensitivity/permuted_labels.py",
    "sensitivity/network_agreement.py", "examination/explanation.py", "sensitivity/survey.py",
    "checks/model_sensitivity.py", "checks/target_sensitivity.py", "checks/data_sensitivity.py",
    "sensitivity/memorization.py", "relevance/deletion_curves.py",
)  # fmt: skip
EXCEPTIONS = (KeyboardInterrupt, TimeoutError, SystemExit)
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGUSR1") if hasattr(signal, name)
)


@dataclass(frozen=True, order=True)
class Place:
    """The `hit`-th time, from 1, that a line of a file is about to run."""

    file: str
    line: int
    hit: int

    def __str__(self) -> str:
        return f"{Path(self.file).relative_to(PACKAGE).as_posix()}:{self.line}#{self.hit}"


def world(*models: nn.Module) -> tuple[Any, ...]:
    """All that must not be left changed: the models, and what the process has only one of."""
    return (
        [state_of(model) for model in models],
        [signal.getsignal(number) for number in SIGNALS],
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch._C._len_torch_function_stack(),
        [
            len(hooks)
            for hooks in (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
        ],
        pytest_saliency_sanity.outputs.current_forward(),
    )


def places(work: Callable[[], Any], files: tuple[str, ...] = ROOMS, once: bool = False) -> list[Place]:
    """The lines that `work` runs in `files`: the first, a middle and the last time of each, or the first alone."""
    counted: Counter[tuple[str, int]] = Counter()

    def note(file: str, line: int) -> None:
        counted[file, line] += 1

    _traced(work, note, files)
    found = []
    for (file, line), times in sorted(counted.items()):
        hits = {1} if once else {1, times // 2 + 1, times}
        found += [Place(file, line, hit) for hit in sorted(hits)]
    return found


def interrupted(work: Callable[[], Any], place: Place, kind: type[BaseException]) -> BaseException | None:
    """The exception that `work` ends with when one of `kind` is raised at a place; None where there is none."""
    passed = 0

    def strike(file: str, line: int) -> None:
        nonlocal passed
        if (file, line) == (place.file, place.line):
            passed += 1
            if passed == place.hit:
                raise kind(str(place))

    try:
        _traced(work, strike, ROOMS)
    except BaseException as error:
        return error
    return None


def left_changed(
    work: Callable[[], Any], models: list[nn.Module], at: list[Place], kinds: tuple[type[BaseException], ...]
) -> Iterator[str]:
    """One run for each place and kind of exception: where something is left changed, or the exception is lost."""
    for place in at:
        for kind in kinds:
            before = world(*models)
            error = interrupted(work, place, kind)
            after = world(*models)
            if before != after:
                yield f"{place} {kind.__name__}: {_different(before, after)}"
                del error
                gc.collect()
            elif not isinstance(error, kind) or str(error) != str(place):
                yield f"{place} {kind.__name__}: arrived as {error!r}"


def _different(before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
    names = "models", "handlers", "grad mode", "inference mode", "dtype", "function modes", "hooks", "forward"
    return ", ".join(n for n, a, b in zip(names, before, after, strict=True) if a != b)


def _traced(work: Callable[[], Any], visit: Callable[[str, int], None], files: tuple[str, ...]) -> None:
    wanted = {str(PACKAGE / file) for file in files}

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            visit(frame.f_code.co_filename, frame.f_lineno)
        return local

    def calls(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename in wanted else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        work()
    finally:
        sys.settrace(before)
