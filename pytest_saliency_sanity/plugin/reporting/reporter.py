"""The lines of a run: one at its start, and the section "saliency sanity" at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import threads, worker_output
from pytest_saliency_sanity.plugin.command_line import is_of_flags
from pytest_saliency_sanity.plugin.options import flag
from pytest_saliency_sanity.plugin.reporting import github, reports
from pytest_saliency_sanity.plugin.reporting.baseline import Gate
from pytest_saliency_sanity.plugin.reporting.presence import Presence
from pytest_saliency_sanity.plugin.reporting.verdicts import Verdicts
from pytest_saliency_sanity.report import table
from pytest_saliency_sanity.report.document import Entry
from pytest_saliency_sanity.report.words import closing_line
from pytest_saliency_sanity.settings import Settings

STAND_INS = "stand-in photographs"
RANDOM = "the model's weights are random"  # how such a note begins
_INSTEAD = {  # by whether flags name the test
    True: "--saliency-inputs gives others",
    False: "there is no fixture saliency_inputs, and no inputs were passed",
}
_COLORS = {
    "pass": "green",
    "fail": "red",
    "xfail": "yellow",
    "inconclusive": "yellow",
    "refused": "yellow",
    "error": "red",
    "observed": "cyan",
    "lost": "red",
    "crashed": "red",
    "unwritten": "yellow",
}


class Reporter:
    """Gathers the verdicts of all reports and shows them; lives on the controller only."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._quiet = bool(config.getoption(reports.QUIET))
        self._listed: bool = config.option.collectonly
        self._verdicts = Verdicts(config)
        self._reports = reports.Reports(config, settings)
        self._annotations: list[str] = []
        self._gate = Gate(config, settings)
        self._presence = Presence(config)
        config.pluginmanager.register(self._presence, "saliency_sanity_presence")

    def pytest_report_header(self) -> list[str]:
        if self._quiet or self._config.get_verbosity() < 0:
            return []
        seed, amounts = self._settings.seed, self._settings.amounts
        does = {"fail": "fails", "skip": "skips"}[amounts.inconclusive]
        return [
            f"saliency-sanity: seed {seed}, profile {amounts.name}, an inconclusive check {does} its test"
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._verdicts.add(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        worker_output.pass_on_refusal(node)
        self._verdicts.end(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        self._verdicts.crash(crashitem)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._listed:
            return
        report = self._reports.report(self._verdicts)
        kept = self._gate.hold(report, self._presence)
        green = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if (self._verdicts.lost or self._too_few() or not kept) and session.exitstatus in green:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        report = replace(report, changes=self._gate.changes)
        self._reports.write(report)
        if failed := github.summarize(report):
            self._reports.lines.append(failed)
        self._annotations = github.workflow_commands(report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        entries = table.sorted_by_outcome(self._verdicts)
        if entries or self._verdicts.lost or self._too_few() or self._reports.lines or self._gate.lines:
            terminalreporter.section("saliency sanity")
            self._show(terminalreporter, entries)
        for line in self._annotations:
            terminalreporter.write_line(line)

    def _show(self, terminal: pytest.TerminalReporter, entries: list[Entry]) -> None:
        verbose = terminal.verbosity > 0
        for entry in entries:
            if verbose or entry.verdict.outcome != "pass":
                _write(terminal, entry.counted, f"{entry.nodeid}: {entry.verdict.summary}")
        for lost in self._verdicts.lost:
            _write(terminal, "lost", str(lost))
        for sentence in self._verdicts.crashed.values():
            _write(terminal, "crashed", sentence)
        for sentence in sorted(self._verdicts.unwritten):
            _write(terminal, "unwritten", sentence)
        if entries and not self._quiet and terminal.verbosity >= 0:
            above = [""] if verbose or any(entry.verdict.outcome != "pass" for entry in entries) else []
            for line in [*above, *table.lines(entries, all_of_them=verbose), ""]:
                terminal.write_line(line)
        for line in [*self._gate.lines, *self._reports.lines]:
            terminal.write_line(line)
        terminal.write_line(closing_line(self._counts()))
        for line in self._remarks():
            terminal.write_line(line)

    def _remarks(self) -> list[str]:
        of_flags = Counter(
            is_of_flags(entry.nodeid) for entry in self._verdicts if STAND_INS in entry.verdict.summary
        )
        on_stand_ins = [
            f"{count} on {STAND_INS}: {_INSTEAD[flags]}" for flags, count in sorted(of_flags.items())
        ]
        random = sum(any(note.startswith(RANDOM) for note in entry.verdict.notes) for entry in self._verdicts)
        on_random = (
            f"{random} on a model whose weights are random: a pass says little; --saliency-weights gives others"
            if random
            else ""
        )
        few = self._too_few()
        lines = [
            f"{'ERROR':<12} {few}" if few else "",
            threads.line(self._verdicts.threads, threads.cores()),
            *on_stand_ins,
            on_random,
        ]
        return [line for line in lines if line]

    def _too_few(self) -> str:
        """What is said where fewer verdicts were reached than the run's floor; "" where there is none."""
        floor = self._settings.min_verdicts
        reached = sum(self._counts()[counted] for counted in ("pass", "fail", "xfail"))
        if self._listed or reached >= floor:
            return ""
        return (
            f"{reached} verdicts were reached, and min_verdicts is {floor}: checks were skipped, refused or left "
            f"open; to run a part of the tests, pass {flag('min_verdicts')}=0"
        )

    def _counts(self) -> Counter[str]:
        counts = Counter(entry.counted for entry in self._verdicts)
        counts["lost"] = sum(lost.missing for lost in self._verdicts.lost)
        return counts


def _write(terminal: pytest.TerminalReporter, counted: str, text: str) -> None:
    label = terminal._tw.markup(f"{counted.upper():<12}", **{_COLORS[counted]: True})
    terminal.write_line(f"{label} {text}")
