"""`--saliency-plan`: what the checks of a run would take, gathered from all reports and printed at the end."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_saliency_sanity.plan import Plan, Planning, Plans
from pytest_saliency_sanity.plugin import worker_output
from pytest_saliency_sanity.plugin.recording.records import ATTEMPT, planned

FLAG = "--saliency-plan"


def add(parser: pytest.Parser) -> None:
    """Register the flag."""
    parser.getgroup("saliency-sanity").addoption(
        FLAG,
        action="store_true",
        help="run no check: print at the end how many maps the checks would take, which networks, time and memory; "
        "each test is skipped where it ends, no network is trained, no baseline is written",
    )


def planning(config: pytest.Config) -> Planning | None:
    """What this process has planned so far; None where checks are run."""
    return Planning(told=_untold) if config.getoption(FLAG) else None


class PlanReporter:
    """Gathers the plans and shows them, in place of the verdicts' reporter; lives on the controller only."""

    def __init__(self) -> None:
        self._attempts: dict[str, Any] = {}
        self._plans: dict[str, list[Plan]] = {}

    def pytest_report_header(self) -> str:
        """Say at once that nothing is audited."""
        return "saliency-sanity: checks are planned, not run"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take over what a test's report carries."""
        attempt = getattr(report, "worker_id", ""), getattr(report, ATTEMPT, None)
        if attempt[1] is not None and self._attempts.get(report.nodeid) != attempt:
            self._attempts[report.nodeid] = attempt  # of a test that is run again the last attempt counts
            self._plans.pop(report.nodeid, None)
        self._plans.setdefault(report.nodeid, []).extend(planned(report))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker refused ends the run."""
        worker_output.pass_on_refusal(node)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table and the sums."""
        plans = Plans(tuple(plan for of_test in self._plans.values() for plan in of_test))
        if plans:
            terminalreporter.section("saliency plan")
            terminalreporter.write_line(str(plans))


def _untold(plan: Plan) -> None:
    """Of a check that runs outside of any test."""
