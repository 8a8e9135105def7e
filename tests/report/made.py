"""Reports made by hand."""

from __future__ import annotations

from typing import Any

from pytest_saliency_sanity.report.document import Entry, Report, sorted_report
from tests.plugin.judging import made, made_stage

COUNTED = {"pass": "pass", "fail": "fail", "inconclusive": "inconclusive", "error": "error"}


def entry(
    outcome: str, counted: str | None = None, nodeid: str = "test_a.py::test_it", **changes: Any
) -> Entry:
    """An entry of a verdict with this outcome."""
    number = changes.pop("number", 0)
    return Entry(nodeid, made(outcome, **changes), number, counted or COUNTED[outcome])


def measured(statistic: float, counted: str, width: float = 0.1, **changes: Any) -> Entry:
    """An entry with this statistic, and bounds `width` to both sides; it fails above .5 and passes below."""
    stage = made_stage(
        statistic, lower=statistic - width, upper=statistic + width, fail_above=0.5, pass_below=0.5
    )
    return entry("pass", counted, stages=(stage,), **changes)


def report(*entries: Entry, **stated: Any) -> Report:
    """A report of these entries."""
    given: dict[str, Any] = {
        "settings": {
            "seed": 0, "profile": "ci", "inconclusive": "fail", "max_seconds": 600.0, "min_verdicts": 0,
        },
        "environment": {
            "python": "3.11.7", "implementation": "CPython", "system": "Linux", "machine": "x86_64",
            "packages": {"pytest-saliency-sanity": "0.1.0"},
        },
        "command": "pytest",
        "began": "2026-01-02T03:04:05+00:00",
        "seconds": 1.5,
    }  # fmt: skip
    return sorted_report(entries, **{**given, **stated})


def mixed(**stated: Any) -> Report:
    """One verdict of each kind."""
    return report(
        entry("pass", explainer="gradient", evidence={"cost": {"total_seconds": 2.0}}),
        entry("fail"),
        entry("fail", "xfail", explainer="guided"),
        entry("inconclusive", explainer="noisy", stages=(made_stage(0.3, lower=float("-inf"), upper=float("nan")),)),
        entry("error", explainer="broken"),
        entry("error", "refused", explainer="cam"),
        entry("fail", "observed", explainer="seen"),
        **stated,
    )  # fmt: skip
