"""The JSON report: read again it is the same, and its schema says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_saliency_sanity.report.comparison import Change
from pytest_saliency_sanity.report.document import SCHEMA, NotAReport, Report, written
from tests.report.made import entry, mixed, report

VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
CHANGES = (Change("regression", ("test_a.py::test_it", "model_sensitivity", "sobel", "Net", 0), "worse"),)


@pytest.mark.parametrize("made", [report(), mixed(), mixed(lost=("one did not arrive",), changes=CHANGES)])
def test_it_is_read_again(made: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(written(made), encoding="utf-8")
    again = Report.read(path)
    assert again == made and written(again) == written(made)


@pytest.mark.parametrize("made", [report(), mixed(), mixed(lost=("one did not arrive",), changes=CHANGES)])
def test_the_schema_holds(made: Report) -> None:
    VALIDATOR.check_schema(VALIDATOR.schema)
    VALIDATOR.validate(json.loads(written(made)))


def spoiled(change: str) -> Any:
    given = json.loads(written(mixed()))
    one = given["verdicts"][0]
    match change:
        case "an outcome":
            one["verdict"]["outcome"] = "passed"
        case "a missing field":
            del one["verdict"]["stages"]
        case "a further field":
            one["worker"] = "gw0"
        case "a text for a number":
            one["verdict"]["statistic"] = "0.5"
        case "what it counts as":
            one["counted"] = "passed"
        case "another version":
            given["version"] = 2
    return given


@pytest.mark.parametrize(
    "change",
    [
        "an outcome",
        "a missing field",
        "a further field",
        "a text for a number",
        "what it counts as",
        "another version",
    ],
)
def test_the_schema_can_fail(change: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(spoiled(change))


def test_entries_are_sorted_and_counted() -> None:
    one, two = entry("pass", nodeid="b"), entry("fail", nodeid="a")
    assert [each.nodeid for each in report(one, two).entries] == ["a", "b"]
    assert json.loads(written(mixed()))["counts"] == {
        "error": 1, "fail": 1, "inconclusive": 1, "xfail": 1, "refused": 1, "observed": 1, "pass": 1,
    }  # fmt: skip


def test_seconds_are_those_of_the_check_and_its_controls() -> None:
    cost = {"cost": {"total_seconds": 2.0}, "control_cost": {"total_seconds": 0.5}}
    assert entry("pass", evidence=cost).seconds == 2.5
    assert entry("pass").seconds is None


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "Expecting value"),
        ("[]", 'it has no "format"'),
        ("{}", 'it has no "format"'),
        (
            '{"format": "pytest-saliency-sanity report", "version": 9}',
            "its version is 9, and this release reads version 1",
        ),
        ('{"format": "pytest-saliency-sanity report", "version": 1}', "it has no 'verdicts'"),
        (
            '{"format": "pytest-saliency-sanity report", "version": 1, "verdicts": [3], "settings": {}, '
            '"environment": {}, "lost": [], "changes": [], "run": {}}',
            "'int' object is not subscriptable",
        ),
        ("[" * 100_000, "recursion|Expecting"),
    ],
)
def test_what_is_no_report_is_named(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NotAReport, match=rf"odd\.json is no report of pytest-saliency-sanity: .*({words})"):
        Report.read(path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(NotAReport, match=r"odd\.json is no report"):
        Report.read(path)
