"""The Common Test Report Format, which CI dashboards read (ctrf.io, specification 0.0): one test for each verdict."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from typing import Any

from pytest_saliency_sanity.report.document import Entry, Report

_STATUSES = {
    "pass": "passed",
    "fail": "failed",
    "error": "failed",
    "lost": "failed",
    "xfail": "other",
    "inconclusive": "other",
    "refused": "skipped",
    "observed": "other",
}
_ALL = ("passed", "failed", "pending", "skipped", "other")


def written(report: Report) -> str:
    """The text of the CTRF file."""
    return json.dumps(document(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def document(report: Report) -> dict[str, Any]:
    """The report as CTRF has it; `rawStatus` is what the verdict counts as, `status` the nearest that CTRF has."""
    tests = [*map(_test, report.entries), *map(_lost, report.lost)]
    counts = Counter(test["status"] for test in tests)
    start = _milliseconds(report.began)
    packages = report.environment.get("packages", {})
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "generatedBy": "pytest-saliency-sanity",
        "results": {
            "tool": {
                "name": "pytest-saliency-sanity",
                "version": str(packages.get("pytest-saliency-sanity", "unknown")),
            },
            "summary": {
                "tests": len(tests),
                **{status: counts[status] for status in _ALL},
                "start": start,
                "stop": start + round(1000 * report.seconds),
            },
            "tests": tests,
            "environment": {
                "osPlatform": str(report.environment.get("system", "")),
                "extra": {"settings": dict(report.settings), **report.environment},
            },
        },
    }


def _test(entry: Entry) -> dict[str, Any]:
    verdict = entry.verdict
    return {
        "name": f"{verdict.check} of {verdict.explainer} on {verdict.model}{_numbered(entry)}",
        "status": _STATUSES[entry.counted],
        "rawStatus": entry.counted,
        "duration": round(1000 * (entry.seconds or 0)),
        "suite": [entry.nodeid],
        "filePath": entry.nodeid.partition("::")[0],
        "message": verdict.summary,
        "trace": verdict.render(),
        "type": "saliency sanity check",
        "parameters": {"seed": verdict.seed},
        "extra": {
            "reason": verdict.reason,
            "statistic": verdict.to_json()["statistic"],
            "interval": verdict.to_json()["interval"],
            "threshold": verdict.threshold,
            "replay": verdict.replay,
        },
    }


def _lost(sentence: str) -> dict[str, Any]:
    return {"name": "lost", "status": "failed", "rawStatus": "lost", "duration": 0, "message": sentence}


def _numbered(entry: Entry) -> str:
    return f", number {entry.number + 1}" if entry.number else ""


def _milliseconds(began: str) -> int:
    return round(1000 * datetime.datetime.fromisoformat(began).timestamp()) if began else 0
