"""What a worker of `audit(executor=)` does: one task, in the settings of the process that sends it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.settings import Settings
from pytest_saliency_sanity.suite import evaluation
from pytest_saliency_sanity.suite.results import Questions
from pytest_saliency_sanity.suite.transfers import SentError, SentVerdict, unpacked
from pytest_saliency_sanity.verdict import Verdict

CHOICES = (
    'ProcessPoolExecutor(2, mp_context=get_context("spawn")), loky.get_reusable_executor() or '
    "dask.distributed.Client(…).get_executor()"
)
_PROCESS = uuid.uuid4().hex, os.getpid()  # a forked process has the same first half
_one_at_a_time = threading.Lock()  # a worker of dask may have several threads


@dataclass(frozen=True)
class Task:
    """What a worker is asked.

    Attributes:
        explainer: its name.
        check: None means the contract.
        settings: of the run.
        tells: whether the run shows sentences at once.
        numerics: torch's threads, its default dtype, and whether it must be deterministic, in the sender.
        sender: the process that sends it.
    """

    explainer: str
    check: Check | None
    settings: Settings
    tells: bool
    numerics: tuple[int, torch.dtype, bool]
    sender: tuple[str, int]


@dataclass(frozen=True)
class Answer:
    """What a worker sends back; `error` is what was raised, if anything was."""

    verdict: SentVerdict | None = None
    skipped: str = ""
    seconds: float = 0.0
    error: SentError | None = None
    explained: tuple[int, ...] = ()
    told: tuple[str, ...] = ()


def task_of(name: str, check: Check | None) -> Task:
    """The task, with the settings that hold here."""
    present = settings.current()
    of_run = replace(
        present,
        cache=_from_anywhere(present.cache),
        progress=None,
        record=None,
        asserted=None,
        reports_contract=None,
        explained=None,
        tell=None,
    )
    return Task(name, check, of_run, present.tell is not None, _numerics(), _PROCESS)


def _from_anywhere(cache: str | Path | None) -> str | Path | None:
    return cache if cache is None or settings.is_url(cache) else str(Path(cache).absolute())


def answer(task: Task, sent: bytes) -> Answer:
    """What a worker does: it raises nothing that an explainer or a check may raise, but sends it back."""
    if task.sender[0] == _PROCESS[0]:
        here = task.sender[1] == os.getpid()
        error = TypeError(of_threads("one of threads")) if here else ValueError(forks("one that forks"))
        return Answer(error=SentError.of(error))
    with _one_at_a_time, _as_there(task):
        try:
            questions = unpacked(sent)
        except Exception as error:
            return Answer(error=SentError.of(_unloadable(error)))
        return _answered(task, questions)


def _answered(task: Task, questions: Questions) -> Answer:
    explained: list[int] = []
    told: list[str] = []
    tell = told.append if task.tells else None
    began = time.monotonic()
    with settings.using(replace(task.settings, explained=explained.append, tell=tell)):
        try:
            verdict, skipped = _asked(task, questions)
        except Exception as error:
            return Answer(error=SentError.of(error))
    sent = None if verdict is None else SentVerdict.of(verdict)
    return Answer(sent, skipped, time.monotonic() - began, None, tuple(explained), tuple(told))


def _asked(task: Task, questions: Questions) -> tuple[Verdict | None, str]:
    if task.check is not None:
        return questions.asked((task.explainer, task.check))
    if questions.case.model is None:
        return None, ""
    return evaluation.ask_contract(questions.explainers[task.explainer], task.explainer, questions.case), ""


@contextmanager
def _as_there(task: Task) -> Iterator[None]:
    """What of torch's settings changes numbers is as in the process that asks."""
    before = _numerics()
    _set_numerics(*task.numerics)
    try:
        yield
    finally:
        _set_numerics(*before)


def _numerics() -> tuple[int, torch.dtype, bool]:
    return torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()


def _set_numerics(threads: int, dtype: torch.dtype, deterministic: bool) -> None:
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.use_deterministic_algorithms(deterministic)


def _unloadable(error: Exception) -> RuntimeError:
    return RuntimeError(
        f"a worker of executor= cannot load what it was sent ({in_a_line(error)}): the modules of explainers, model "
        "and options must be importable there, and functions of a notebook belong into such a module"
    )


def of_threads(what: str) -> str:
    """Why threads are refused."""
    return (
        f"executor must not be {what}: threads share the model's weights and the random state; take {CHOICES}"
    )


def forks(what: str) -> str:
    """Why forked processes are refused."""
    return (
        f"executor must not be {what}: a forked process inherits torch's threads in a state that can hang; take "
        'ProcessPoolExecutor(2, mp_context=get_context("spawn")), or "forkserver"'
    )


def in_a_line(error: BaseException) -> str:
    """Its class and its words."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
