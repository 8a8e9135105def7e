"""--saliency-plan: every check is planned, and none is run."""

from __future__ import annotations

import pytest

CONFTEST = """
    import pytest
    import torch
    from torch import nn

    @pytest.fixture(scope="session")
    def saliency_model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()

    @pytest.fixture(scope="session")
    def saliency_inputs():
        return torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
"""
TESTS = """
    import pytest
    from pytest_saliency_sanity import SanityCheckFailed
    from pytest_saliency_sanity.explainers import gradient, sobel

    calls = []

    def counted(model, inputs, targets):
        calls.append(len(inputs))
        return gradient(model, inputs, targets)

    def broken(model, inputs, targets):
        raise RuntimeError("no maps today")

    def test_two_checks(assert_target_sensitive, assert_contract):
        for check in (assert_target_sensitive, assert_contract):
            verdict = check(counted)
            assert verdict.outcome == "pass"  # is reached, and is no failure

    @pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason="edges")
    def test_edges(assert_model_sensitive):
        assert_model_sensitive(sobel)

    def test_it_breaks(assert_contract):
        assert_contract(broken)

    def test_without_any_check():
        assert max(calls) == 2
"""


@pytest.fixture
def planned_project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_plans=TESTS)
    return pytester


def test_checks_are_planned_their_tests_skipped_and_nothing_is_written(
    planned_project: pytest.Pytester,
) -> None:
    files = [
        "--saliency-html=page.html", "--saliency-artifacts=pictures", "--saliency-baseline=base.json",
        "--saliency-baseline-update=create,force",
    ]  # fmt: skip
    result = planned_project.runpytest("--saliency-plan", "-rs", "--saliency-min-verdicts=9", *files)
    result.assert_outcomes(passed=1, skipped=3)
    assert result.ret == 0
    assert not any((planned_project.path / name).exists() for name in ("page.html", "base.json", "pictures"))
    result.stdout.no_fnmatch_line("*saliency sanity:*")
    result.stdout.fnmatch_lines(
        [
            "saliency-sanity: checks are planned, not run",
            "*saliency plan*",
            "*check *explanations *controls *networks *seconds *memory*",
            "*target_sensitivity *counted *Sequential *49 *0 *",
            "*model_sensitivity *sobel *",
            "*contract *broken *fails*",
            "broken cannot explain two images: it raised RuntimeError: no maps today*",
            "saliency plan: 3 checks, * explanations with those of controls, 0 networks to train, about * s in *",
            "SKIPPED * only planned: 1 check*",
        ]
    )


@pytest.mark.extended
def test_plans_of_workers_arrive(planned_project: pytest.Pytester) -> None:
    result = planned_project.runpytest("--saliency-plan", "-n1", "-p", "xdist", "-k", "not without")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(["*model_sensitivity *sobel *", "saliency plan: 3 checks, *"])
