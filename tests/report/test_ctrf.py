"""The Common Test Report Format."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from pytest_saliency_sanity.report.ctrf import document, written
from tests.report.made import mixed, report

NUMBERS = {
    name: {"type": "integer", "minimum": 0}
    for name in ("tests", "passed", "failed", "pending", "skipped", "other", "start", "stop")
}
# What the specification (ctrf.io, 0.0) asks for.
ASKED: dict[str, Any] = {
    "type": "object",
    "required": ["reportFormat", "specVersion", "results"],
    "properties": {
        "reportFormat": {"const": "CTRF"},
        "specVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "results": {
            "type": "object",
            "required": ["tool", "summary", "tests"],
            "properties": {
                "tool": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                "summary": {"type": "object", "required": list(NUMBERS), "properties": NUMBERS},
                "tests": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name", "status", "duration"],
                        "properties": {
                            "name": {"type": "string", "minLength": 1},
                            "status": {"enum": ["passed", "failed", "skipped", "pending", "other"]},
                            "duration": {"type": "integer", "minimum": 0},
                            "suite": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                            "message": {"type": "string"},
                            "trace": {"type": "string"},
                            "rawStatus": {"type": "string"},
                            "parameters": {"type": "object"},
                        },
                    },
                },
                "environment": {"type": "object", "properties": {"osPlatform": {"type": "string"}}},
            },
        },
    },
}


@pytest.mark.parametrize("made", [report(), mixed(), mixed(lost=("one did not arrive",)), report(began="")])
def test_it_is_what_the_specification_asks_for(made: Any) -> None:
    jsonschema.validate(json.loads(written(made)), ASKED)


def test_what_counts_as_what() -> None:
    results = document(mixed(lost=("one did not arrive",)))["results"]
    assert {test["rawStatus"]: test["status"] for test in results["tests"]} == {
        "pass": "passed", "fail": "failed", "error": "failed", "lost": "failed", "xfail": "other",
        "inconclusive": "other", "refused": "skipped", "observed": "other",
    }  # fmt: skip
    assert results["summary"] == {
        "tests": 8, "passed": 1, "failed": 3, "pending": 0, "skipped": 1, "other": 3,
        "start": 1767323045000, "stop": 1767323046500,
    }  # fmt: skip


def test_a_verdict_is_one_test() -> None:
    (test,) = [one for one in document(mixed())["results"]["tests"] if one["rawStatus"] == "pass"]
    assert (test["name"], test["duration"], test["filePath"]) == (
        "model_sensitivity of gradient on Net", 2000, "test_a.py",
    )  # fmt: skip
    assert test["extra"]["statistic"] == 0.1 and "gradient" in test["message"]
