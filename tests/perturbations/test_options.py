"""What curves are asked for: every sentence about a bad option."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.insertion import perturbation_curves
from tests.perturbations.weights.counting import Counting


def image_maps() -> Tensor:
    return torch.zeros(2, 4, 4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 16, the number of pixels, got 0."),
        ({"steps": 17}, "steps must be a whole number from 1 to 16, the number of pixels, got 17."),
        ({"steps": 2.0}, "steps must be a whole number from 1 to 16, the number of pixels, got 2.0."),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0."),
        ({"score": "margin"}, "score must be one of softmax, logit, got 'margin'."),
        ({"modes": "removal"}, "modes must be one of insertion, deletion, got 'removal'."),
        ({"modes": ()}, "modes must be one of insertion, deletion, got ()."),
        (
            {"infill": "a tensor"},
            "infill must be one of zero, blur, mean, noisy_linear, a number or a tensor, not 'a tensor'",
        ),
        (
            {"infill": [0.0] * 1000},
            "infill must be one of zero, blur, mean, noisy_linear, a number or a tensor, not a list",
        ),
        (
            {"infill": np.full((2, 3, 4, 4), "a")},
            "infill must be one of zero, blur, mean, noisy_linear, a number or a tensor, "
            "not an array of <U1 of the shape (2, 3, 4, 4)",
        ),
        (
            {"infill": {"insertion": "blur", "deletion": True}},
            "infill must be one of zero, blur, mean, noisy_linear, a number or a tensor, not True",
        ),
        ({"infill": float("nan")}, "infill must be finite in torch.float32, got nan"),
        ({"infill": -math.inf}, "infill must be finite in torch.float32, got -inf"),
        ({"infill": 1e39}, "infill must be finite in torch.float32, got 1e+39"),
        (
            {
                "infill": {
                    "insertion": "zero",
                    "deletion": torch.tensor([0, torch.nan, torch.inf]).view(3, 1, 1),
                }
            },
            "infill must be finite in torch.float32, got NaN or infinite values in 2 of 3 places of the "
            "shape (3, 1, 1)",
        ),
        ({"infill": {"insertion": "blur"}}, "infill must have an entry for deletion, got insertion."),
        (
            {"infill": torch.zeros(5)},
            "the infill of shape (5,) does not broadcast to the images (2, 3, 4, 4)",
        ),
        ({"targets": [0, 9]}, "Target 9 is out of range: the model has the classes 0..3."),
        ({"maps": torch.zeros(2, 3, 3)}, "maps must be (2, *(4, 4)) or (R, 2, *(4, 4)), got (2, 3, 3)."),
        (
            {"maps": torch.zeros(2, 16, dtype=torch.long)},
            "Integer maps must be rankings, each of the places 0 to 15 once; "
            "pass attribution maps as floating-point numbers.",
        ),
        (
            {"inputs": torch.zeros(2, 3)},
            "inputs must be (n, C, *S) with one to three spatial axes, got (2, 3).",
        ),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    arguments = {"inputs": torch.zeros(2, 3, 4, 4), "maps": image_maps(), "targets": [0, 1]} | options
    with pytest.raises(ValueError) as raised:
        perturbation_curves(Counting(3, 4, 4).eval(), **arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"inputs": [1]},
            "inputs must be one floating-point tensor (n, C, *S), got list.",
        ),
        (
            {"inputs": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)},
            "inputs must be one floating-point tensor (n, C, *S), got torch.uint8.",
        ),
        ({"maps": "maps"}, "maps must be a tensor of real maps or of integer rankings, got str."),
        (
            {"maps": image_maps().bool()},
            "maps must be a tensor of real maps or of integer rankings, got torch.bool.",
        ),
    ],
)
def test_what_is_no_tensor_of_the_right_kind_is_named(options: dict[str, Any], message: str) -> None:
    arguments = {"inputs": torch.zeros(2, 3, 4, 4), "maps": image_maps(), "targets": [0, 1]} | options
    with pytest.raises(TypeError) as raised:
        perturbation_curves(Counting(3, 4, 4).eval(), **arguments)
    assert str(raised.value) == message


def message_of(action: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as raised:
        action()
    return str(raised.value)


def test_models_and_infills_that_do_not_fit_are_named() -> None:
    signal, maps = torch.zeros(2, 3, 16), torch.zeros(2, 16)
    model = Counting(3, 16)
    assert message_of(lambda: perturbation_curves(model, signal, maps, [0, 1])) == (
        "The model is in training mode, where a score depends on its batch; call model.eval() first."
    )
    model.eval()
    assert message_of(lambda: perturbation_curves(model, signal, maps, [0, 1], infill="noisy_linear")) == (
        'infill "noisy_linear" needs images (n, C, H, W), got (2, 3, 16).'
    )
    single = Counting(3, 16, classes=1).eval()
    assert perturbation_curves(single, signal, maps, [0, 0], score="logit").fractions[-1] == 1
