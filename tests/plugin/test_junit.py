"""Properties of test cases in JUnit's XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_saliency_sanity.plugin.recording.junit import replaced, without_verdicts

TESTS = """
    import math
    from judging import judge, made_stage

    def test_it(record_property):
        record_property("mine", 1)
        record_property("saliency.mine", 2)
        judge("pass", explainer="gradient")
        judge("pass", explainer="gradient")
        judge("fail", stages=(made_stage(.9, lower=.8, upper=math.inf),))
"""
PREFIX = "saliency.model_sensitivity"


def properties(path: Path) -> list[tuple[str, str]]:
    (case,) = ElementTree.parse(path).getroot().iter("testcase")
    return [(one.attrib["name"], one.attrib["value"]) for one in case.iter("property")]


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_each_number_is_a_property(project: pytest.Pytester, workers: list[str]) -> None:
    project.makepyfile(TESTS)
    project.runpytest("--junitxml=a.xml", *workers)
    found = dict(properties(project.path / "a.xml"))
    assert {name: value for name, value in found.items() if name != "saliency_verdict"} == {
        "mine": "1", "saliency.mine": "2",
        f"{PREFIX}.gradient.outcome": "pass", f"{PREFIX}.gradient.statistic": "0.1",
        f"{PREFIX}.gradient.interval": "0.0 … 0.2", f"{PREFIX}.gradient.threshold": "0.3",
        f"{PREFIX}.gradient#2.outcome": "pass", f"{PREFIX}.gradient#2.statistic": "0.1",
        f"{PREFIX}.gradient#2.interval": "0.0 … 0.2", f"{PREFIX}.gradient#2.threshold": "0.3",
        f"{PREFIX}.sobel.outcome": "fail", f"{PREFIX}.sobel.statistic": "0.9",
        f"{PREFIX}.sobel.interval": "0.8 … ", f"{PREFIX}.sobel.threshold": "0.3",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["table", "ini"])
def test_they_can_be_left_out(project: pytest.Pytester, how: str) -> None:
    if how == "table":
        project.makepyprojecttoml("[tool.saliency_sanity]\njunit = false\n")
    else:
        project.makeini("[pytest]\nsaliency_junit = false\n")
    project.makepyfile(TESTS)
    project.runpytest("--junitxml=a.xml")
    assert properties(project.path / "a.xml") == [("mine", "1"), ("saliency.mine", "2")]


def test_what_it_may_be(project: pytest.Pytester) -> None:
    project.makepyprojecttoml("[tool.saliency_sanity]\njunit = 'no'\n")
    project.runpytest().stderr.fnmatch_lines(["ERROR: *junit must be true or false, not 'no'"])


def test_properties_are_replaced() -> None:
    verdict = {
        "check": "c", "explainer": "a\nb.c", "model": "m", "number": 0, "outcome": "error", "reason": "r",
        "observed": False, "statistic": None, "interval": None, "threshold": None, "seed": 0, "caveats": [],
    }  # fmt: skip
    first = replaced([("mine", 1)], [verdict])
    assert [name for name, _ in first] == ["mine", "saliency_verdict", "saliency.c.a\nb.c.outcome"]
    assert replaced(first, [verdict]) == first
    assert without_verdicts(first) == [("mine", 1)]
