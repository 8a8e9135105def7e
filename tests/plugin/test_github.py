"""GitHub Actions: the job's summary and annotations."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_saliency_sanity.plugin.reporting import github
from tests.report.made import entry, report


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return path


def test_the_summary_is_appended(mixed: pytest.Pytester, summary: Path) -> None:
    summary.write_text("before")
    mixed.runpytest()
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n### saliency sanity") and text.count("| ✗ fail |") == 1


def test_it_stays_below_the_limit(summary: Path) -> None:
    summary.write_text("x" * 900_000)
    many = report(*(entry("fail", explainer="π" * 300 + str(number)) for number in range(3000)))
    assert github.summarize(many) == ""
    assert 900_000 < summary.stat().st_size < 1024 * 1024
    before = summary.stat().st_size
    assert github.summarize(many) == "" and summary.stat().st_size == before  # no room


def test_a_summary_that_cannot_be_written_is_told(mixed: pytest.Pytester, summary: Path) -> None:
    summary.mkdir()
    mixed.runpytest().stdout.fnmatch_lines([f"could not write {summary}: *"])


def test_outside_of_actions_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    assert github.summarize(report(entry("fail"))) == ""
    assert github.workflow_commands(report(entry("fail"))) == []


def test_at_most_ten_annotations_of_a_kind(summary: Path) -> None:
    entries = [
        entry(outcome, counted, explainer=f"{outcome}{number}")
        for outcome, counted in (
            ("fail", "fail"),
            ("inconclusive", "inconclusive"),
            ("fail", "xfail"),
            ("pass", "pass"),
        )
        for number in range(15)
    ]
    lines = github.workflow_commands(report(*entries))
    assert [line.split()[0] for line in lines] == ["::error"] * 10 + ["::warning"] * 10


def test_what_would_end_a_command_is_escaped(summary: Path) -> None:
    (line,) = github.workflow_commands(
        report(entry("fail", explainer="a,b::c\n%d", nodeid="test_a.py::test_it"))
    )
    assert line.startswith("::error file=test_a.py,title=model_sensitivity of a%2Cb%3A%3Ac")
    assert "\n" not in line and "%25d" in line


def test_items_of_flags_have_no_file(summary: Path) -> None:
    (line,) = github.workflow_commands(report(entry("error", nodeid="saliency::a::contract")))
    assert line.startswith("::error title=")


def test_a_run_prints_them(mixed: pytest.Pytester, summary: Path) -> None:
    lines = [line for line in mixed.runpytest().outlines if line.startswith("::")]
    assert [line.split()[0] for line in lines] == ["::error", "::error", "::warning"]
