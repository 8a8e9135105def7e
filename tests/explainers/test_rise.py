"""RISE against the paper taken word by word, models whose map is known, and its own random streams."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_saliency_sanity.explainers import rise
from pytest_saliency_sanity.explainers.grids import draw_grids, draw_shifts, enlarged
from pytest_saliency_sanity.perturbations import replayed

close = torch.testing.assert_close
LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def mask_by_hand(grid, shift, sides):
    """Petsiuk et al. 2018, section 3.3: enlarged to (s + 1) cells of ceil(side / s) pixels, and cropped."""
    cells = grid.shape
    widths = [math.ceil(side / s) for side, s in zip(sides, cells, strict=True)]
    size = [(s + 1) * width for s, width in zip(cells, widths, strict=True)]
    mask = F.interpolate(grid[None, None], size, mode=LINEAR[grid.dim() + 2], align_corners=False)[0, 0]
    for axis, (start, side) in enumerate(zip(shift, sides, strict=True)):
        mask = mask.narrow(axis, start, side)
    return mask


def rise_by_hand(model, x, target, grids, shifts, probability):
    """Equation 6, for one image, mask after mask."""
    total = torch.zeros(x.shape[1:], dtype=x.dtype)
    for grid, shift in zip(grids, shifts, strict=True):
        mask = mask_by_hand(grid, shift.tolist(), x.shape[1:])
        score = model((x * mask)[None]).softmax(1)[0, target].item()
        total += score * mask
    return total / (len(grids) * probability)


def drawn(samples, cells, sides, probability=0.5):
    """The grids and shifts that the explainer draws next."""
    like = torch.zeros(1).double()
    grids = draw_grids(samples, cells, probability, like, None)[:, 0]
    return grids, draw_shifts(samples, cells, sides, like, None)


@pytest.mark.parametrize(
    "cells, sides", [((7,), (30,)), ((3, 5), (12, 13)), ((4, 4), (28, 28)), ((1, 2, 3), (4, 5, 6))]
)
def test_masks_are_enlarged_bilinearly_and_cut_out(cells, sides):
    grids, shifts = drawn(9, list(cells), sides)
    masks = enlarged(grids[:, None], shifts, sides)
    assert masks.shape == (9, 1, *sides)
    for mask, grid, shift in zip(masks[:, 0], grids, shifts, strict=True):
        close(mask, mask_by_hand(grid, shift.tolist(), sides))


def test_shifts_reach_from_zero_to_a_cell():
    _, shifts = drawn(2000, [7, 4], (224, 13))
    assert shifts.amin(0).tolist() == [0, 0] and shifts.amax(0).tolist() == [32, 4]


@pytest.mark.parametrize("probability", [0.5, 0.2])
def test_by_hand(cnn, images, targets, probability):
    cnn, images = cnn.double(), images.double()
    with replayed(7):
        maps = rise(cnn, images, targets, samples=20, grid=(3, 4), probability=probability)
    with replayed(7):
        grids, shifts = drawn(20, [3, 4], (12, 12), probability)
    assert maps.shape == (4, 1, 12, 12)
    for image, target, found in zip(images, targets, maps, strict=True):
        close(found[0], rise_by_hand(cnn, image, target, grids, shifts, probability))


def expected_map(terms, cells, probability, bias):
    """E[(bias + sum_j M_j terms_j) M_i] / p for a signal: exact, from the moments of independent cells."""
    side = len(terms)
    moments = probability**2 + probability * (1 - probability) * torch.eye(cells).double()
    total = torch.zeros(side).double()
    width = math.ceil(side / cells)
    for shift in range(width + 1):
        columns = [mask_by_hand(cell, [shift], [side]) for cell in torch.eye(cells).double()]
        to_pixels = torch.stack(columns, 1)
        total += (to_pixels @ moments @ to_pixels.T @ terms) / probability + bias
    return total / (width + 1)


def test_a_linear_model_is_found_ever_better():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(30, 2)).double(), torch.randn(1, 1, 30).double()
    terms = (model[1].weight[1] * x[0, 0]).detach()
    expected = expected_map(terms, 6, 0.4, model[1].bias[1].item())
    explain = partial(rise, model, x, [1], grid=6, probability=0.4, output="logit")

    def error(samples):
        found = (explain(samples=samples, seed=seed)[0, 0] for seed in range(4))
        return sum((one - expected).norm().item() for one in found) / 4

    # Sixteen times the samples, a quarter of the error.
    few, some, many = error(32), error(512), error(8192)
    assert few > 2 * some > 4 * many
    assert many < 0.05 * expected.norm()


def test_the_map_of_a_linear_model_correlates_with_its_weights():
    """Smooth weights, and an image of ones: what is left of the weights after enlarging is nearly all."""
    weights = torch.linspace(-1, 1, 24).outer(torch.linspace(-1, 2, 24).cos()).flatten()
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(576, 1, bias=False)), torch.ones(1, 1, 24, 24)
    model[1].weight.data[0] = weights

    def correlation(samples, seed):
        found = rise(model, x, [0], samples=samples, output="logit", seed=seed)
        return torch.corrcoef(torch.stack([found.flatten(), weights]))[0, 1].item()

    few, some, many = (sum(correlation(n, seed) for seed in range(5)) / 5 for n in (20, 200, 2000))
    assert few < some < many and many > 0.9


def test_a_model_that_looks_at_one_spot_is_explained_by_it():
    def model(x):
        spot = x[:, 0, 8:12, 20:24].mean((1, 2))
        return torch.stack([8 * spot - 4, torch.zeros_like(spot)], 1)

    found = rise(model, torch.ones(1, 1, 32, 32), [0], samples=1000, grid=8, seed=0)[0, 0]
    row, column = divmod(found.argmax().item(), 32)
    assert 7 <= row <= 12 and 19 <= column <= 24
    assert found[8:12, 20:24].mean() > found.mean() + 5 * found[20:, :12].std()


@pytest.mark.parametrize(
    "side, cells", [(224, 7), (64, 7), (42, 7), (28, 5), (24, 4), (12, 2), (5, 2), (1, 1)]
)
def test_the_default_grid(side, cells):
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(side, 2)), torch.randn(1, 1, side)
    explain = partial(rise, model, x, [0], samples=10, seed=1)
    assert torch.equal(explain(), explain(grid=cells))


@pytest.mark.parametrize(
    "dtype, close_to", [(torch.half, 2e-3), (torch.bfloat16, 2e-2), (torch.double, 1e-6)]
)
def test_other_precisions_see_the_same_masks(signal_cnn, dtype, close_to):
    x, targets = torch.randn(3, 2, 24), [0, 1, 2]
    single = rise(signal_cnn, x, targets, samples=50, seed=0)
    other = rise(signal_cnn.to(dtype), x.to(dtype), targets, samples=50, seed=0)
    assert other.shape == (3, 1, 24) and other.dtype == dtype
    close(other.float(), single, rtol=close_to, atol=close_to)


def test_hidden_pixels_take_the_baseline(cnn, images, targets):
    base = torch.randn(3, 1, 1)
    moved = rise(lambda x: cnn(x + base), images - base, targets, samples=20, seed=0)
    close(rise(cnn, images, targets, samples=20, seed=0, baseline=base), moved)


def test_a_single_logit_is_read_as_its_sigmoid():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), torch.randn(2, 1, 8, 8)

    def both(x):
        return F.pad(model(x), (0, 1))  # the other logit is 0

    explain = partial(rise, inputs=x, targets=[0, 0], samples=20, seed=0)
    close(explain(model), explain(both))


def test_weighted_targets_are_sums_of_maps(cnn, images):
    explain = partial(rise, cnn, images, samples=20, seed=0)
    weights = torch.zeros(4, 5)
    weights[:, 1], weights[:, 3] = 0.25, 0.5
    expected = 0.25 * explain([1] * 4) + 0.5 * explain([3] * 4)
    close(explain(weights), expected)


@pytest.mark.parametrize("options, message", [
    ({"samples": 0}, "samples must be a whole number of at least 1, got 0"),
    ({"grid": 13}, "A grid of 13 cells does not fit in a side of 12"),
    ({"grid": (3, 3, 3)}, r"grid needs one number or 2, .* got \(3, 3, 3\)"),
    ({"probability": 1.0}, r"probability must be a number between 0 and 1, both excluded, got 1\.0"),
    ({"output": "prob"}, "output must be 'softmax' or 'logit', got 'prob'"),
    ({"baseline": torch.zeros(7)}, r"A baseline of shape \(7,\) does not broadcast"),
    ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
    ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
])  # fmt: skip
def test_bad_options(cnn, images, targets, options, message):
    with pytest.raises(ValueError, match=message):
        rise(cnn, images, targets, **options)


def test_there_must_be_space():
    with pytest.raises(ValueError, match=r"rise needs inputs .* a spatial dimension, got \(2, 7\)"):
        rise(nn.Linear(7, 2), torch.randn(2, 7), [0, 1])


def test_the_probabilities_of_a_softmax_are_taken_once(cnn, images, targets):
    ended = nn.Sequential(cnn, nn.Softmax(1)).eval()
    with replayed(7):
        expected = rise(cnn, images, targets, samples=20)
    with replayed(7):
        close(rise(ended, images, targets, samples=20), expected)
