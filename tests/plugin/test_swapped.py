"""A change that swaps the gradient for guided backpropagation is red wherever somebody may look."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.manual import ROOT
from tests.plugin.test_reproduction import CONFTEST

TEST = """
    import pytest
    from pytest_saliency_sanity.planted import planted_images
    from tests.planted import planted_cnn

    @pytest.fixture(scope="session")
    def saliency_model():
        return planted_cnn()

    @pytest.fixture(scope="session")
    def saliency_inputs():
        return planted_images(24, seed=1).images
"""
TEST = """
    from pytest_saliency_sanity.explainers import {method}

    def explain(model, inputs, targets):
        return {method}(model, inputs, targets)

    def test_the_explanation_depends_on_the_model(assert_model_sensitive):
        assert_model_sensitive(explain)
"""
FILES = ("junit.xml", "report.json", "comment.md", "summary.md", "page.html")


def run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, method: str, *more: str
) -> pytest.RunResult:
    for name in FILES:
        (project.path / name).unlink(missing_ok=True)
    project.makeconftest(CONFTEST)
    project.makepyfile(test_it=TEST.format(method=method))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    return project.runpytest(
        "--junitxml=junit.xml", "--saliency-json=report.json", "--saliency-markdown=comment.md",
        "--saliency-html=page.html", "--saliency-baseline=baseline.json", *more,
    )  # fmt: skip


def texts(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text(encoding="utf-8") for name in FILES}


@pytest.mark.parametrize("workers", [(), pytest.param(("-n2",), marks=pytest.mark.extended)])
def test_it_is_red_everywhere(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    result = run(pytester, monkeypatch, "gradient", "--saliency-baseline-update=create", *workers)
    assert result.ret == pytest.ExitCode.OK
    green = texts(pytester.path)
    result = run(pytester, monkeypatch, "guided_backprop", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    red = texts(pytester.path)

    result.stdout.fnmatch_lines(["REGRESSION     test_it.py::test_the_explanation_depends_on_the_model: *"])
    for page in ("comment.md", "summary.md"):
        assert "✓ pass" in green[page] and "✗ fail" not in green[page]
        assert "✗ fail" in red[page] and "**regression**" in red[page] and "**regression**" not in green[page]
    (suite,) = ElementTree.fromstring(red["junit.xml"]).iter("testsuite")
    properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert suite.attrib["failures"] == "1"
    assert properties["saliency.model_sensitivity.explain.outcome"] == "fail"
    (verdict,) = json.loads(red["report.json"])["verdicts"]
    assert (
        verdict["counted"] == "fail" and json.loads(red["report.json"])["changes"][0]["kind"] == "regression"
    )
    assert "regression" in red["page.html"].lower() and "data:image/png" in red["page.html"]
    assert (
        "explain ignores the model" in red["page.html"]
        and "explain ignores the model" not in green["page.html"]
    )
