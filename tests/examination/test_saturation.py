"""Saturated outputs: the hint says to explain the logits, and is silent elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    Verdict,
    check_contract,
    check_insertion_deletion,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.explainers import constant, gradient, occlusion, sobel
from tests.checks.models import cnn, images

CHECKS = [
    check_contract,
    check_insertion_deletion,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
]


class Ended(nn.Module):
    """A network whose logits are scaled, and what comes behind them."""

    def __init__(self, end: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.network, self.end, self.scale = cnn(), end, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.logits(x))

    def logits(self, x: Tensor) -> Tensor:
        return self.network(x) * self.scale


ENDS = {"softmax": nn.Softmax(1), "sigmoid": torch.sigmoid, "by hand": lambda z: 1 / (1 + torch.exp(-z))}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_saturated_outputs(check: Callable[..., Verdict], end: Callable[[Tensor], Tensor]) -> None:
    model = Ended(end, 1e4).eval()
    verdict = check(gradient, model, images(16))
    assert verdict.outcome != "pass"
    said = " ".join((*(finding.sentence for finding in verdict.findings), verdict.hint))
    assert said.count("explain the logits") == 1, said
    assert "at the extremes of a softmax or a sigmoid" in said or "within 0.001 of 0 or 1 on " in said
    followed = check(gradient, model, images(16), forward=lambda model, inputs: model.logits(inputs))
    assert followed.reason not in ("constant", "gate.images") and "probabilities" not in followed.hint


SILENT = {
    "constant maps of logits": (constant, cnn()),
    "constant maps of other probabilities": (constant, Ended(nn.Softmax(1), 1.0).eval()),
    "edges": (sobel, Ended(torch.sigmoid, 1.0).eval()),
    "what works": (occlusion, Ended(torch.sigmoid, 1.0).eval()),
    "dead logits": (gradient, Ended(torch.relu, 0.0).eval()),
}


@pytest.mark.parametrize("explainer, model", SILENT.values(), ids=SILENT)
@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_said_of_others(
    check: Callable[..., Verdict], explainer: Callable[..., Tensor], model: nn.Module
) -> None:
    assert "probabilities that are within" not in check(explainer, model, images(16)).hint
