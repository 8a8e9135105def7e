"""What assertions raise."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
import threading

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity.errors import (
    ExplainerContractError,
    SanityCheckFailed,
    SanityCheckInconclusive,
    raise_unless_passed,
)
from tests.plugin.judging import made

KINDS = {
    "fail": SanityCheckFailed,
    "inconclusive": SanityCheckInconclusive,
    "error": ExplainerContractError,
}


class Unpicklable(Exception):
    """An explainer's exception as they come: it holds a lock, and its arguments do not rebuild it."""

    def __init__(self, first: object, second: object) -> None:
        super().__init__("two arguments are needed")
        self.lock = threading.Lock()


def test_a_pass_is_returned() -> None:
    verdict = made("pass")
    assert raise_unless_passed(verdict) is verdict


@pytest.mark.parametrize("outcome", KINDS)
def test_each_outcome_has_its_error(outcome: str) -> None:
    verdict = made(outcome)
    with pytest.raises(KINDS[outcome]) as caught:
        raise_unless_passed(verdict)
    assert type(caught.value) is KINDS[outcome]
    assert caught.value.verdict is verdict
    assert str(caught.value) == verdict.render()
    assert str(caught.value).splitlines()[0] == verdict.summary


@pytest.mark.parametrize("kind", KINDS.values())
def test_all_are_assertion_errors(kind: type[Exception]) -> None:
    assert issubclass(kind, AssertionError)


@pytest.mark.parametrize("one, other", list(itertools.permutations(KINDS.values(), 2)))
def test_none_is_a_subclass_of_another(one: type[Exception], other: type[Exception]) -> None:
    assert not issubclass(one, other)


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_short_summary_has_room_for_the_message(kind: type[Exception]) -> None:
    assert (kind.__module__, kind.__qualname__) == ("builtins", kind.__name__)


@pytest.mark.parametrize("name", [kind.__name__ for kind in KINDS.values()])
def test_they_are_public(name: str) -> None:
    assert getattr(pytest_saliency_sanity, name) in KINDS.values()


def test_the_explainer_s_exception_is_the_cause() -> None:
    cause = ZeroDivisionError("the explainer's own")
    with pytest.raises(ExplainerContractError) as caught:
        raise_unless_passed(made("error", exception=cause))
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("outcome", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "exception", [None, ValueError("plain"), Unpicklable(1, 2)], ids=["none", "plain", "lock"]
)
def test_pickled_with_verdict_and_notes(outcome: str, protocol: int, exception: Exception | None) -> None:
    verdict = made(outcome, exception=exception, evidence={"coverage": 1.0})
    error = KINDS[outcome](verdict)
    error.__notes__ = ["artefact: strips/sobel.png"]
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is KINDS[outcome]
    assert str(again) == str(error)
    assert again.__notes__ == error.__notes__
    assert again.verdict == verdict
    assert again.verdict.to_json() == verdict.to_json()
    assert again.verdict.exception is None


def test_pickled_without_notes() -> None:
    again = pickle.loads(pickle.dumps(SanityCheckFailed(made("fail"))))
    assert not hasattr(again, "__notes__")


def test_a_subclass_is_pickled_as_what_it_is_a_kind_of() -> None:
    class Ours(SanityCheckFailed):
        pass

    assert type(pickle.loads(pickle.dumps(Ours(made("fail"))))) is SanityCheckFailed


def test_copied() -> None:
    error = SanityCheckFailed(made("fail", exception=Unpicklable(1, 2)))
    assert copy.copy(error).verdict == copy.deepcopy(error).verdict == error.verdict


def test_unpickled_in_a_process_that_has_not_imported_them() -> None:
    data = pickle.dumps(SanityCheckFailed(made("fail")))
    code = (
        f"import pickle; error = pickle.loads({data!r}); print(type(error).__name__, error.verdict.outcome)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["SanityCheckFailed", "fail"]
