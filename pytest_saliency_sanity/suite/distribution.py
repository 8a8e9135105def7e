"""One audit on many processes: which executors will do, who asks what, and who finishes what a broken pool leaves.

A task is one check of one explainer. Contracts come first; then each check once, of the explainer whose contract took
longest, so that workers that begin together do not make the same control; then what is expected to take longest, so
that no long task is left to the end. The workers share a folder, which ends with the audit.

A worker unpacks the questions anew for each task, so that no verdict depends on what the worker did before. The random
streams of a check come from its seed alone.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.suite import evaluation
from pytest_saliency_sanity.suite.results import Pair, Questions, Result
from pytest_saliency_sanity.suite.transfers import packed
from pytest_saliency_sanity.suite.workers import (
    CHOICES,
    Answer,
    answer,
    forks,
    in_a_line,
    of_threads,
    task_of,
)
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.verdict import Verdict


def checked_executor(executor: Any) -> Executor | None:
    """The executor, if its workers are processes that are not forked; None where there is none.

    Raises:
        TypeError: for what is no executor of processes, with the choices.
        ValueError: for a pool that forks, with the way out.
    """
    if executor is None:
        return None
    if isinstance(executor, ThreadPoolExecutor):
        raise TypeError(of_threads(shown(executor)))
    if not isinstance(executor, Executor):
        raise TypeError(
            f"executor must be a concurrent.futures.Executor of processes: {CHOICES}; not {shown(executor)}"
        )
    context = getattr(executor, "_mp_context", None) or getattr(executor, "_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(forks(shown(executor)))
    return executor


def distributed(questions: Questions, executor: Executor, bar: Any) -> tuple[Result, ...]:
    """The results in the order of the questions, from the executor's processes; here, where these cannot.

    Verdicts are recorded here, in that order, whichever came first.

    Raises:
        TypeError, ValueError: for what cannot be sent, for an executor that turns out to use threads, and what the
            checks raise.
    """
    model = questions.case.model
    if model is not None and evaluation.is_unfinished(model):
        raise ValueError(
            "with executor=, the model needs its weights: call it once, they come with its first pass"
        )
    present = settings.current()
    run = _Run(questions, executor, bar)
    try:
        with _shared(replace(present, record=None)):
            run.collect()
            run.finish_here()
    finally:
        run.cancel()
        results = tuple(run.found[key] for key in map(_key, questions.pairs) if key in run.found)
        _record(results, present.record)
    return results


@contextmanager
def _shared(present: settings.Settings) -> Iterator[None]:
    """Within this context there is a folder for what the processes of this audit share."""
    if present.shared is not None and Path(present.shared).is_dir():
        with settings.using(present):
            yield
        return
    with (
        tempfile.TemporaryDirectory(prefix="saliency-sanity-", ignore_cleanup_errors=True) as folder,
        settings.using(replace(present, shared=folder)),
    ):
        yield


@dataclass(frozen=True)
class _Waiting:
    """A task that is not submitted yet; `seconds` are those of the explainer's contract."""

    seconds: float
    name: str
    check: Check | None


@dataclass
class _Times:
    """What checks have taken. Mutable: it fills.

    Attributes:
        begun: the checks that were submitted for any explainer.
        taken: by check (seconds of the explainer's contract, seconds of the check).
    """

    begun: set[str] = field(default_factory=set)
    taken: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def urgency(self, one: _Waiting) -> tuple[bool, float, float]:
        """The largest is next: a check that was not begun, and then what is expected to take longest.

        A check takes as long as it took for the explainer whose contract took about as long.
        """
        name = "" if one.check is None else one.check.name
        known = self.taken.get(name)
        expected = min(known, key=lambda other: abs(other[0] - one.seconds))[1] if known else math.inf
        return name not in self.begun, expected, one.seconds


