"""The section "saliency sanity" at the end of a run, made where all reports arrive, under xdist too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_saliency_sanity.plugin.recording import attached

_LABELS = {
    "pass": "passed",
    "fail": "failed",
    "xfail": "failed as expected",
    "inconclusive": "inconclusive",
    "error": "errors",
}
STAND_INS = "stand-in photographs"
_COLORS = {"pass": "green", "fail": "red", "xfail": "yellow", "inconclusive": "yellow", "error": "red"}


@dataclass(frozen=True)
class _Entry:
    """One verdict of one test; `outcome` is the verdict's, or "xfail" where a failure was expected."""

    nodeid: str
    outcome: str
    summary: str


class Reporter:
    """Collects the verdicts of all reports; lives on the controller only."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._entries += [_entry(report, verdict) for verdict in attached(report)]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._entries:
            return
        terminalreporter.section("saliency sanity")
        for entry in self._shown(terminalreporter.verbosity):
            label = terminalreporter._tw.markup(
                f"{entry.outcome.upper():<12}", **{_COLORS[entry.outcome]: True}
            )
            terminalreporter.write_line(f"{label} {entry.nodeid}: {entry.summary}")
        terminalreporter.write_line(closing_line(Counter(entry.outcome for entry in self._entries)))
        stand_ins = sum(STAND_INS in entry.summary for entry in self._entries)
        if stand_ins:
            terminalreporter.write_line(
                f"{stand_ins} on {STAND_INS}: no fixture saliency_inputs was found, nor were inputs passed"
            )

    def _shown(self, verbosity: int) -> list[_Entry]:
        # Workers report in any order; tests are sorted so that two runs read the same.
        entries = sorted(self._entries, key=lambda entry: entry.nodeid)
        return [entry for entry in entries if verbosity > 0 or entry.outcome != "pass"]


def closing_line(counts: Counter[str]) -> str:
    """E.g. "saliency sanity: 5 passed, 1 failed, 2 inconclusive, 0 errors"."""
    shown = [outcome for outcome in _LABELS if counts[outcome] or outcome != "xfail"]
    return "saliency sanity: " + ", ".join(
        f"{counts[outcome]} {_label(outcome, counts)}" for outcome in shown
    )


def _label(outcome: str, counts: Counter[str]) -> str:
    return "error" if outcome == "error" and counts[outcome] == 1 else _LABELS[outcome]


def _entry(report: pytest.TestReport, verdict: dict[str, Any]) -> _Entry:
    expected = verdict["outcome"] == "fail" and report.skipped and hasattr(report, "wasxfail")
    return _Entry(report.nodeid, "xfail" if expected else verdict["outcome"], verdict["summary"])
