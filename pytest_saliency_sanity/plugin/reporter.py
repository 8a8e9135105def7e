"""The section "saliency sanity" at the end of a run, made where all reports arrive, under xdist too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import arrivals, threads
from pytest_saliency_sanity.plugin.options import flag
from pytest_saliency_sanity.plugin.recording import ATTEMPT, KEY, attached, without_verdicts
from pytest_saliency_sanity.verdict import NOT_APPLICABLE

_LABELS = {
    "pass": "passed",
    "fail": "failed",
    "xfail": "failed as expected",
    "inconclusive": "inconclusive",
    "refused": "refused",
    "error": "errors",
    "observed": "observed",
    "lost": "lost",
}
_ONLY_IF_ANY = ("xfail", "refused", "observed", "lost")
STAND_INS = "stand-in photographs"
_COLORS = {
    "pass": "green",
    "fail": "red",
    "xfail": "yellow",
    "inconclusive": "yellow",
    "refused": "yellow",
    "error": "red",
    "observed": "cyan",
    "lost": "red",
}
_Place = tuple[str, str]  # of a test: the worker, where each worker runs all tests, and the node id
_Attempt = tuple[str, int | None]  # the worker, and its number there


@dataclass(frozen=True)
class _Entry:
    """One verdict of one test.

    Attributes:
        nodeid: the test.
        outcome: the verdict's.
        counted: as what it counts: its outcome, "xfail" where a failure was expected, "refused" where the method
            does not exist for the model, "observed" where it decided nothing.
        summary: the verdict's first line.
    """

    nodeid: str
    outcome: str
    counted: str
    summary: str


class Reporter:
    """Collects the verdicts of all reports; lives on the controller only."""

    def __init__(self, config: pytest.Config, floor: int) -> None:
        # With --dist=each every worker runs all tests; else a test that moved to another worker was run again.
        self._each = config.getoption("dist", "no") == "each"
        self._floor = floor
        self._config = config
        self._listed: bool = config.option.collectonly
        self._entries: dict[_Place, dict[tuple[Any, ...], _Entry]] = {}
        self._attempts: dict[_Place, _Attempt] = {}
        self._repeated: set[tuple[_Place, _Attempt]] = set()
        self._lost: list[arrivals.Lost] = []
        self._threads: list[int] = []  # of torch, in each worker that has audited something

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
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
            self._config.hook.pytest_saliency_verdict(
                config=self._config, nodeid=report.nodeid, verdict=verdict
            )
            key = tuple(verdict[name] for name in KEY)
            self._entries.setdefault(place, {})[key] = _entry(report, verdict)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        worker = str(getattr(node, "workerinput", {}).get("workerid", "a worker"))
        said = arrivals.told(node)
        arrived = {
            nodeid: len(self._entries.get(self._place(worker, nodeid), {}))
            for nodeid in said.get("recorded", {})
        }
        self._lost += arrivals.missing(said, worker, arrived)
        self._threads += [said["threads"]] if said.get("threads") else []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        green = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if (self._lost or self._too_few()) and session.exitstatus in green:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._entries and not self._lost and not self._too_few():
            return
        terminalreporter.section("saliency sanity")
        for entry in self._shown(terminalreporter.verbosity):
            _write(terminalreporter, entry.counted, f"{entry.nodeid}: {entry.summary}")
        for lost in self._lost:
            _write(terminalreporter, "lost", str(lost))
        terminalreporter.write_line(closing_line(self._counts()))
        if self._too_few():
            _write(terminalreporter, "error", self._too_few())
        if crowded := threads.line(self._threads, threads.cores()):
            terminalreporter.write_line(crowded)
        stand_ins = sum(STAND_INS in entry.summary for entry in self._all())
        if stand_ins:
            terminalreporter.write_line(
                f"{stand_ins} on {STAND_INS}: there is no fixture saliency_inputs, and no inputs were passed"
            )

    def _too_few(self) -> str:
        """What is said where fewer verdicts were reached than the run's floor; "" where there is none."""
        reached = sum(self._counts()[counted] for counted in ("pass", "fail", "xfail"))
        if self._listed or reached >= self._floor:
            return ""
        return (
            f"{reached} verdicts were reached, and min_verdicts is {self._floor}: checks were skipped, refused or left "
            f"open; to run a part of the tests, pass {flag('min_verdicts')}=0"
        )

    def _place(self, worker: str, nodeid: str) -> _Place:
        return (worker if self._each else "", nodeid)

    def _all(self) -> list[_Entry]:
        return [entry for entries in self._entries.values() for entry in entries.values()]

    def _shown(self, verbosity: int) -> list[_Entry]:
        # Workers report in any order; tests are sorted so that two runs read the same.
        entries = sorted(self._all(), key=lambda entry: entry.nodeid)
        return [entry for entry in entries if verbosity > 0 or entry.outcome != "pass"]

    def _counts(self) -> Counter[str]:
        counts = Counter(entry.counted for entry in self._all())
        counts["lost"] = sum(lost.missing for lost in self._lost)
        return counts


def closing_line(counts: Counter[str]) -> str:
    """E.g. "saliency sanity: 5 passed, 1 failed, 2 inconclusive, 0 errors"."""
    shown = [name for name in _LABELS if counts[name] or name not in _ONLY_IF_ANY]
    return "saliency sanity: " + ", ".join(f"{counts[name]} {_label(name, counts)}" for name in shown)


def _write(terminalreporter: pytest.TerminalReporter, counted: str, text: str) -> None:
    label = terminalreporter._tw.markup(f"{counted.upper():<12}", **{_COLORS[counted]: True})
    terminalreporter.write_line(f"{label} {text}")


def _label(name: str, counts: Counter[str]) -> str:
    return "error" if name == "error" and counts[name] == 1 else _LABELS[name]


def _entry(report: pytest.TestReport, verdict: dict[str, Any]) -> _Entry:
    return _Entry(report.nodeid, verdict["outcome"], _counted(report, verdict), verdict["summary"])


def _counted(report: pytest.TestReport, verdict: dict[str, Any]) -> str:
    """A verdict other than a pass counts only where it is why its test did not pass either."""
    outcome = verdict["outcome"]
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
