"""Models that no gradient passes: occlusion, which needs none, stands in for the plain gradient as the control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_model_sensitivity, check_target_sensitivity, explainers
from pytest_saliency_sanity.explainers import gradient, occlusion, sobel
from tests.checks.models import cnn, images, seeded, tabular
from tests.examination.test_layouts import LENGTH, Normed, by_input, embeddings
from tests.sensitivity.test_gates import Skipping

CHECKS = [check_model_sensitivity, check_target_sensitivity]
WHY = "the control explainer is occlusion: the plain gradient cannot be computed here: "
NO_GRADIENT = f"{WHY}it does not apply to this model: No gradient reaches the inputs"


class Frozen(nn.Module):
    """A network whose forward pass lets no gradient through."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class UnderNoGrad(Frozen):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


class Detached(Frozen):
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.detach())


class OfArrays(Frozen):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.network(x).detach().cpu().numpy()).to(x)


class InInferenceMode(Frozen):
    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.network(x).clone()


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise NotImplementedError("no derivative")


class NotDifferentiable(Frozen):
    def forward(self, x: Tensor) -> Tensor:
        return Raising.apply(self.network(x))


MODELS = [UnderNoGrad, Detached, OfArrays, InInferenceMode]


@pytest.mark.covering
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", MODELS)
def test_what_needs_no_gradient_gets_a_verdict(
    check: Callable[..., Verdict], kind: Callable[[nn.Module], nn.Module]
) -> None:
    model = kind(cnn()).eval()
    honest, faulty = (check(explainer, model, images(16)) for explainer in (occlusion, sobel))
    assert (honest.outcome, faulty.outcome, faulty.reason) == ("pass", "fail", "insensitive")
    for verdict in (honest, faulty):
        assert len([note for note in verdict.notes if note.startswith(NO_GRADIENT)]) == 1
    assert check(gradient, model, images(16)).reason == "not_applicable"


def test_a_backward_pass_that_raises() -> None:
    verdict = check_model_sensitivity(occlusion, NotDifferentiable(cnn()).eval(), images(16))
    assert verdict.outcome == "pass"
    assert f"{WHY}it raised NotImplementedError: no derivative" in verdict.notes


@pytest.mark.parametrize("check", [*CHECKS[1:], pytest.param(CHECKS[0], marks=pytest.mark.extended)])
def test_the_gradient_is_the_control_where_it_can_be_taken(check: Callable[..., Verdict]) -> None:
    for explainer in (occlusion, gradient, sobel):
        assert not any("control" in note for note in check(explainer, cnn(), images(16)).notes)


def test_the_control_has_to_pass_here_too() -> None:
    verdict = check_model_sensitivity(sobel, UnderNoGrad(Skipping()).eval(), images(16))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert "even occlusion, which should pass, retains 1.00" in verdict.summary


def test_where_neither_can_be_taken_both_reasons_are_told() -> None:
    """A table has no windows that occlusion could hide."""
    rows = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))

    def values(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return inputs.clone()

    verdict = check_model_sensitivity(values, UnderNoGrad(tabular()).eval(), rows)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert (
        "the plain gradient cannot be computed here: it does not apply to this model: No" in verdict.summary
    )
    assert (
        "and occlusion cannot be computed here: it does not apply to this model: occlusion needs"
        in verdict.summary
    )


@pytest.mark.parametrize("check", CHECKS)
def test_where_the_gradient_cancels_occlusion_is_the_control(check: Callable[..., Verdict]) -> None:
    model, texts = seeded(Normed).eval(), embeddings(n=32)
    verdict = check(by_input, model, texts, channel_axis=-1)
    assert verdict.outcome == "pass", verdict
    assert any(note.startswith(f"{WHY}the channels of its maps sum to 0") for note in verdict.notes)

    def by_position(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return inputs.abs().sum(-1) + torch.linspace(0, 0.01, LENGTH)

    assert check(by_position, model, texts, channel_axis=-1).outcome == "fail"


def test_rise_of_a_model_under_no_grad() -> None:
    verdict = check_target_sensitivity(explainers.rise, UnderNoGrad(cnn()).eval(), images(8), profile="smoke")
    assert verdict.reason not in ("gate.controls", "not_applicable") and verdict.outcome != "error"
