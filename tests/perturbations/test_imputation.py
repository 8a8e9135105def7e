"""Linear imputation against a dense solve of ROAD's equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pytest_saliency_sanity.perturbations.imputation import linearly_imputed


def dense_imputation(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """ROAD's equations, a pixel and a neighbor at a time, solved densely."""
    height, width = hidden.shape
    system, right = np.eye(height * width), image.reshape(len(image), -1).T.copy()
    for y, x in zip(*np.nonzero(hidden), strict=True):
        row, total = y * width + x, 0.0
        right[row] = 0
        for dy, dx in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]:
            if 0 <= y + dy < height and 0 <= x + dx < width:
                weight = 1 / 12 if dy and dx else 1 / 6
                system[row, (y + dy) * width + x + dx] -= weight
                total += weight
        system[row, row] = total
    return np.linalg.solve(system, right).T.reshape(image.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("side", [(5, 6), (1, 8), (9, 2)], ids=str)
def test_linear_imputation_equals_a_dense_solve(side: tuple[int, int], share: float) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(2, *side, generator=generator, dtype=torch.float64)
    hidden = torch.rand(side, generator=generator) < share
    hidden[0, 0], hidden[0, 1] = True, False
    found = linearly_imputed(image, hidden)
    np.testing.assert_allclose(found, dense_imputation(image.numpy(), hidden.numpy()), atol=1e-10)
    assert torch.equal(found[:, ~hidden], image[:, ~hidden])


def test_linear_imputation_needs_a_known_pixel() -> None:
    with pytest.raises(ValueError, match=r"^linear imputation needs a known pixel, but all 6 are hidden$"):
        linearly_imputed(torch.zeros(1, 2, 3), torch.ones(2, 3, dtype=torch.bool))
