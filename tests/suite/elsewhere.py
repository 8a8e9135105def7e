"""Explainers and executors of tests, which another process can import."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pytest_saliency_sanity import NotApplicable
from pytest_saliency_sanity.explainers import gradient

_CALLS: list[int] = []


class Unpicklable(Exception):
    """It holds what no process can send, and is made of two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")
        self.held = threading.Lock()


def nan(model: Any, inputs: torch.Tensor, targets: Any) -> torch.Tensor:
    return inputs * float("nan")


def refuses(model: Any, inputs: Any, targets: Any) -> Any:
    raise NotApplicable("it needs another network")


def raises(model: Any, inputs: Any, targets: Any) -> Any:
    try:
        raise KeyError("first")
    except KeyError as error:
        raise Unpicklable("one", "two") from error


def interrupted(model: Any, inputs: Any, targets: Any) -> Any:
    raise KeyboardInterrupt


def killed_once(model: Any, inputs: Any, targets: Any, *, flag: str, sender: int) -> Any:
    """The gradient; of the processes beside the sender the first process that has come to its tenth call is killed."""
    if not Path(flag).exists() and os.getpid() != sender:
        _CALLS.append(1)
        if len(_CALLS) == 10:
            Path(flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return gradient(model, inputs, targets)


def of_threads(model: Any, inputs: Any, targets: Any) -> Any:
    """It warns of torch's threads, and of its default dtype."""
    raise RuntimeError(f"{torch.get_num_threads()} threads, {torch.get_default_dtype()}")


class Bound:
    """An explainer that knows its model, as captum's do."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, model: Any, inputs: Any, targets: Any) -> Any:
        if self.model is not model:
            warnings.warn("another model", stacklevel=1)
        return gradient(self.model, inputs, targets)


class LastFirst(Executor):
    """A process beside this one, as far as a task can tell; of the tasks that wait, it does the last one first.

    Args:
        breaks: after how many tasks the pool breaks.
        first: how many tasks have to wait before it begins.
    """

    def __init__(self, breaks: int | None = None, first: int = 1) -> None:
        self.breaks, self.first = breaks, first
        self.done: list[tuple[str, str]] = []
        self.waiting: list[tuple[Future[Any], Callable[..., Any], Any, Any]] = []
        self.changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        task, sent = arguments
        future: Future[Any] = Future()
        with self.changed:
            if self._broken:
                raise BrokenProcessPool("a worker was killed")
            self.waiting.append((future, function, replace(task, sender=("elsewhere", 0)), sent))
            self.changed.notify()
        return future

    @property
    def _broken(self) -> bool:
        return self.breaks is not None and len(self.done) >= self.breaks

    def _work(self) -> None:
        while not self._broken:
            with self.changed:
                self.changed.wait_for(lambda: len(self.waiting) >= self.first)
                self.first = 1
                future, function, task, sent = self.waiting.pop()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(task, sent))
            except BaseException as error:  # as a worker does
                future.set_exception(error)
            self.done.append((task.explainer, task.check.name if task.check else ""))
        with self.changed:
            for future, *_ in self.waiting:
                future.set_exception(BrokenProcessPool("a worker was killed"))
