"""assert_parity in a suite: the fixture, the update flag, workers."""

from __future__ import annotations

import pytest
import torch  # noqa: F401  # before any inner run, which forgets what it is the first to import: it cannot be loaded twice

TESTS = """
    from pathlib import Path

    import pytest
    import torch
    from pytest_saliency_sanity import explainers

    SCALE = 1

    @pytest.fixture
    def saliency_model():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    @pytest.fixture
    def saliency_inputs():
        return torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))

    @pytest.fixture
    def saliency_reference():
        return Path(__file__).parent / "references"

    @pytest.mark.parametrize("name", ["gradient", "occlusion"])
    def test_it(name, assert_parity):
        options = {"occlusion": {"window": 2}}.get(name, {})
        assert_parity(lambda *given: getattr(explainers, name)(*given, **options) ** SCALE, name=name)
"""


@pytest.mark.parametrize("workers", [(), pytest.param(("-n2",), marks=pytest.mark.extended)])
def test_made_once_then_held(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    path = pytester.makepyfile(TESTS)
    result = pytester.runpytest(*workers)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*gradient has no reference: there is no *gradient.safetensors; *update=create makes it"]
    )
    pytester.runpytest("--saliency-baseline-update=create", *workers).assert_outcomes(passed=2)
    pytester.runpytest(*workers).assert_outcomes(passed=2)
    path.write_text(path.read_text().replace("SCALE = 1", "SCALE = 3"))
    pytester.runpytest(*workers).assert_outcomes(passed=2)  # the ranks are the same
    path.write_text(path.read_text().replace("SCALE = 3", "SCALE = 2"))
    result = pytester.runpytest("--saliency-baseline-update=create", *workers)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*gradient gives other maps than the reference: *"])


def test_a_worker_makes_what_this_process_holds(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(TESTS)
    pytester.runpytest("--saliency-baseline-update=create", "-n1").assert_outcomes(passed=2)
    pytester.runpytest().assert_outcomes(passed=2)
