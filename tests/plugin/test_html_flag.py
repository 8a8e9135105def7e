"""--saliency-html: the page of a run, with the maps of each verdict, from one process and from several."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

TESTS = """
    from judging import check, judge
    from pytest_saliency_sanity import settings
    from pytest_saliency_sanity.report.pictures import Picture

    PNG = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )

    def pictures():
        asked = settings.current().pictures
        return (Picture(3, "original", "class 1", PNG, -1.0, 1.0, True),) if asked else ()

    def test_honest():
        judge("pass", explainer="gradient", pictures=pictures())

    def test_faulty():
        judge("fail", explainer="<b>sobel</b>", pictures=pictures())
"""


@pytest.fixture
def tests(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_all=TESTS)
    return project


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_page_with_maps_serial_and_in_workers(tests: pytest.Pytester) -> None:
    found = {}
    for workers in ("0", "1"):
        result = tests.runpytest("-n", workers, f"--saliency-html={workers}.html")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines([f"written: *{workers}.html"])
        found[workers] = page(tests.path / f"{workers}.html")
        assert found[workers].count('alt="image 3: map, original (class 1), colors from -1 to 1"') == 2
        assert "1 of 2 checks failed" in found[workers] and "&lt;b&gt;sobel&lt;/b&gt;" in found[workers]
    verdicts = [text[text.index("<main>") : text.index("<footer>")] for text in found.values()]
    assert verdicts[0] == verdicts[1]


def test_without_the_flag_no_pictures_are_made(tests: pytest.Pytester) -> None:
    result = tests.runpytest("--saliency-json=a.json", "--saliency-markdown=a.md")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "PNG" not in page(tests.path / "a.json") and "pictures" not in page(tests.path / "a.json")


def test_pictures_are_on_the_page_and_not_in_the_json_beside_it(tests: pytest.Pytester) -> None:
    tests.runpytest("--saliency-json=a.json", "--saliency-html=a.html", "--junitxml=a.xml")
    assert "iVBOR" in page(tests.path / "a.html")
    assert "iVBOR" not in page(tests.path / "a.json") and "iVBOR" not in page(tests.path / "a.xml")


def test_what_changed_against_the_baseline_is_on_top(project: pytest.Pytester) -> None:
    project.makepyfile("from judging import judge\ndef test_it(): judge('pass')")
    made = project.runpytest("--saliency-baseline=b.json", "--saliency-baseline-update=create,force")
    assert made.ret == pytest.ExitCode.OK
    project.makepyfile("from judging import judge\ndef test_it(): judge('fail')")
    project.runpytest("--saliency-baseline=b.json", "--saliency-html=a.html")
    text = page(project.path / "a.html")
    assert re.search(
        r'id="changes">Against the baseline<.*?regression</span>.*?href="#v1".*?id="overview"', text, re.S
    )


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_package_is_named_before_the_run(
    tests: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    known = importlib.util.find_spec

    def found(name: str, *more: Any) -> Any:
        return None if name == missing else known(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", found)
    result = tests.runpytest("--saliency-html=a.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --saliency-html needs {missing}: pip install pytest-saliency-sanity[[]report]"]
    )
    assert not (tests.path / "a.html").exists()
    assert tests.runpytest("--saliency-json=a.json").ret == pytest.ExitCode.TESTS_FAILED


def test_a_page_that_cannot_be_drawn_changes_no_outcome(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_saliency_sanity.report import page

    def broken(report: Any) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(page, "written", broken)
    project.makepyfile("from judging import judge\ndef test_it(): judge('pass')")
    result = project.runpytest("--saliency-html=a.html")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["could not write *a.html: RuntimeError: no ink"])


def test_a_run_without_a_verdict_has_a_page(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")
    project.runpytest("--saliency-html=a.html")
    assert "No check reached a verdict in this run." in page(project.path / "a.html")
