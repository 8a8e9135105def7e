"""`audit(executor=)`: the verdicts of one process from many, whatever happens to these."""

from __future__ import annotations

import math
import pickle
import threading
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import Audit, Case, audit, settings
from pytest_saliency_sanity.checks import contract
from pytest_saliency_sanity.checks.registration import of_name
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.suite import distribution, evaluation, workers
from pytest_saliency_sanity.suite.transfers import SentError, SentVerdict
from pytest_saliency_sanity.verdict import Verdict
from tests.suite import elsewhere
from tests.suite.audits import CHECKS, EXPLAINERS, same
from tests.suite.elsewhere import Bound, LastFirst, Unpicklable

pytestmark = pytest.mark.usefixtures("anew")


def test_the_order_of_completion_changes_nothing(case: Case, serial: Audit) -> None:
    pool = LastFirst(first=len(EXPLAINERS))
    found = audit(EXPLAINERS, case, CHECKS, progress=False, executor=pool)
    assert same(found, serial)
    assert pool.done[0] == (list(EXPLAINERS)[-1], "")
    asked = [name for name, check in pool.done if check == ""]
    assert sorted(asked) == sorted(EXPLAINERS)  # each contract once
    assert {name for name, check in pool.done if check} == {"grad", "sobel", "noisy", "by name", "refuses"}


@pytest.mark.parametrize(
    "breaks", [pytest.param(0, marks=pytest.mark.extended), 3, pytest.param(12, marks=pytest.mark.extended)]
)
def test_what_a_broken_pool_leaves_is_done_here(case: Case, serial: Audit, breaks: int) -> None:
    with pytest.warns(
        RuntimeWarning, match=r"broken \(BrokenProcessPool: a worker was killed\): \d+ of 24 checks"
    ):
        found = audit(EXPLAINERS, case, CHECKS, progress=False, executor=LastFirst(breaks))
    assert same(found, serial)


def test_tasks_that_begin_together_belong_to_different_checks() -> None:
    """Then what is expected to take longest; contracts come first."""
    times = distribution._Times()
    waiting = [distribution._Waiting(math.inf, "slow", None)]
    waiting += [
        distribution._Waiting(seconds, name, of_name(check))
        for seconds, name in ((3.0, "slow"), (2.0, "middle"), (1.0, "fast"))
        for check in ("consistency", "target_sensitivity")
    ]
    order = []
    while waiting:
        following = max(waiting, key=times.urgency)
        waiting.remove(following)
        name = following.check.name if following.check else ""
        order.append((following.name, name))
        times.begun.add(name)
        if name:  # it is done before the next is chosen; consistency takes longer, but for the fast explainer
            took = {"slow": 9.0, "middle": 9.0, "fast": 0.5}[following.name]
            times.taken.setdefault(name, []).append(
                (following.seconds, took if name == "consistency" else 1.0)
            )
    assert order == [
        ("slow", ""),
        ("slow", "consistency"),
        ("slow", "target_sensitivity"),
        ("middle", "consistency"),
        ("fast", "consistency"),
        ("middle", "target_sensitivity"),
        ("fast", "target_sensitivity"),
    ]


def test_workers_share_a_folder_as_long_as_the_audit_lasts(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: set[Path] = set()
    answered = workers._answered

    def seen(task: workers.Task, questions: Any) -> workers.Answer:
        assert task.settings.shared is not None
        folders.add(Path(task.settings.shared))
        assert all(folder.is_dir() for folder in folders)
        return answered(task, questions)

    monkeypatch.setattr(workers, "_answered", seen)
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    audit({"ixg": EXPLAINERS["by name"]}, case, "target_sensitivity", progress=False, executor=LastFirst())
    assert len(folders) == 1
    assert not any(folder.exists() for folder in folders)
    assert settings.current().shared is None


# What is refused.


class Threads(ThreadPoolExecutor):
    pass


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, Threads])
def test_threads_are_refused(case: Case, kind: type[ThreadPoolExecutor]) -> None:
    with (
        kind(2) as pool,
        pytest.raises(
            TypeError, match=r"must not be <.*Thread.*>: threads share the model's weights and the random"
        ),
    ):
        audit({"grad": gradient}, case, progress=False, executor=pool)


