"""The paper's figures against scikit-image and SciPy, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from pytest_saliency_sanity.statistics import FIGURES, figure
from tests.statistics.test_similarity import close, flat_spearman, maps_of, reference


def scaled(maps: Tensor) -> np.ndarray:
    peak = maps.flatten(1).abs().amax(1).clamp_min(1e-38)
    return (maps / peak.view(-1, 1, 1)).double().numpy()


def slow_ssim(left: Tensor, right: Tensor) -> Tensor:
    side = min(left.shape[1:])
    window = min(7, side - 1 + side % 2)
    pairs = zip(scaled(left), scaled(right), strict=True)
    found = [structural_similarity(a, b, data_range=2.0, win_size=window) for a, b in pairs]
    return torch.tensor(found, dtype=torch.float64)


def slow_hog(left: Tensor, right: Tensor) -> Tensor:
    side = max(2, min(16, min(left.shape[1:]) // 4))
    pairs = zip(scaled(left), scaled(right), strict=True)
    features = [[hog(one, pixels_per_cell=(side, side)) for one in pair] for pair in pairs]
    return torch.tensor([np.corrcoef(a, b)[0, 1] for a, b in features], dtype=torch.float64)


def planted(kind: str, size: tuple[int, int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Pairs of maps: independent ones, with ties, one plus noise, steps at right angles, and one that is constant."""
    left, right = maps_of(0, 3, size), maps_of(1, 3, size)
    if kind == "ties":
        left, right = left.round(), right.round()
    elif kind == "noisy":
        right = left + 0.3 * right
    elif kind == "steps":
        left, right = left[:, :1].sign().expand_as(left), left[:, :, :1].sign().expand_as(left)
    elif kind == "one is constant":
        right = torch.zeros_like(right)
    return left.to(dtype).contiguous(), right.to(dtype).contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(6, 6), (28, 28), (12, 9), (33, 70), (8, 31)])
@pytest.mark.parametrize("kind", ["independent", "ties", "noisy", "steps", "one is constant"])
def test_ssim_and_hog_are_those_of_scikit_image(kind: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    left, right = planted(kind, size, dtype)
    close(figure("ssim", left, right), slow_ssim(left, right), atol=1e-9, rtol=0)
    if kind not in ("one is constant", "steps"):  # histograms that are all alike correlate with nothing
        close(figure("hog_pearson", left, right), slow_hog(left, right), atol=1e-6, rtol=0)


def test_ssim_does_not_mind_the_scale_of_a_map() -> None:
    left, right = maps_of(0, size=(12, 9)), maps_of(1, size=(12, 9))
    close(figure("ssim", left * 1e9, right * 1e-9), slow_ssim(left, right), atol=1e-5, rtol=0)
    assert figure("ssim", left, left).allclose(torch.ones(1, dtype=torch.float64))


def test_spearman_with_and_without_the_sign() -> None:
    left, right = maps_of(0), maps_of(1)
    close(figure("spearman", left, right).double(), reference(flat_spearman, left, right), atol=1e-6, rtol=0)
    absolute = reference(flat_spearman, left.abs(), right.abs())
    close(figure("abs_spearman", left, right).double(), absolute, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(3, 3), (4, 4), (5, 40), (2, 2), (1, 30), (24,), (2,), (5, 6, 7)])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_any_shape_are_numbers_or_nan(name: str, size: tuple[int, ...]) -> None:
    found = figure(name, maps_of(0, 3, size), maps_of(1, 3, size)).double()
    assert found.shape == (3,)
    assert ((found.abs() <= 1 + 1e-6) | found.isnan()).all()
    if name.endswith("spearman"):
        assert found.isfinite().all()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_constant_maps(name: str) -> None:
    constant, other = torch.zeros(2, 20, 20), maps_of(0, 2, (20, 20))
    found = figure(name, constant, other)
    assert found.isnan().all() if name == "hog_pearson" else found.isfinite().all()
    if name.endswith("spearman"):
        assert (found == 0).all() and (figure(name, constant, constant) == 1).all()


def test_ssim_and_hog_have_no_say_in_one_and_in_no_dimensions() -> None:
    signals = maps_of(0, 2, (24,)), maps_of(1, 2, (24,))
    assert figure("ssim", *signals).isfinite().all()
    assert figure("hog_pearson", *signals).isnan().all()
    tiny = maps_of(0, 2, (2, 2)), maps_of(1, 2, (2, 2))
    assert all(math.isnan(value) for value in figure("ssim", *tiny))


def test_an_unknown_figure() -> None:
    choices = "choose from spearman, abs_spearman, ssim, hog_pearson"
    with pytest.raises(ValueError, match=f"^unknown similarity 'kendall'; {choices}$"):
        figure("kendall", maps_of(0), maps_of(0))
