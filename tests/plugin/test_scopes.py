"""Assertions belong to one test; what a session-scoped fixture calls instead is the imported function."""

from __future__ import annotations

import pytest

from tests.plugin.quick import WITHOUT_THEM


def test_a_session_scoped_fixture_cannot_ask_for_an_assertion(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.fixture(scope="session")
        def audited(assert_model_sensitive):
            return 1

        def test_one(audited):
            pass
    """)
    result = project.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("ScopeMismatch: *function scoped fixture assert_model_sensitive*")


def test_the_imported_functions_work_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", WITHOUT_THEM)
    pytester.makepyfile("""
        import pytest
        import torch
        from torch import nn
        from pytest_saliency_sanity import assert_contract, check_contract
        from pytest_saliency_sanity.explainers import gradient

        @pytest.fixture(scope="session")
        def audited():
            torch.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
            images = torch.rand(8, 1, 8, 8)
            return assert_contract(gradient, net, images), check_contract(gradient, net, images)

        def test_one(audited):
            assert all(verdict.outcome == "pass" for verdict in audited)

        def test_two(audited):
            pass
    """)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines("saliency sanity: 1 passed, 0 failed, 0 inconclusive, 0 errors, 1 observed")
