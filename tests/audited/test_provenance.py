"""What a verdict is about: the options, the model and the images, as values that two runs can be compared by."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_contract, check_data_sensitivity, check_model_sensitivity
from pytest_saliency_sanity.audited.provenance import noted, noting, of_model
from pytest_saliency_sanity.explainers import gradient
from tests.checks.models import cnn, images


def seen(model: nn.Module | None = None, inputs: Tensor | None = None, **options: Any) -> dict[str, Any]:
    given = cnn() if model is None else model, images() if inputs is None else inputs
    return dict(check_contract(gradient, *given, **options).provenance)


def test_its_parts() -> None:
    found = seen()
    assert sorted(found) == ["inputs", "model", "options", "profile", "targets"]
    assert (found["options"], found["profile"]) == ({}, "ci")
    assert found["inputs"]["shapes"] == [list(images()[:8].shape)]
    assert (found["model"]["class"], found["model"]["dtype"], found["model"]["device"]) == (
        "Sequential", "float32", "cpu",
    )  # fmt: skip


def test_the_same_again() -> None:
    assert seen() == seen(copy.deepcopy(cnn()), images().clone())


def test_the_same_in_another_process() -> None:
    code = "from tests.audited.test_provenance import seen; print(seen())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(seen())


def other_weights(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(model.parameters())[0, 0, 0, 0] += 1e-3
    return model


def other_stride(model: nn.Module) -> nn.Module:
    model[0].dilation = (2, 2)
    model[0].padding = (2, 2)
    return model


def more_modules(model: nn.Module) -> nn.Module:
    return nn.Sequential(*model, nn.Identity())


@pytest.mark.parametrize(
    "change, differs",
    [(other_weights, {"weights"}), (other_stride, {"architecture"}), (more_modules, {"architecture"})],
)
def test_what_a_change_of_the_model_changes(
    change: Callable[[nn.Module], nn.Module], differs: set[str]
) -> None:
    before, after = of_model(cnn()), of_model(change(cnn()))
    assert {name for name in before if before[name] != after[name]} == differs


def test_other_images_and_targets() -> None:
    before, after = seen(), seen(inputs=images() + 0.01)
    assert before["model"] == after["model"]
    assert before["inputs"]["content"] != after["inputs"]["content"]
    targets = torch.zeros(len(images()), dtype=torch.long)
    assert seen(targets=targets)["targets"] != seen(targets=targets + 1)["targets"]


def test_options_are_those_that_are_not_the_default() -> None:
    check = partial(check_model_sensitivity, gradient, cnn(), images(), max_seconds=60)
    assert check(threshold=0.3, name="a", seed=1).provenance["options"] == {}
    assert check(threshold=0.4, depths=("upper",)).provenance["options"] == {
        "threshold": 0.4, "depths": ["upper"],
    }  # fmt: skip


def test_values_of_options_are_told_apart() -> None:
    with noting(
        {"a": torch.ones(2), "b": gradient, "c": 1.5, "d": None, "inputs": 3, "e": ["x", 1], "f": {"g": 1}}
    ):
        options = noted()["options"]
    assert options.pop("a")["shapes"] == [[2]]
    assert options == {"b": "gradient", "c": 1.5, "e": ["x", 1], "f": "{'g': 1}"}
    assert noted() == {}


class Odd(nn.Module):
    """Says nothing of itself but an exception, or an address."""

    def __init__(self, said: object) -> None:
        super().__init__()
        self.said = said

    def extra_repr(self) -> str:
        if isinstance(self.said, Exception):
            raise self.said
        return repr(self.said)


def test_modules_that_say_odd_things() -> None:
    assert of_model(Odd(ValueError("x")))["architecture"]
    assert of_model(Odd(object())) == of_model(Odd(object()))
    assert of_model(Odd(1)) != of_model(Odd(2))


def test_networks_that_are_trained_note_what_they_are_trained_on() -> None:
    def verdict(shift: float) -> Verdict:
        inputs = torch.rand(64, 1, 12, 12, generator=torch.Generator().manual_seed(0)) + shift
        labels = torch.arange(64) % 3
        return check_data_sensitivity(gradient, cnn, (inputs, labels), images(), max_epochs=1, twins=2)

    first, again, other = verdict(0), verdict(0), verdict(1)
    assert first.provenance["train_set"] == again.provenance["train_set"] != other.provenance["train_set"]
    assert first.provenance["options"] == {"max_epochs": 1, "twins": 2}
