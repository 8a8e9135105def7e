"""Each check with a model on a GPU: tensors stay there, in the model's dtype, and verdicts are those of the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    check_completeness,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_ignored_input,
    check_implementation_invariance,
    check_input_shift,
    check_insertion_deletion,
    check_linear_oracle,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
    settings,
)
from pytest_saliency_sanity.explainers import (
    gradcam,
    gradient,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    smoothgrad,
    sobel,
)
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.verdict import Verdict
from tests.checks.models import Reading, seeded, texts
from tests.digits import held_out_digits, train_digits
from tests.networks import DEVELOPMENT, train
from tests.perturbations.state import state_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DIGITS = held_out_digits()
INPUTS, LABELS = DIGITS.images[:32], DIGITS.labels[:32]
BOXES = torch.tensor([[4, 4, 20, 20]]).expand(32, -1)
CHECKS: dict[str, Callable[..., Verdict]] = {
    "model": check_model_sensitivity,
    "target": check_target_sensitivity,
    "contract": check_contract,
    "consistency": check_consistency,
    "occlusion": check_occlusion_sensitivity,
    "insertion and deletion": check_insertion_deletion,
    "distancing": lambda e, m, x: check_distancing(e, m, x, labels=LABELS),
    "localization": lambda e, m, x: check_localization(e, m, x, regions=BOXES),
    "linear oracle": check_linear_oracle,
    "ignored input": check_ignored_input,
    "implementation": check_implementation_invariance,
    "input shift": check_input_shift,
    "completeness": check_completeness,
}


def on_a_gpu(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    return copy.deepcopy(model).to("cuda", dtype)


def watched(explainer: Callable[..., Any], dtype: torch.dtype) -> Callable[..., Any]:
    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        assert inputs.is_cuda and targets.is_cuda, "it was called with tensors of another device"
        assert inputs.dtype == dtype
        maps: Tensor = explainer(model, inputs, targets)
        assert maps.is_cuda
        return maps

    explain.__name__ = explainer.__name__
    return explain


@pytest.mark.parametrize("explainer", [gradient, integrated_gradients, sobel])
@pytest.mark.parametrize("check", CHECKS)
def test_the_verdict_is_the_same(check: str, explainer: Callable[..., Any]) -> None:
    model = train("plain_cnn")
    try:
        expected = CHECKS[check](explainer, model, INPUTS)
    except (TypeError, ValueError) as error:
        pytest.skip(str(error))
    there = on_a_gpu(model)
    before = state_of(there)
    found = CHECKS[check](watched(explainer, torch.float32), there, INPUTS)
    assert (found.outcome, found.reason) == (expected.outcome, expected.reason), found
    assert state_of(there) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precision(dtype: torch.dtype) -> None:
    model = on_a_gpu(train("plain_cnn"), dtype)
    for explainer, outcome in ((gradient, "pass"), (input_x_gradient, "pass"), (sobel, "fail")):
        found = check_model_sensitivity(watched(explainer, dtype), model, INPUTS)
        assert found.outcome == outcome, found


@pytest.mark.parametrize("explainer", [gradcam, smoothgrad, occlusion])
def test_explainers_that_draw_and_that_hook(explainer: Callable[..., Any]) -> None:
    found = check_model_sensitivity(explainer, on_a_gpu(train("plain_cnn")), INPUTS.cuda())
    assert found.outcome == "pass", found


def test_networks_are_trained_there() -> None:
    digits = train_digits()
    found = check_data_sensitivity(
        gradient, lambda: DEVELOPMENT["wide_cnn"]().cuda(), (digits.images[:200], digits.labels[:200]), INPUTS,
        max_seconds=300,
    )  # fmt: skip
    assert found.outcome in ("pass", "inconclusive"), found


@pytest.mark.filterwarnings("ignore:TensorFloat32")
def test_a_compiled_model_in_channels_last() -> None:
    model = on_a_gpu(train("plain_cnn")).to(memory_format=torch.channels_last)
    found = check_model_sensitivity(gradient, torch.compile(model), INPUTS)
    assert found.outcome == "pass", found


def test_controls_that_another_process_has_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = on_a_gpu(train("plain_cnn"))
    with settings.using(replace(settings.current(), shared=str(tmp_path))):
        made, read = (_with_new_controls(monkeypatch, model) for _ in range(2))
    assert (made.outcome, made.stages) == (read.outcome, read.stages)
    assert read.evidence["control_cost"]["images"] < made.evidence["control_cost"]["images"]


def _with_new_controls(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> Verdict:
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    return check_model_sensitivity(sobel, model, INPUTS)


def test_token_ids() -> None:
    model = seeded(Reading).eval().cuda()
    assert check_model_sensitivity(gradient, model, texts(), embed="words").outcome == "pass"


def test_memory_is_given_back() -> None:
    model = on_a_gpu(train("plain_cnn"))
    check_model_sensitivity(gradient, model, INPUTS)
    before = torch.cuda.memory_allocated()
    for _ in range(3):
        check_model_sensitivity(gradient, model, INPUTS)
    assert torch.cuda.memory_allocated() <= before + 2**20
