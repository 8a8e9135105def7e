"""Modes are set, and no method is called: there are models whose `train` and `eval` are something else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_data_sensitivity, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient, occlusion, sobel
from pytest_saliency_sanity.perturbations import evaluating
from pytest_saliency_sanity.perturbations.restoring.modes import (
    in_evaluation_mode,
    in_training_mode,
    keeping_modes,
)
from tests.checks.models import cnn, images, seeded


class OwnTrain(nn.Module):
    """Its `train` is a training loop."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()

    def train(self, loader: Any) -> None:  # type: ignore[override]
        raise AssertionError("nobody asked for training")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Refusing(nn.Module):
    """Its mode cannot be set by a method, as that of an exported program."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()

    def train(self, mode: bool = True) -> nn.Module:
        raise NotImplementedError("Calling train() is not supported yet.")

    def eval(self) -> nn.Module:
        raise NotImplementedError("Calling eval() is not supported yet.")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def exported() -> nn.Module:
    batch = torch.export.Dim("batch", min=1, max=512)
    return torch.export.export(cnn(), (images(4),), dynamic_shapes=({0: batch},)).module()


def frozen() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.script(cnn()))


KINDS = [OwnTrain, Refusing, exported]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("explainer, outcome", [(gradient, "pass"), (sobel, "fail")])
def test_they_are_audited(explainer: Any, outcome: str, make: Callable[[], nn.Module]) -> None:
    model = make()
    modes = [module.training for module in model.modules()]
    assert check_contract(explainer, model, images(16)).outcome == "pass"
    assert check_model_sensitivity(explainer, model, images(16)).outcome == outcome
    assert [module.training for module in model.modules()] == modes


def test_a_frozen_model_has_no_mode_and_no_parameters() -> None:
    model = frozen()
    assert check_contract(occlusion, model, images(8)).outcome == "pass"
    with pytest.raises(
        ValueError, match=r"^RecursiveScriptModule has no parameters: there is nothing to re-init"
    ):
        check_model_sensitivity(occlusion, model, images(8))


@pytest.mark.parametrize("make", [OwnTrain, Refusing])
def test_copies_of_them_are_trained(make: Callable[[], nn.Module]) -> None:
    labels = torch.arange(16) % 2
    verdict = check_data_sensitivity(
        gradient, lambda: seeded(make), (images(16), labels), images(8, seed=1), max_epochs=2, cache=None
    )
    assert verdict.reason == "gate.memorization"


@pytest.mark.parametrize("make", KINDS)
def test_the_modes_come_back(make: Callable[[], nn.Module]) -> None:
    model = make()
    for number, module in enumerate(model.modules()):
        module.training = number % 2 == 0
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    with keeping_modes(model):
        in_training_mode(model)
        assert all(module.training for module in model.modules())
        assert in_evaluation_mode(model) is model
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before


def test_a_model_s_own_train_may_keep_a_part_in_evaluation_mode() -> None:
    class Fixed(nn.Sequential):
        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            self[1].eval()
            return self

    model = in_training_mode(Fixed(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert (model[0].training, model[1].training) == (True, False)
