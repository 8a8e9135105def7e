"""SSIM and HOG held against scikit-image, and Spearman against scipy, map by map."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage.feature import hog
from skimage.metrics import structural_similarity as reference_ssim
from torch import Tensor

from pytest_saliency_sanity.statistics import figure
from pytest_saliency_sanity.statistics.oriented_gradients import oriented_gradients
from pytest_saliency_sanity.statistics.structural_similarity import structural_similarity

SIZES = ((7, 7), (8, 31), (40, 9), (65, 64), (224, 224), (300, 130))
KINDS = ("noisy", "tied", "sparse", "plateaus", "smooth", "constant")


def maps(kind: str, size: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(2, *S) two maps that have something in common."""
    stream = torch.Generator().manual_seed(seed)
    values = torch.randn(3, *size, generator=stream, dtype=torch.float64)
    values = (values[1:] + values[:1]).to(dtype)
    if kind == "tied":
        return (values * 2).round()
    if kind == "sparse":
        return values.relu() * (values > 1.5)
    if kind == "plateaus":
        return values.sign() * (values.abs() > 0.2)
    if kind == "smooth":
        return values.cumsum(1).cumsum(2)
    return torch.full_like(values, 0.3) if kind == "constant" else values


def scaled(values: Tensor) -> np.ndarray:
    return (values / values.abs().max()).double().numpy()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_ssim_is_that_of_scikit_image(kind: str, dtype: torch.dtype) -> None:
    for size in SIZES:
        left, right = maps(kind, size, 0, dtype)
        expected = reference_ssim(scaled(left), scaled(right), data_range=2)
        assert structural_similarity(left.numpy(), right.numpy()) == pytest.approx(expected, abs=1e-12), size


@pytest.mark.parametrize("kind", KINDS)
def test_hog_is_that_of_scikit_image(kind: str) -> None:
    for size, cell in zip(SIZES[2:], (2, 7, 16, 8), strict=True):
        values = scaled(maps(kind, size, 1)[0])
        expected = hog(values, pixels_per_cell=(cell, cell))
        np.testing.assert_allclose(oriented_gradients(values, cell), expected, atol=1e-6, rtol=0)


def test_gradients_along_the_edges_of_the_bins() -> None:
    """Orientations of 0°, just below 0°, 180° and 90° fall where scikit-image has them."""
    across, down = np.mgrid[0:12, 0:12][::-1]
    for values in (across, -across, down, -down, across - 1e-17 * down, 1e-17 * down - across, down - across):
        expected = hog(values.astype(float), pixels_per_cell=(4, 4))
        np.testing.assert_allclose(oriented_gradients(values.astype(float), 4), expected, atol=1e-6, rtol=0)


def slow_ssim(left: np.ndarray, right: np.ndarray, window: int) -> float:
    """Wang et al. 2004, equation 13, window by window; (n - 1) in variances."""
    found = []
    for place in np.ndindex(*(size - window + 1 for size in left.shape)):
        inside = tuple(slice(first, first + window) for first in place)
        x, y = left[inside].ravel(), right[inside].ravel()
        (xx, xy), (_, yy) = np.cov(x, y)
        luminance = (2 * x.mean() * y.mean() + 0.02**2) / (x.mean() ** 2 + y.mean() ** 2 + 0.02**2)
        found.append(luminance * (2 * xy + 0.06**2) / (xx + yy + 0.06**2))
    return float(np.mean(found))


@pytest.mark.parametrize(
    "size, window", [((12, 9), 7), ((5, 14), 5), ((4, 3), 3), ((20,), 7), ((5, 6, 7), 5)]
)
def test_ssim_is_that_of_the_paper_in_any_dimension(size: tuple[int, ...], window: int) -> None:
    left, right = torch.randn(2, *size, generator=torch.Generator().manual_seed(2)).double()
    expected = slow_ssim(scaled(left), scaled(right), window)
    assert structural_similarity(left.numpy(), right.numpy()) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_a_map_that_takes_several_strips() -> None:
    left, right = torch.randn(2, 9000, 9, generator=torch.Generator().manual_seed(3)).double()
    expected = reference_ssim(scaled(left), scaled(right), data_range=2)
    assert structural_similarity(left.numpy(), right.numpy()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_spearman_is_that_of_scipy(kind: str, dtype: torch.dtype) -> None:
    left, right = maps(kind, (65, 64), 4, dtype)
    expected = spearmanr(left.flatten(), right.flatten()).statistic
    assert figure("spearman", left[None], right[None]).item() == pytest.approx(expected, abs=1e-12)


def test_figures_take_half_precision_and_any_layout() -> None:
    left, right = maps("noisy", (30, 24), 5)
    for name in ("spearman", "ssim", "hog_pearson"):
        expected = figure(name, left.bfloat16().float()[None], right[None])
        assert figure(name, left.bfloat16()[None], right[None]).item() == pytest.approx(
            expected.item(), abs=1e-12
        )
        turned = figure(name, left.T[None], right.T[None])
        assert turned.item() == figure(name, left.T.contiguous()[None], right.T.contiguous()[None]).item()
    assert math.isnan(figure("hog_pearson", left[None, :5], right[None, :5]).item())
