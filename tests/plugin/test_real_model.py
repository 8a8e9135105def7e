"""The whole way, with a model of torch: a fixture, an imported function, a verdict in the section."""

from __future__ import annotations

import pytest

import pytest_saliency_sanity.checks.model_sensitivity  # noqa: F401  before any inner run, which would import it anew

CONFTEST = """
    import pytest
    import torch

    @pytest.fixture(scope="session")
    def saliency_model():
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
            torch.nn.Linear(4 * 10 * 10, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3),
        )

    @pytest.fixture(scope="session")
    def saliency_inputs():
        return torch.rand(16, 1, 12, 12, generator=torch.Generator().manual_seed(0))

    @pytest.fixture
    def saliency_train_set():
        raise RuntimeError("no check of this file trains")
"""
TESTS = """
    import torch
    from pytest_saliency_sanity import assert_model_sensitive as imported

    def gradient(model, inputs, targets):
        inputs = inputs.clone().requires_grad_()
        score = model(inputs).gather(1, targets[:, None]).sum()
        return torch.autograd.grad(score, inputs)[0]

    def copy_of_the_input(model, inputs, targets):
        return inputs.clone()

    def explodes(model, inputs, targets):
        raise ZeroDivisionError("the explainer's own")

    def test_fixture(assert_model_sensitive):
        verdict = assert_model_sensitive(gradient)
        assert verdict.outcome == "pass" and verdict.seed == 5

    def test_imported(saliency_model, saliency_inputs):
        imported(copy_of_the_input, saliency_model, saliency_inputs)

    def test_target(assert_target_sensitive):
        assert_target_sensitive(copy_of_the_input)

    def test_contract(assert_contract):
        assert_contract(explodes)
"""


@pytest.mark.parametrize("workers", [[], pytest.param(["-n1"], marks=pytest.mark.extended)])
def test_fixtures_and_functions_alike(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_real=TESTS)
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    result = run("--saliency-seed=5", *workers)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines(
        [
            ">       imported(copy_of_the_input, saliency_model, saliency_inputs)",
            "E       SanityCheckFailed: copy_of_the_input *",
            'E*replay: pytest "test_real.py::test_imported" --saliency-profile ci --saliency-seed 5',
            "test_real.py:20: SanityCheckFailed",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "ZeroDivisionError: the explainer's own",
            '    raise ZeroDivisionError("the explainer*own")',
            "E       ExplainerContractError: explodes broke *",
        ]
    )
    result.stdout.fnmatch_lines("saliency sanity: 1 passed, 2 failed, 0 inconclusive, 1 error")
    assert "pytest_saliency_sanity" not in result.stdout.str()  # no frames of ours
