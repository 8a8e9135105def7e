"""`SaliencySanitySuite`: the same tests as a class, and what it refuses to do silently."""

from __future__ import annotations

import pytest

from pytest_saliency_sanity import SaliencySanitySuite, explainers


def test_its_tests_are_those_of_the_decorator(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_it="""
        from pytest_saliency_sanity import SaliencySanitySuite, explainers

        class OfTheHouse(SaliencySanitySuite):
            checks = ["model_sensitivity", "consistency"]

        class TestExplainers(OfTheHouse):
            explainers = {"grad": explainers.gradient, "sobel": explainers.sobel}
            expected_failed_checks = {"sobel": {"model_sensitivity": "edges"}}
            options = {"consistency": {"min_agreement": 0.9}}

            def test_of_its_own(self):
                assert len(self.explainers) == 2
        """
    )
    result = project.runpytest("-v")
    result.assert_outcomes(passed=4, xfailed=1)
    result.stdout.fnmatch_lines(["*TestExplainers::test_explainer?sobel-model_sensitivity? XFAIL*"])


REFUSED = {
    "a test that replaces": (
        {"test_explainer": lambda self: None},
        "replaces test_explainer, so that nothing",
    ),
    "an attribute of nearly the name": (
        {"check": "all"},
        "unknown attribute 'check'; choose from explainers, checks",
    ),
    "expected failures of nearly the name": (
        {"expected_failed_check": {}},
        "did you mean 'expected_failed_checks'?",
    ),
    "an unknown check": ({"checks": "everything"}, "unknown check 'everything'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_silent_is_refused(kind: str) -> None:
    attributes, words = REFUSED[kind]
    with pytest.raises((TypeError, ValueError)) as raised:
        type("TestThem", (SaliencySanitySuite,), {"explainers": {"grad": explainers.gradient}, **attributes})
    assert words in str(raised.value)


def test_a_class_of_a_class_does_not_replace_the_test_either() -> None:
    first = type(
        "TestThem", (SaliencySanitySuite,), {"explainers": {"grad": explainers.gradient}, "helper": 3}
    )
    with pytest.raises(TypeError, match="TestMore replaces test_explainer"):
        type("TestMore", (first,), {"test_explainer": lambda self: None})