class _Run:
    """The tasks that are under way, and the results that are there."""

    def __init__(self, questions: Questions, executor: Executor, bar: Any) -> None:
        self.questions, self.executor, self.bar = questions, executor, bar
        self.found: dict[tuple[str, str], Result] = {}
        self.pending: dict[Future[Answer], tuple[str, Check | None]] = {}
        self.waiting: list[_Waiting] = []
        self.contracts: dict[str, float] = {}  # seconds
        self.times = _Times()
        self.at_once = _workers(executor) + 1  # one that waits for the first worker that is free
        self.broken = ""
        self.packed = _for_all_workers(executor, packed(questions))

    def collect(self) -> None:
        """Ask each contract, then the checks of each explainer whose contract is kept, until all have answered."""
        names = dict.fromkeys(name for name, _ in self.questions.pairs)
        self.waiting += [_Waiting(math.inf, name, None) for name in names]
        while self._submitted():
            for future in wait(self.pending, return_when=FIRST_COMPLETED).done:
                self._take(future, *self.pending.pop(future))

    def finish_here(self) -> None:
        """Do what no worker did."""
        left = [pair for pair in self.questions.pairs if _key(pair) not in self.found]
        if left:
            warnings.warn(
                f"executor= is broken ({self.broken}): {len(left)} of {len(self.questions.pairs)} checks are done in "
                "this process",
                RuntimeWarning,
                stacklevel=4,
            )
        for pair in left:
            self.bar.set_description(f"{pair[0]}, {pair[1].name}")
            self._show(pair, self.questions.answered(pair))

    def cancel(self) -> None:
        """Take back what has not begun."""
        for future in self.pending:
            future.cancel()

    def _submitted(self) -> bool:
        """Submit as many tasks as there are workers; whether any is under way."""
        while self.waiting and len(self.pending) < self.at_once:
            following = max(self.waiting, key=self.times.urgency)
            self.waiting.remove(following)
            self._submit(following.name, following.check)
        return bool(self.pending)

    def _submit(self, name: str, check: Check | None) -> None:
        self.times.begun.update(() if check is None else (check.name,))
        try:
            self.pending[self.executor.submit(answer, task_of(name, check), self.packed)] = name, check
        except BrokenExecutor as error:
            self.broken = self.broken or in_a_line(error)

    def _take(self, future: Future[Answer], name: str, check: Check | None) -> None:
        try:
            answered = future.result()
        except Exception as error:  # a task raises none: it is the pool's
            self.broken = self.broken or in_a_line(error)
            return
        _repeat(answered)
        if check is None:
            self._go_on(name, answered)
        else:
            verdict = _received(answered)
            took = self.contracts[name], answered.seconds
            self.times.taken.setdefault(check.name, []).append(took)
            self._show((name, check), Result(name, check.name, verdict, answered.skipped, answered.seconds))

    def _go_on(self, name: str, answered: Answer) -> None:
        contract = _received(answered)
        self.contracts[name] = answered.seconds
        if contract is not None:
            evaluation.keep_contract(self.questions.explainers[name], self.questions.case, contract)
        for pair in self.questions.pairs:
            if pair[0] == name and self._is_settled(pair, contract):
                self._show(pair, _with_seconds(self.questions.answered(pair), answered))
            elif pair[0] == name:
                self.waiting.append(_Waiting(answered.seconds, *pair))

    def _is_settled(self, pair: Pair, contract: Verdict | None) -> bool:
        by_contract = contract is not None and self.questions.by_contract(pair, contract)
        return by_contract or bool(evaluation.why_not(pair[1], self.questions.case))

    def _show(self, pair: Pair, result: Result) -> None:
        self.found[_key(pair)] = result
        self.bar.set_description(f"{pair[0]}, {pair[1].name}")
        self.bar.update()


def _workers(executor: Executor) -> float:
    """How many there are; infinite where the executor does not tell."""
    client = getattr(executor, "_client", None)
    known = getattr(executor, "_max_workers", None) if client is None else sum(client.nthreads().values())
    return known or math.inf


def _key(pair: Pair) -> tuple[str, str]:
    return pair[0], pair[1].name


def _received(answered: Answer) -> Verdict | None:
    return None if answered.verdict is None else answered.verdict.received()


def _with_seconds(result: Result, contract: Answer) -> Result:
    return replace(result, seconds=contract.seconds) if result.check == evaluation.CONTRACT else result


def _for_all_workers(executor: Executor, sent: bytes) -> Any:
    """dask keeps an argument once, where it is the result of a task, instead of once for each task."""
    client = getattr(executor, "_client", None)
    return sent if client is None else client.submit(bytes, sent)


def _repeat(answered: Answer) -> None:
    """What the worker raised, counted and said, in this process."""
    if answered.error is not None:
        raise answered.error.received()
    present = settings.current()
    if present.explained is not None:
        for count in answered.explained:
            present.explained(count)
    if present.tell is not None:
        for sentence in answered.told:
            present.tell(sentence)


def _record(results: Iterable[Result], record: Callable[[Verdict], None] | None) -> None:
    if record is not None:
        for verdict in [one.verdict for one in results if one.verdict is not None]:
            record(verdict)
