"""Models whose forward pass needs gradients are called with them; an exception of theirs is named as theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    check_contract,
    check_insertion_deletion,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    explainers,
)
from pytest_saliency_sanity.outputs import logits
from tests.checks.models import cnn, images


class Energy(nn.Module):
    """Scores times the length of a slope that its forward pass takes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.detach().requires_grad_()
        scores = self.net(x)
        (slope,) = torch.autograd.grad(scores.logsumexp(1).sum(), x, create_graph=True)
        return scores * (1 + slope.flatten(1).norm(dim=1, keepdim=True))


class Hooking(nn.Module):
    """Registers a hook on its input, which has to require a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        x.register_hook(lambda slope: None)
        return self.net(x)


class Layered(nn.Module):
    """Registers a hook on a layer's output."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cnn()

    def forward(self, x: Tensor) -> Tensor:
        features = self.net[0](x)
        features.register_hook(lambda slope: None)
        return self.net[1:](features)


MODELS = (Energy, Hooking, Layered)
CHECKS: dict[str, Callable[..., Any]] = {
    "contract": check_contract,
    "model": check_model_sensitivity,
    "insertion": lambda f, m, x: check_insertion_deletion(f, m, x, steps=4),
    "occlusion": check_occlusion_sensitivity,
}


@pytest.mark.covering
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_they_get_a_verdict(check: Callable[..., Any], make: Callable[[], nn.Module]) -> None:
    verdict = check(explainers.gradient, make().eval(), images(16))
    assert verdict.outcome in ("pass", "fail", "inconclusive") and verdict.exception is None, verdict
    assert verdict.reason != "gate.batch"


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("explainer", [explainers.occlusion, explainers.gradient])
def test_by_explainers_without_gradients_too(explainer: Any, make: Callable[[], nn.Module]) -> None:
    assert check_contract(explainer, make().eval(), images(8)).outcome == "pass"


@pytest.mark.parametrize("make", MODELS)
def test_what_they_return_has_no_graph_where_none_is_wanted(make: Callable[[], nn.Module]) -> None:
    model, inputs = make().eval(), images(4)
    with torch.no_grad():
        first, second = logits(model, inputs), logits(model, inputs)
    assert not first.requires_grad and torch.equal(first, second)
    assert not inputs.requires_grad
    assert logits(model, inputs.requires_grad_()).requires_grad


class Refusing(nn.Module):
    """Raises, with gradients and without."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.net, self.error = cnn(), error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error, words",
    [
        (RuntimeError("no license"), "RuntimeError for inputs of shape (8, 1, 12, 12): no license"),
        (KeyError("mask"), "KeyError for inputs of shape (8, 1, 12, 12): 'mask'"),
        (OSError(), "OSError for inputs of shape (8, 1, 12, 12)"),
    ],
)
def test_an_exception_of_the_model_is_named_as_it_is(error: Exception, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_contract(explainers.gradient, Refusing(error), images(8))
    assert str(caught.value) == f"the model raised {words}"
    assert caught.value.__cause__ is error
