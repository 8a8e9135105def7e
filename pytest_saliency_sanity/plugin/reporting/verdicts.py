"""The verdicts of a run, gathered where all reports arrive: in the controller of xdist, else in the process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import worker_output
from pytest_saliency_sanity.plugin.recording import arrivals
from pytest_saliency_sanity.plugin.recording.junit import without_verdicts
from pytest_saliency_sanity.plugin.recording.records import ATTEMPT, KEY, attached
from pytest_saliency_sanity.report.document import Entry
from pytest_saliency_sanity.report.pictures import Picture
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Verdict

_Place = tuple[str, str]  # of a test: the worker, where each worker runs all tests, and the node id
_Attempt = tuple[str, int | None]  # the worker, and its number there
_PHASES = ("setup", "call", "teardown")  # that of a crash is "???"


class Verdicts:
    """What has arrived so far. Of a test that is run again, the last attempt counts.

    Attributes:
        lost: what a worker has recorded and that did not arrive.
        crashed: sentences on tests whose worker crashed while they ran, by node id.
        threads: of torch, in each worker that has audited something.
        unwritten: sentences on pictures that could not be written, each once.
    """

    def __init__(self, config: pytest.Config) -> None:
        # With --dist=each every worker runs all tests; else a test that moved to another worker was run again.
        self._each = config.getoption("dist", "no") == "each"
        self._config = config
        self._entries: dict[_Place, dict[tuple[Any, ...], Entry]] = {}
        self._attempts: dict[_Place, _Attempt] = {}
        self._repeated: set[tuple[_Place, _Attempt]] = set()
        self.lost: list[arrivals.Lost] = []
        self.crashed: dict[str, str] = {}
        self.threads: list[int] = []
        self.unwritten: dict[str, None] = {}

    def __iter__(self) -> Iterator[Entry]:
        for entries in self._entries.values():
            yield from entries.values()

    def add(self, report: pytest.TestReport) -> None:
        """Take over what a test's report carries."""
        if report.when in _PHASES:  # it runs again, on another worker
            self.crashed.pop(report.nodeid, None)
        attempt = (getattr(report, "worker_id", ""), getattr(report, ATTEMPT, None))
        place = self._place(attempt[0], report.nodeid)
        if attempt[1] is not None and attempt != self._attempts.get(place):
            self._attempts[place] = attempt  # the test runs, or runs again: the last attempt counts
            self._entries.pop(place, None)
        outcome: str = report.outcome
        if outcome == "rerun":  # pytest-rerunfailures
            self._repeated.add((place, attempt))
        if (place, attempt) in self._repeated:  # JUnit prints each attempt
            report.user_properties = without_verdicts(report.user_properties)
        for verdict in attached(report):
            self.unwritten.update(dict.fromkeys([verdict["unwritten"]] if "unwritten" in verdict else []))
            self._config.hook.pytest_saliency_verdict(
                config=self._config, nodeid=report.nodeid, verdict=verdict
            )
            key = tuple(verdict[name] for name in KEY)
            self._entries.setdefault(place, {})[key] = _entry(report, verdict, place[0])

    def end(self, node: Any) -> None:
        """A worker has ended: hold what it says against what has arrived."""
        worker = str(getattr(node, "workerinput", {}).get("workerid", "a worker"))
        said = worker_output.told(node)
        arrived = {
            nodeid: len(self._entries.get(self._place(worker, nodeid), {}))
            for nodeid in said.get("recorded", {})
        }
        self.lost += arrivals.missing(said, worker, arrived)
        self.threads += [said["threads"]] if said.get("threads") else []

    def crash(self, nodeid: str) -> None:
        """A worker has crashed while it ran this test."""
        self.crashed[nodeid] = f"{nodeid}: its worker crashed; what the test had reached did not arrive"

    def _place(self, worker: str, nodeid: str) -> _Place:
        return (worker if self._each else "", nodeid)


def _entry(report: pytest.TestReport, verdict: dict[str, Any], worker: str) -> Entry:
    nodeid = f"{report.nodeid} [{worker}]" if worker else report.nodeid
    pictures = tuple(map(Picture.from_json, verdict.get("pictures", ())))
    return Entry(nodeid, _of_any_process(verdict), verdict["number"], _counted(report, verdict), pictures)


def _of_any_process(verdict: dict[str, Any]) -> Verdict:
    """The verdict without what depends on which tests ran before it in its process: the calls of the controls.

    They are made once in a process, for whoever needs them first; how long that took is kept, as a duration.
    """
    evidence = dict(verdict["evidence"])
    if isinstance(cost := evidence.get("control_cost"), dict):
        evidence["control_cost"] = {name: cost[name] for name in cost if name.endswith("seconds")}
    return Verdict.from_json({**verdict, "evidence": evidence})


def _counted(report: pytest.TestReport, verdict: dict[str, Any]) -> str:
    """A verdict other than a pass counts only where it is why its test did not pass either."""
    outcome: str = verdict["outcome"]
    if verdict["observed"]:
        return "observed"
    if outcome == "pass":
        return "pass"
    if report.skipped and hasattr(report, "wasxfail"):
        return "xfail" if outcome == "fail" else _kind(verdict)
    if report.passed or (report.skipped and outcome != "inconclusive"):
        return "observed"
    return _kind(verdict)


def _kind(verdict: dict[str, Any]) -> str:
    return "refused" if verdict["reason"] == NOT_APPLICABLE else verdict["outcome"]
