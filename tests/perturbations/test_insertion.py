"""Insertion and deletion curves, beside a slow reference: one image, one step, one forward pass at a time."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations import insertion
from pytest_saliency_sanity.perturbations.insertion import (
    least_first,
    perturbation_curves,
    ranked,
    smooth_random_maps,
)
from tests.perturbations.weights.counting import Counting, setting
from tests.perturbations.weights.published import published_blur, references

SHAPES = [(3, 8, 8), (3, 7, 9), (2, 31), (1, 4, 3, 5)]


@pytest.mark.parametrize("steps", [1, 2, 6, 12])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_protocol_of_rise_equals_the_reference(shape: tuple[int, ...], steps: int) -> None:
    model, inputs, maps, targets = setting(*shape)
    curves = perturbation_curves(model, inputs, maps, targets, steps=steps, batch_size=7)
    blur = torch.from_numpy(np.stack([published_blur(image) for image in inputs.double().numpy()])).float()
    starts = {"insertion": blur, "deletion": torch.zeros_like(inputs)}
    for mode, infills in starts.items():
        expected = references(model, inputs, maps, targets, steps, infills, mode)
        assert curves.scores[mode].shape == (1, 3, steps + 1)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


def test_224_pixels_a_step_of_a_whole_photograph() -> None:
    pixels = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    inputs, maps = torch.ones(1, 2, 224, 224), torch.randn(1, 224, 224)
    curves = perturbation_curves(pixels, inputs, maps, [0], modes="deletion", score="logit")
    assert curves.scores["deletion"].shape == (1, 1, 225)
    kept = 1 - torch.arange(225) * 224 / 224**2
    torch.testing.assert_close(curves.scores["deletion"][0, 0], kept, atol=1e-5, rtol=0)
    torch.testing.assert_close(curves.fractions, 1 - kept)


def test_small_images_move_one_pixel_a_step() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    assert perturbation_curves(model, inputs, maps, targets).fractions.tolist() == pytest.approx(
        [i / 63 for i in range(64)]
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    single = perturbation_curves(model, inputs, maps, targets, steps=5)
    seen = []

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        seen.append(inputs.dtype)
        return model(inputs)

    model = model.to(dtype)
    other = perturbation_curves(model, inputs.to(dtype), maps.to(dtype), targets, steps=5, forward=forward)
    assert set(seen) == {dtype}
    tolerance = 1e-6 if dtype is torch.float64 else 0.05
    for mode, scores in other.scores.items():
        assert scores.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
        torch.testing.assert_close(scores.float(), single.scores[mode], atol=tolerance, rtol=0)


def test_scores_of_weights_and_logits() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    weights = torch.nn.functional.one_hot(targets, 4) * 2.0
    for score in ("softmax", "logit"):
        one = perturbation_curves(model, inputs, maps, targets, steps=4, score=score)
        two = perturbation_curves(model, inputs, maps, weights, steps=4, score=score)
        torch.testing.assert_close(one.scores["deletion"] * 2, two.scores["deletion"])
    with torch.no_grad():
        expected = model(inputs).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(one.scores["deletion"][0, :, 0], expected)


def test_the_probability_of_a_single_logit_is_its_sigmoid() -> None:
    """Also below 0: the logit is the target. A weight of -1 is the other side."""
    _, inputs, maps, _ = setting(3, 8, 8)
    model = Counting(3, 8, 8, classes=1).eval()
    logits = perturbation_curves(model, inputs, maps, [0] * 3, steps=4, score="logit").scores
    found = perturbation_curves(model, inputs, maps, [0] * 3, steps=4).scores
    other = perturbation_curves(model, inputs, maps, -torch.ones(3, 1), steps=4).scores
    assert (logits["deletion"] < 0).any() and (logits["deletion"] > 0).any()
    for mode, values in logits.items():
        torch.testing.assert_close(found[mode], 1 / (1 + torch.exp(-values)))
        torch.testing.assert_close(other[mode], 1 - found[mode])


@pytest.mark.parametrize("classes, end", [(1, nn.Sigmoid()), (4, nn.Softmax(1))])
@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_model_that_returns_probabilities_is_taken_at_its_word(
    classes: int, end: nn.Module, batch_size: int | None
) -> None:
    _, inputs, maps, _ = setting(3, 8, 8)
    model = Counting(3, 8, 8, classes=classes).eval()
    ended = nn.Sequential(model, end).eval()
    for targets in ([0] * 3, -torch.ones(3, classes)):
        expected = perturbation_curves(model, inputs, maps, targets, steps=4).scores
        found = perturbation_curves(ended, inputs, maps, targets, steps=4, batch_size=batch_size).scores
        for mode, values in expected.items():
            torch.testing.assert_close(found[mode], values)


def test_several_rankings_are_those_of_one_at_a_time() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    rankings = torch.stack((ranked(maps), least_first(ranked(maps)), ranked(torch.randn(3, 7, 9))))
    together = perturbation_curves(model, inputs, rankings, targets, steps=6)
    for place, ranking in enumerate(rankings):
        alone = perturbation_curves(model, inputs, ranking, targets, steps=6)
        for mode in ("insertion", "deletion"):
            torch.testing.assert_close(together.scores[mode][place], alone.scores[mode][0])
    several_maps = torch.stack((maps, -maps))
    torch.testing.assert_close(
        perturbation_curves(model, inputs, several_maps, targets, steps=6).scores["insertion"],
        together.scores["insertion"][:2],
    )


@pytest.mark.parametrize(
    "infill, infills", [({"insertion": "blur", "deletion": "zero"}, 2), ("zero", 1), (torch.zeros(()), 1)]
)
def test_ends_are_evaluated_once_and_batches_are_full(infill: Any, infills: int) -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    rankings = torch.stack([ranked(maps), least_first(ranked(maps))])
    perturbation_curves(model, inputs, rankings, targets, steps=6, infill=infill, batch_size=10)
    images = 3 * (1 + infills) + 2 * 3 * 2 * 5
    assert sum(model.sizes) == images
    assert model.sizes == [10] * (images // 10) + [images % 10] * (images % 10 > 0)


def test_the_model_is_left_alone_and_no_gradients_are_made() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs.requires_grad_()
    kept = inputs.detach().clone()
    curves = perturbation_curves(model, inputs, maps.requires_grad_(), targets, steps=4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(model.gradients) and not curves.scores["insertion"].requires_grad
    assert torch.equal(inputs, kept) and inputs.grad is None
    assert torch.is_grad_enabled()


def test_global_generators_stand_still() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    before = torch.get_rng_state()
    perturbation_curves(model, inputs, maps, targets, steps=2, infill="noisy_linear")
    smooth_random_maps(maps, 0)
    assert torch.equal(torch.get_rng_state(), before)


class TimeIsUp(Exception):
    pass


@pytest.mark.parametrize("allowed", [0, 1, 4])
def test_it_asks_before_each_call_and_may_be_stopped(allowed: int) -> None:
    model, inputs, maps, targets = setting(3, 8, 8)

    def before_call() -> None:
        if len(model.sizes) == allowed:
            raise TimeIsUp

    with pytest.raises(TimeIsUp):
        perturbation_curves(model, inputs, maps, targets, steps=6, batch_size=5, before_call=before_call)
    assert model.sizes == [5] * allowed
    assert torch.is_grad_enabled()


def test_small_images_come_in_batches_between_which_it_can_be_stopped() -> None:
    model, inputs, maps, targets = setting(3, 8, 8, n=16)
    perturbation_curves(model, inputs, maps, targets)
    assert max(model.sizes) == 256 and sum(model.sizes) == 16 * 3 + 2 * 16 * 63


@pytest.mark.parametrize("name", ["curves", "imputation", "infills", "noise", "rankings"])
def test_what_the_protocol_is_made_of_is_found_beside_it(name: str) -> None:
    room = importlib.import_module(f"pytest_saliency_sanity.perturbations.{name}")
    made = [one for one, value in vars(room).items() if getattr(value, "__module__", "") == room.__name__]
    shared = set(made) & set(insertion.__all__)
    assert shared and all(getattr(insertion, one) is getattr(room, one) for one in shared)
