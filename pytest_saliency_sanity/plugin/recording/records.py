"""Verdicts on their way from a check to the test's report: the stash, then an attribute of the report.

The key of a verdict is (test, check, explainer, model, running number): a test that loops over two explainers has
two verdicts, one that asks twice the same has two numbers, and what a rerun or the next example of a @given test
finds takes the place of what was found before.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.errors import SanityCheckInconclusive
from pytest_saliency_sanity.plan import Plan
from pytest_saliency_sanity.plugin import fixtures, progress, selection
from pytest_saliency_sanity.plugin.recording import junit, pictures
from pytest_saliency_sanity.plugin.replay import replay_command
from pytest_saliency_sanity.settings import Settings

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Verdict

ATTRIBUTE = "saliency_verdicts"
PLANS = "saliency_plans"
ATTEMPT = "saliency_attempt"  # on every report: a number that grows from one attempt to the next
OURS = "saliency_ours"  # on reports of tests that use this package: they are made sendable
KEY = ("check", "explainer", "model", "number")
_PACKAGE = __name__.partition(".")[0]
_ATTEMPTS = itertools.count()
_COUNTS = pytest.StashKey[dict[str, int]]()


@dataclass
class _Record:
    """One verdict of the running test.

    Attributes:
        verdict: the object itself, by which the error that carries it is recognized.
        found: the verdict's JSON.
        number: the running number among equal checks, explainers and models.
        example: hypothesis' object of the example that it was found in.
        in_call: found while the test's function ran, not by its fixtures.
        asserted: an assertion has judged it.
        raised: an error that carries it ended the test, or a part of it that reports for itself.
        reported: it is on a report.
        drawn: its strip, b"" where it has none, None before it was drawn.
        beside: what a report has beside the verdict's JSON: "picture", the path of its strip, "unwritten", why there
            is none, and "pictures", where a report wants them.
    """

    verdict: Verdict
    found: dict[str, Any]
    number: int
    example: object
    in_call: bool
    asserted: bool = False
    raised: bool = False
    reported: bool = False
    drawn: bytes | None = None
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.verdict.check, self.verdict.explainer, self.verdict.model

    def stated(self) -> dict[str, Any]:
        """The verdict's JSON, its number, and whether it was only observed."""
        decided = self.asserted and (self.raised or self.verdict.outcome == "pass")
        return {**self.found, "number": self.number, "observed": not decided}


