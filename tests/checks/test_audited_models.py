"""Models of many kinds, and inputs of many shapes, under the check."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_model_sensitivity, explainers
from pytest_saliency_sanity.explainers import gradcam, gradient, guided_backprop, sobel
from tests.checks.models import Wrapped, cnn, images, norm_cnn, signal_cnn, tabular, two_branches
from tests.digits import held_out_digits
from tests.networks import train
from tests.perturbations.state import state_of

# Models.


def test_an_explainer_that_holds_a_layer_sees_its_randomized_weights() -> None:
    model = train("plain_cnn")
    by_object, by_name = (
        check_model_sensitivity(
            functools.partial(gradcam, layer=layer), model, held_out_digits().images[:32], name="gradcam"
        )
        for layer in (model[6], "6")
    )
    assert by_object.outcome == by_name.outcome == "pass"
    assert by_object.statistic == by_name.statistic


class OwnsItsModel:
    """As captum's classes do: the model is passed to the constructor."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, _: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(self.model, inputs, targets)


def test_an_explainer_that_holds_the_model() -> None:
    model, inputs = cnn(), images(32)
    assert check_model_sensitivity(OwnsItsModel(model), model, inputs).outcome == "pass"
    assert check_model_sensitivity(OwnsItsModel(cnn()), model, inputs).outcome == "fail"


Output = make_dataclass("Output", ["logits", "loss"])
OUTPUTS = {
    "a dict": (lambda scores: {"out": scores, "aux": None}, None),
    "a dataclass": (lambda scores: Output(scores, None), None),
    "a tuple": (lambda scores: (scores, None), lambda model, inputs: model(inputs)[0]),
    "a list": (lambda scores: [None, scores], lambda model, inputs: model(inputs)[1]),
    "a map of scores": (lambda scores: scores[..., None, None].expand(-1, -1, 3, 3), None),
    "a single logit": (lambda scores: scores[:, 0], None),
}


@pytest.mark.parametrize("wrap, forward", OUTPUTS.values(), ids=OUTPUTS)
def test_models_that_return_something_else(
    wrap: Callable[..., Any], forward: Callable[..., Any] | None
) -> None:
    model, inputs = Wrapped(wrap).eval(), images(32)
    assert check_model_sensitivity(gradient, model, inputs, forward=forward).outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs, forward=forward).outcome == "fail"


def shared_storage() -> nn.Module:
    """Two layers whose weights are views of one memory."""
    model = cnn()
    memory = torch.cat([model[0].weight.flatten(), model[2].weight.flatten()]).detach()
    size = model[0].weight.numel()
    model[0].weight = nn.Parameter(memory[:size].view_as(model[0].weight))
    model[2].weight = nn.Parameter(memory[size:].view_as(model[2].weight))
    return model


class Counting(nn.Module):
    """Its forward pass has side effects, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.seen = cnn(), []
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen.append(len(x))
        return self.network(x)


def compiled() -> nn.Module:
    return torch.compile(cnn(), backend="eager")


KINDS = {
    "half": lambda: cnn().half(),
    "bfloat16": lambda: cnn().bfloat16(),
    "double": lambda: cnn().double(),
    "frozen": lambda: cnn().requires_grad_(False),
    "data parallel": lambda: nn.DataParallel(cnn()),
    "shared storage": shared_storage,
    "compiled": compiled,
    "BatchNorm": norm_cnn,
    "counting its calls": Counting,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_models_of_many_kinds(make: Callable[[], nn.Module]) -> None:
    model, inputs = make(), images(32)
    before = state_of(model)
    assert check_model_sensitivity(gradient, model, inputs, profile="smoke").outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs, profile="smoke").outcome == "fail"
    assert state_of(model) == before


def test_a_compiled_model_under_a_guided_method() -> None:
    verdict = check_model_sensitivity(guided_backprop, compiled(), images(8))
    assert verdict.reason == "contract.exception"
    assert (
        "cannot see inside the model, which is compiled (torch.compile): pass the original model."
        in verdict.summary
    )


def test_a_model_in_training_mode() -> None:
    """It is audited in evaluation mode (dropout, batch statistics), and its mode is restored."""
    model, inputs = train("mlp"), held_out_digits().images[:32]
    expected = check_model_sensitivity(gradient, model, inputs)
    model.train()
    before = state_of(model)
    found = check_model_sensitivity(gradient, model, inputs)
    assert state_of(model) == before
    assert found.statistic == expected.statistic
    assert "the model was passed in training mode and audited in evaluation mode" in found.notes


def test_several_labels_an_image() -> None:
    inputs = images(32)
    targets = torch.rand(32, 4, generator=torch.Generator().manual_seed(0)).round()
    targets[:, 0] = 1
    assert check_model_sensitivity(gradient, cnn(), inputs, targets).outcome == "pass"
    assert check_model_sensitivity(sobel, cnn(), inputs, targets).outcome == "fail"


def test_signals_tables_and_tuples() -> None:
    signals, rows = images(32, (2, 40)), images(32, (24,)) - 0.5
    pairs = images(32), signals
    for model, inputs in ((signal_cnn(), signals), (tabular(), rows), (two_branches(), pairs)):
        assert check_model_sensitivity(gradient, model, inputs).outcome == "pass"
        assert check_model_sensitivity(explainers.input_copy, model, inputs).outcome == "fail"


@pytest.mark.parametrize("features", [2, 3])
def test_maps_too_small_to_tell_are_not_convicted(features: int) -> None:
    """Any two rankings of two values agree or are opposite: an honest explanation looks like a turned one."""
    verdict = check_model_sensitivity(gradient, tabular(features), images(32, (features,)) - 0.5)
    assert verdict.outcome in ("pass", "inconclusive") and not verdict.evidence["one_sided"]
