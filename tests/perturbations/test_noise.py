"""Random maps share the smoothness of the given ones, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_saliency_sanity.perturbations.curves import area_between
from pytest_saliency_sanity.perturbations.insertion import perturbation_curves
from pytest_saliency_sanity.perturbations.noise import smooth_random_maps
from pytest_saliency_sanity.perturbations.rankings import least_first, ranked
from tests.perturbations.weights.counting import setting


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (31,), (4, 3, 6)], ids=str)
def test_random_maps_share_the_power_spectrum(shape: tuple[int, ...]) -> None:
    maps = torch.randn(3, *shape, dtype=torch.float64).cumsum(1)
    random = smooth_random_maps(maps, 5)
    spectra = [np.abs(np.fft.fftn(part.numpy(), axes=range(1, part.ndim))) for part in (maps, random)]
    np.testing.assert_allclose(*spectra, rtol=1e-9, atol=1e-9)
    assert random.dtype == torch.float64 and random.shape == maps.shape
    assert torch.equal(random, smooth_random_maps(maps, 5))
    assert not torch.allclose(random, smooth_random_maps(maps, 6))
    torch.testing.assert_close(random[:2], smooth_random_maps(maps[:2], 5))


def test_random_maps_know_nothing_of_the_map() -> None:
    white = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(2))
    maps = white.cumsum(1).cumsum(2).expand(400, -1, -1)
    random = smooth_random_maps(maps, 0).flatten(1)
    pairs = torch.stack((random, maps.flatten(1)), 1)
    correlations = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert correlations.mean().abs() < 4 * correlations.std() / 20


@pytest.mark.parametrize("draw", ["smooth", "white"])
def test_random_rankings_have_no_area_between_on_average(draw: str) -> None:
    model, inputs, maps, targets = setting(1, 8, 8, n=1)
    maps = maps.cumsum(1).cumsum(2).expand(300, -1, -1)
    white = torch.randn(300, 8, 8, generator=torch.Generator().manual_seed(0))
    random = ranked(smooth_random_maps(maps, 0) if draw == "smooth" else white)[:, None]
    rankings = torch.cat((least_first(random), random))
    curves = perturbation_curves(model, inputs, rankings, targets, steps=8, modes="deletion", batch_size=512)
    least, most = curves.scores["deletion"].split(300)
    areas = area_between(least, most)
    assert areas.mean().abs() < 4 * areas.std() / 300**0.5
    assert areas.std() > 1e-3


def test_half_precision_maps_are_widened() -> None:
    assert smooth_random_maps(torch.randn(2, 6, 6).half(), 0).dtype == torch.float32