class _Records:
    """The verdicts of a test's latest attempt."""

    def __init__(self, item: pytest.Item, in_junit: bool) -> None:
        self._item, self._junit = item, in_junit
        self._all: list[_Record] = []
        self._plans: list[Plan] = []
        self._planned = 0
        self._called = False
        self.attempt = next(_ATTEMPTS)
        self.ours = fixtures.uses_ours(item)

    def __len__(self) -> int:
        return len(self._all)

    def begin_attempt(self) -> None:
        """A test is run again from its setup on: the last attempt counts."""
        self._all, self._called, self.attempt = [], False, next(_ATTEMPTS)
        self._plans, self._planned = [], 0
        self._show()

    def begin_call(self) -> None:
        """The test's function runs; where it did already, what it found then is replaced."""
        if self._called:
            self._all = [one for one in self._all if not one.in_call]
        self._called = True

    def add(self, verdict: Verdict) -> None:
        self.ours = True
        example = _example()
        if example is not None:  # of @given the last example counts
            self._all = [one for one in self._all if one.example in (None, example)]
        record = _Record(verdict, verdict.to_json(), 0, example, self._called)
        same = [one for one in self._all if one.key == record.key]
        if same and example is None and _is_given(self._item):
            self._all.remove(same[0])  # a hypothesis that does not tell its examples
        else:
            record.number = len(same)
        self._all.append(record)
        self._show()

    def plan(self, plan: Plan) -> None:
        """A check was planned instead of run."""
        self.ours = True
        self._plans.append(plan)

    @property
    def planned(self) -> int:
        """How many checks were."""
        return len(self._plans)

    def unreported_plans(self) -> list[Plan]:
        """Those that no report has yet."""
        new, self._planned = self._plans[self._planned :], len(self._plans)
        return new

    def judge(self, verdict: Verdict) -> None:
        for one in self._all:
            one.asserted = one.asserted or one.verdict is verdict

    def report(self, error: BaseException | None) -> list[_Record]:
        """What is new for a report that ends with this error."""
        errors = list(_chained(error))
        self.ours = self.ours or any(map(_passed_through_us, errors))
        carried = [getattr(one, "verdict", None) for one in errors]
        new = []
        for one in self._all:
            raised = any(one.verdict is verdict for verdict in carried)
            if not one.reported or raised > one.raised:
                new.append(one)
            one.raised, one.reported = one.raised or raised, True
        for one in new:
            if one.drawn is None:
                self._draw(one)
        self._show()
        return new

    def _draw(self, one: _Record) -> None:
        """Draw the verdict's strip and write its file, where these are asked for; what fails is said at the end."""
        config, artifacts, nodeid = self._item.config, settings.current().artifacts, self._item.nodeid
        one.drawn, one.beside = b"", pictures.on_report(config, one.verdict)
        directory = None if artifacts is None else Path(artifacts)
        try:
            one.drawn = pictures.drawn(config, directory, one.verdict)
            if one.drawn and directory is not None:
                one.beside["picture"] = pictures.written(
                    directory, nodeid, one.verdict, one.number, one.drawn
                )
        except Exception as error:
            one.beside["unwritten"] = pictures.could_not(directory, nodeid, pictures.noted(error))

    def _show(self) -> None:
        """Let the test's properties, which JUnit prints, be those of its verdicts."""
        self._item.user_properties[:] = self.properties(self._item.user_properties)

    def properties(self, present: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """`present` with the present verdicts."""
        stated = [{**one.stated(), **one.beside} for one in self._all]
        return junit.replaced(present, stated if self._junit else [])


_RECORDS = pytest.StashKey[_Records]()


@contextmanager
def recorded(item: pytest.Item, base: Settings) -> Iterator[None]:
    """Let the run's settings hold for this test, and its checks record what they find."""
    records = item.stash[_RECORDS] = _Records(item, base.junit)
    watch = progress.Watch(item.config, item.nodeid)
    # A fresh function: by it settings know contexts that outlive their test.
    of_the_test = replace(
        pictures.asked(item.config, base),
        replay=replay_command(item, base),
        record=lambda found: records.add(found),
        asserted=records.judge,
        reports_contract=selection.reports_contract(item),
        explained=watch.explained,
        tell=watch.tell,
        planning=base.planning and replace(base.planning, told=records.plan),
    )
    try:
        with settings.using(of_the_test, of_a_test=True):
            yield
    finally:
        watch.close()
        del item.stash[_RECORDS]
        if records:
            item.config.stash.setdefault(_COUNTS, {})[item.nodeid] = len(records)


def begin_attempt(item: pytest.Item) -> None:
    """Forget what an earlier attempt of this test has found."""
    if _RECORDS in item.stash:
        item.stash[_RECORDS].begin_attempt()


def begin_call(item: pytest.Item) -> None:
    """Forget what an earlier call of this test's function, after the same setup, has found."""
    if _RECORDS in item.stash:
        item.stash[_RECORDS].begin_call()


def attach(item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport) -> None:
    """Put what was found since the test's last report on this one, and what this one's error was about.

    As JSON text: xdist loses the whole test, and ends with exit code 0, over a value that execnet cannot send
    (a numpy scalar, but also a lone surrogate or an integer below -2**31).
    """
    records = item.stash.get(_RECORDS, None)
    found = [] if records is None else records.report(call.excinfo.value if call.excinfo else None)
    setattr(
        report,
        ATTRIBUTE,
        [json.dumps({**one.stated(), **one.beside}, allow_nan=False) for one in found],
    )
    plans = [] if records is None else records.unreported_plans()
    setattr(report, PLANS, [json.dumps(plan.to_json()) for plan in plans])
    pictures.show(report, [one.beside["picture"] for one in found if "picture" in one.beside])
    pictures.show_in_html(item.config, report, [one.drawn for one in found if one.drawn])
    if records is not None:
        setattr(report, OURS, records.ours)
        setattr(report, ATTEMPT, records.attempt)
        report.user_properties = records.properties(report.user_properties)


def attached(report: pytest.TestReport) -> list[dict[str, Any]]:
    """The verdicts on a report: what `Verdict.to_json` gave, with `number` and `observed`.

    Beside these, where there are any: `picture`, the path of its strip of --saliency-artifacts; `unwritten`, why that
    could not be written; `pictures`, where a report wants them (`pictures.WANTED`), for `Picture.from_json`.
    """
    return [json.loads(text) for text in getattr(report, ATTRIBUTE, [])]


def planned(report: pytest.TestReport) -> list[Plan]:
    """The plans on a report."""
    return [Plan.from_json(json.loads(text)) for text in getattr(report, PLANS, [])]


def counts(config: pytest.Config) -> dict[str, int]:
    """How many verdicts each test of this process has recorded in its last attempt, by node id."""
    return config.stash.get(_COUNTS, {})


def skip_if_inconclusive(call: pytest.CallInfo[Any], base: Settings) -> None:
    """Where the run's rule is "skip", make an inconclusive verdict's error a skip, at the same line."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, SanityCheckInconclusive) and base.amounts.inconclusive == "skip":
        skip = pytest.skip.Exception(error.verdict.summary).with_traceback(error.__traceback__)
        skip.__cause__ = error
        call.excinfo = pytest.ExceptionInfo.from_exception(skip)


def skip_if_planned(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Where checks were planned, make a skip of whatever became of the test, which has seen no verdict."""
    records = item.stash.get(_RECORDS, None)
    ends = call.when == "call" or (call.when == "setup" and call.excinfo is not None)
    if records is None or not records.planned or not ends:
        return
    try:
        pytest.skip(f"only planned: {records.planned} {'check' if records.planned == 1 else 'checks'}")
    except pytest.skip.Exception as skipped:
        skipped._use_item_location = True
        call.excinfo = pytest.ExceptionInfo.from_exception(skipped)


def _chained(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, the members of groups, and what a doctest has met."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__]
            for name in (
                "exceptions",
                "exc_info",
                "failures",
            ):  # of a group, of doctest's and pytest's own errors
                members = getattr(one, name, ())
                pending += members if isinstance(members, (list, tuple)) else ()


def _passed_through_us(error: BaseException) -> bool:
    """Whether the error was raised in a function of this package, or in what one has called."""
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE:
            return True
        trace = trace.tb_next
    return False


def _example() -> object:
    """Hypothesis' object of the example that is running; None outside @given, or when there is no hypothesis."""
    variable = getattr(sys.modules.get("hypothesis.control"), "_current_build_context", None)
    return getattr(variable, "value", None)


def _is_given(item: pytest.Item) -> bool:
    return getattr(getattr(item, "obj", None), "is_hypothesis_test", False) is True