class Disguised(Executor):
    """Threads that cannot be told by their class."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        return self.pool.submit(function, *arguments, **options)


def test_threads_are_refused_where_a_task_finds_out(case: Case) -> None:
    with pytest.raises(TypeError, match="must not be one of threads: threads share"):
        audit({"grad": gradient}, case, progress=False, executor=Disguised())


def test_a_pool_that_forks_is_refused(case: Case) -> None:
    with (
        ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool,
        pytest.raises(
            ValueError, match=r'take ProcessPoolExecutor\(2, mp_context=get_context\("spawn"\)\), or "fork'
        ),
    ):
        audit({"grad": gradient}, case, progress=False, executor=pool)


def test_a_forked_process_is_refused_where_a_task_finds_out() -> None:
    task = workers.Task(
        "grad", None, settings.Settings(), False, (1, torch.float32, False), (workers._PROCESS[0], -1)
    )
    found = workers.answer(task, b"")
    assert found.error is not None
    with pytest.raises(ValueError, match="must not be one that forks: a forked process inherits"):
        raise found.error.received()


@pytest.mark.parametrize("given", [2, "spawn", ProcessPoolExecutor])
def test_what_is_no_executor_is_refused_with_the_choices(case: Case, given: Any) -> None:
    with pytest.raises(
        TypeError, match=r"executor must be a .*: ProcessPoolExecutor\(2.*get_executor\(\); not "
    ):
        audit({"grad": gradient}, case, progress=False, executor=given)


def local(model: Any, inputs: Any, targets: Any) -> Any:
    return inputs


UNPICKLABLE = {
    "a lambda": ({"explainers": {"grad": gradient, "mine": lambda *_: None}}, r"explainers\['mine'\]"),
    "an option": (
        {"options": {"target_sensitivity": {"forward": lambda *_: None}}},
        r"options\['target_sensitivity'\]",
    ),
    "inputs": ({"case": {"inputs": threading.Lock()}}, r"case\.inputs"),
}


@pytest.mark.parametrize("kind", UNPICKLABLE)
def test_what_cannot_be_pickled_is_named_with_the_way_out(kind: str, case: Case) -> None:
    given, named = UNPICKLABLE[kind]
    one = Case(**{"model": case.model, "inputs": case.inputs, **given.get("case", {})})
    with pytest.raises(
        TypeError, match=rf"{named}.* must be pickled, and cannot be \(.*at the top level of a module"
    ):
        audit(
            given.get("explainers", {"grad": gradient}), one, "target_sensitivity", options=given.get("options"),
            progress=False, executor=LastFirst(),
        )  # fmt: skip


def test_what_nothing_reads_is_not_sent(case: Case) -> None:
    one = Case(model=case.model, inputs=case.inputs, make_model=lambda: None, train_set=threading.Lock())
    found = audit({"grad": gradient}, one, "consistency", progress=False, executor=LastFirst())
    assert found["grad", "consistency"].outcome == "pass"


def test_a_model_without_weights_is_refused(case: Case) -> None:
    one = Case(model=nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), inputs=case.inputs)
    with pytest.raises(ValueError, match="call it once, they come with its first pass"):
        audit({"grad": gradient}, one, progress=False, executor=LastFirst())


def test_a_worker_that_cannot_load_says_so(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(sent: bytes) -> Any:
        raise ModuleNotFoundError("No module named 'mine'")

    monkeypatch.setattr(workers, "unpacked", unpacked)
    with pytest.raises(
        RuntimeError, match=r"cannot load what it was sent \(ModuleNotFoundError: No module named"
    ):
        audit({"grad": gradient}, case, progress=False, executor=LastFirst())


# What travels.


def test_an_explainer_that_is_bound_to_the_model_is_bound_to_it_there(case: Case) -> None:
    found = audit({"bound": Bound(case.model)}, case, "consistency", progress=False, executor=LastFirst())
    assert found["bound", "consistency"].outcome == "pass"


def test_the_settings_of_the_run_hold_in_the_workers(case: Case) -> None:
    given: dict[str, Any] = {"seed": 7, "profile": "smoke", "max_seconds": 50.0, "progress": False}
    found = audit({"noisy": EXPLAINERS["noisy"]}, case, CHECKS, executor=LastFirst(), **given)
    assert same(found, audit({"noisy": EXPLAINERS["noisy"]}, case, CHECKS, **given))
    verdict = found["noisy", "target_sensitivity"].verdict
    assert verdict is not None
    assert (verdict.seed, verdict.evidence["profile"]) == (7, "smoke")


def test_verdicts_and_calls_are_counted_here_in_the_order_of_the_questions(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(executor: Executor | None) -> tuple[list[tuple[str, str]], int]:
        verdicts: list[Verdict] = []
        maps: list[int] = []
        with settings.using(settings.Settings(record=verdicts.append, explained=maps.append)):
            evaluation._contracts.clear()
            monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
            audit({"grad": gradient, "nan": elsewhere.nan}, case, CHECKS, progress=False, executor=executor)
        return [(one.explainer, one.check) for one in verdicts], sum(maps)

    # Whether a call has left memory behind, which takes further calls to tell, is not the same in two runs.
    monkeypatch.setattr(contract, "check_leaks", lambda *_: ())
    recorded, maps = run(LastFirst())
    assert recorded == [
        ("grad", "contract"),
        ("grad", "target_sensitivity"),
        ("nan", "contract"),
    ]
    assert (recorded, maps) == run(None)


def test_a_bar_shows_each_check_once(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    audit({"grad": gradient}, case, ["contract", "localization"], executor=LastFirst())
    shown = capsys.readouterr().err
    assert "grad, contract" in shown
    assert "1/2 [" in shown


def test_ctrl_c_takes_back_what_has_not_begun(case: Case) -> None:
    pool = LastFirst()
    each = {f"grad {number}": gradient for number in range(4)}
    with pytest.raises(KeyboardInterrupt):
        audit({**each, "last": elsewhere.interrupted}, case, "consistency", progress=False, executor=pool)
    assert all(future.cancelled() for future, *_ in pool.waiting)
    assert len(pool.done) < 5


def test_what_a_check_raises_is_raised_here(case: Case) -> None:
    options = {"consistency": {"min_agreement": "high"}}
    with pytest.raises((TypeError, ValueError)) as alone:
        audit({"grad": gradient}, case, "consistency", options=options, progress=False)
    with pytest.raises(type(alone.value), match="min_agreement") as raised:
        audit({"grad": gradient}, case, "consistency", options=options, progress=False, executor=LastFirst())
    assert str(raised.value) == str(alone.value)


def test_a_verdict_comes_back_with_its_exception_and_pictures(case: Case) -> None:
    with settings.using(settings.Settings(pictures=True)):
        both = {"grad": gradient, "raises": elsewhere.raises}
        alone = audit(both, case, ["contract", "target_sensitivity"], progress=False)
        evaluation._contracts.clear()
        found = audit(both, case, ["contract", "target_sensitivity"], progress=False, executor=LastFirst())
    one, other = (each["grad", "target_sensitivity"].verdict for each in (alone, found))
    assert one is not None and other is not None
    assert one.pictures and one.pictures == other.pictures


def test_an_exception_that_cannot_be_pickled_comes_back_as_its_text() -> None:
    try:
        elsewhere.raises(None, None, None)
    except Unpicklable as error:
        sent = SentError.of(error)
    found = pickle.loads(pickle.dumps(sent)).received()
    assert type(found) is RuntimeError
    assert str(found) == "Unpicklable: one and two"
    assert isinstance(found.__cause__, KeyError)


def test_an_exception_that_can_be_pickled_comes_back_with_its_notes(serial: Audit) -> None:
    verdict = serial["raises", "contract"].verdict
    assert verdict is not None
    found = pickle.loads(pickle.dumps(SentVerdict.of(verdict))).received()
    assert found == verdict
    assert str(found.exception).endswith("one and two")
    assert found.exception.__notes__ == verdict.exception.__notes__
