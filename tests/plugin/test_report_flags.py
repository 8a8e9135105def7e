"""--saliency-json, --saliency-ctrf, --saliency-markdown: files that a run leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_saliency_sanity.report.document import SCHEMA, Report

TESTS = """
    import math

    import pytest
    from judging import check, judge, made_stage
    from pytest_saliency_sanity.errors import SanityCheckFailed

    CALLS = iter([12, 0, 0, 0, 0, 0])  # of the controls, which the first test of each process makes

    @pytest.mark.parametrize("number", range(6))
    def test_honest(number):
        cost = {"calls": next(CALLS), "images": 8, "seconds": 0.0, "total_seconds": 0.0}
        evidence = {"cost": {"total_seconds": 0.1 * number}, "control_cost": cost}
        judge("pass", explainer="gradient", evidence=evidence)

    def test_two():
        judge("pass", explainer="gradient")
        judge("pass", explainer="gradient")
        check("fail", explainer="seen")

    def test_faulty():
        judge("fail", explainer="caf\\udce9")

    def test_unclear():
        judge("inconclusive", stages=(made_stage(math.nan, lower=-math.inf, upper=math.inf),))

    def test_broken():
        judge("error", explainer="broken")

    @pytest.mark.xfail(raises=SanityCheckFailed, strict=True)
    def test_known():
        judge("fail", explainer="guided")
"""


@pytest.fixture
def tests(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_all=TESTS)
    return project


def stored(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_the_same_serial_and_in_workers(tests: pytest.Pytester) -> None:
    ways = {
        "one": (),
        "two": ("-n2",),
        "shuffled": ("-p", "no:randomly"),
    }
    for name, arguments in ways.items():
        result = tests.runpytest(*arguments, f"--saliency-json={name}.json")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"written: *{name}.json"])
    found = {name: stored(tests.path / f"{name}.json") for name in ways}
    runs = [found[name].pop("run") for name in ways]
    assert all(found[name] == found["one"] for name in ways)
    assert runs[1]["command"].startswith("pytest -n2 --saliency-json=two.json")
    jsonschema.validate({**found["one"], "run": runs[0]}, stored(SCHEMA))
    assert found["one"]["counts"] == {
        "error": 1,
        "fail": 1,
        "inconclusive": 1,
        "xfail": 1,
        "observed": 1,
        "pass": 8,
    }


def test_it_is_read_again_as_it_was_judged(tests: pytest.Pytester) -> None:
    result = tests.runpytest("--saliency-json=a.json", "-v")
    report = Report.read(tests.path / "a.json")
    for entry in report.entries:
        result.stdout.no_fnmatch_line(f"*{entry.nodeid}: None*")
        assert f"{entry.nodeid}: {entry.verdict.summary}" in result.stdout.str()
    numbers = [
        entry.number for entry in report.entries if "test_two" in entry.nodeid and entry.counted == "pass"
    ]
    assert numbers == [0, 1]


@pytest.mark.parametrize("flag", ["json", "ctrf", "markdown"])
def test_a_file_that_cannot_be_written_changes_no_outcome(project: pytest.Pytester, flag: str) -> None:
    project.makepyfile("from judging import judge\ndef test_it(): judge('pass')")
    (project.path / "file").write_text("")
    result = project.runpytest(f"--saliency-{flag}=file/report")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["could not write *file?report: *"])


def test_without_verdicts_and_where_nothing_runs(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")
    project.runpytest("--saliency-json=a.json")
    assert stored(project.path / "a.json")["verdicts"] == []
    project.runpytest("--saliency-json=b.json", "--collect-only")
    assert not (project.path / "b.json").exists()


def test_an_interrupted_run_leaves_what_it_has(project: pytest.Pytester) -> None:
    project.makepyfile(
        "from judging import judge\ndef test_a(): judge('pass')\ndef test_b(): raise KeyboardInterrupt"
    )
    project.runpytest_subprocess("--saliency-json=a.json")
    assert len(stored(project.path / "a.json")["verdicts"]) == 1


def test_all_formats_beside_each_other_in_other_folders(tests: pytest.Pytester) -> None:
    tests.runpytest(
        "--saliency-json=out/a.json",
        "--saliency-ctrf=out/b.json",
        "--saliency-markdown=out/c.md",
        "--saliency-quiet",
    )
    folder = tests.path / "out"
    assert sorted(path.name for path in folder.iterdir()) == ["a.json", "b.json", "c.md"]
    assert stored(folder / "b.json")["results"]["summary"]["tests"] == 13
    assert (folder / "c.md").read_text(encoding="utf-8").startswith("### saliency sanity")


def test_a_report_that_cannot_be_made_changes_no_outcome(project: pytest.Pytester) -> None:
    project.makepyfile("from judging import judge\ndef test_it(): judge('pass')")
    project.makeconftest(
        """
        from pytest_saliency_sanity.report import ctrf

        def broken(report):
            raise ZeroDivisionError("planted")

        ctrf.written = broken
        """
    )
    result = project.runpytest_subprocess("--saliency-ctrf=a.json", "--saliency-json=b.json")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["written: *b.json", "could not write *a.json: ZeroDivisionError: planted"])
