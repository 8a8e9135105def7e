"""What stands in for hidden pixels: the published blur, tensors, noisy linear imputation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.imputation import linearly_imputed
from pytest_saliency_sanity.perturbations.infills import NOISE, blurred
from pytest_saliency_sanity.perturbations.insertion import perturbation_curves
from pytest_saliency_sanity.perturbations.rankings import ranked
from tests.perturbations.weights.counting import setting
from tests.perturbations.weights.published import published_blur, references


@pytest.mark.parametrize("shape", [(3, 30, 24), (2, 9, 5), (2, 40), (1, 12, 6, 13)], ids=str)
def test_the_blur_is_that_of_the_published_evaluation(shape: tuple[int, ...]) -> None:
    inputs = torch.randn(2, *shape, dtype=torch.float64)
    expected = np.stack([published_blur(image) for image in inputs.numpy()])
    np.testing.assert_allclose(blurred(inputs), expected, atol=1e-12)
    torch.testing.assert_close(blurred(inputs.float()), torch.from_numpy(expected).float())


def test_the_blur_keeps_the_mean_and_mirrors_what_a_cut_gaussian_loses() -> None:
    impulse = torch.zeros(1, 1, 21, dtype=torch.float64)
    impulse[..., 10] = 1
    kernel = blurred(impulse)[0, 0, 5:16]
    weights = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / 50)
    assert kernel.sum().item() == pytest.approx(1)
    assert kernel[5] < weights[5] / weights.sum()  # flatter
    folded = [weights_of(place) for place in range(11)]
    np.testing.assert_allclose(kernel, folded, atol=1e-12)


def weights_of(place: int) -> float:
    """A Gaussian of σ = 5 cut at 20, folded into 11 places by mirrors at both borders."""
    weights = np.exp(-(np.arange(-20, 21) ** 2) / 50)
    mirrored = [x % 22 if x % 22 < 11 else 21 - x % 22 for x in range(-15, 26)]
    return float(weights[np.array(mirrored) == place].sum() / weights.sum())


@pytest.mark.parametrize("infill", [torch.tensor(0.7), torch.randn(3, 1, 1), torch.randn(3, 3, 7, 9)])
def test_a_tensor_is_infilled(infill: Tensor) -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill=infill)
    for mode in ("insertion", "deletion"):
        expected = references(model, inputs, maps, targets, 5, infill.expand_as(inputs), mode)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "infill",
    [0.7, np.float32(0.7), np.full((3, 1, 1), 0.7), np.full((3, 3, 7, 9), 0.7, dtype=">f8")],
    ids=str,
)
def test_numbers_and_arrays_are_infilled(infill: Any) -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill=infill)
    images = sum(model.sizes)
    expected = perturbation_curves(model, inputs, maps, targets, steps=5, infill=torch.tensor(0.7))
    assert images == 3 * 2 + 2 * 3 * 4  # one infill for both modes
    for mode, scores in expected.scores.items():
        torch.testing.assert_close(curves.scores[mode], scores)


def test_the_mean_is_that_of_each_channel_over_all_images() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill="mean")
    means = torch.stack([inputs[:, channel].mean() for channel in range(3)]).view(3, 1, 1)
    for mode in ("insertion", "deletion"):
        expected = references(model, inputs, maps, targets, 5, means.expand_as(inputs), mode)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


def test_each_mode_may_have_its_infill() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    infill = {"insertion": "zero", "deletion": "blur"}
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill=infill)
    for mode, infills in (("insertion", torch.zeros_like(inputs)), ("deletion", blurred(inputs))):
        expected = references(model, inputs, maps, targets, 5, infills, mode)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


def test_curves_with_noisy_linear_imputation() -> None:
    model, inputs, maps, targets = setting(3, 5, 6)
    seen: list[Tensor] = []

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return model(inputs)

    options: dict[str, Any] = {"steps": 3, "infill": "noisy_linear", "forward": forward, "batch_size": 4}
    perturbation_curves(model, inputs, maps, targets, **options)
    images = torch.cat(seen)
    assert torch.equal(images[:3], inputs)
    means = inputs.mean((2, 3), keepdim=True)
    noise = images[3:6] - means
    assert 0.7 * NOISE < noise.std() < 1.3 * NOISE
    expected = [
        torch.where(hidden, linearly_imputed(image, hidden).float() + added, image)
        for mode in ("insertion", "deletion")
        for image, ranking, added in zip(inputs, ranked(maps).view(3, 5, 6), noise, strict=True)
        for hidden in (
            [ranking >= k for k in (10, 20)] if mode == "insertion" else [ranking < 10, ranking < 20]
        )
    ]
    torch.testing.assert_close(images[6:], torch.stack(expected))
