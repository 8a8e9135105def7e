"""Mask estimation against a flat reference, models that look at one spot, and its track."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_saliency_sanity.explainers import Track, mask_estimation
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.perturbations import replayed
from tests.digits import held_out_digits
from tests.networks import train

close = torch.testing.assert_close


def mask_by_hand(grid, shift, side):
    size = (len(grid) + 1) * math.ceil(side / len(grid))
    mask = F.interpolate(grid[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0]
    return mask[shift[0] : shift[0] + side, shift[1] : shift[1] + side]


def map_by_hand(model, x, target, steps, cells, probability, eta, weight):
    """Algorithm 1 as the program runs it, for one image and one walk, cell by cell."""
    side = x.shape[-1]
    grid = (torch.rand(1, 1, cells, cells)[0, 0] < probability).double()
    total = torch.zeros(side, side).double()
    for _ in range(steps):
        shift = [torch.randint(math.ceil(side / cells) + 1, (1,)).item() for _ in range(2)]
        mask = mask_by_hand(grid, shift, side)
        total += mask
        pairs = [(grid[i, j] - grid[i + 1, j]).abs() for i in range(cells - 1) for j in range(cells)]
        pairs += [(grid[i, j] - grid[i, j + 1]).abs() for i in range(cells) for j in range(cells - 1)]
        p = model((x * mask)[None]).softmax(1)[0, target].item() - weight * (sum(pairs) / len(pairs)).item()
        p = min(max(p, eta), 1 - eta)
        draws = torch.rand(1, 1, cells, cells)[0, 0]
        for i in range(cells):
            for j in range(cells):
                if grid[i, j] == 1:
                    grid[i, j] = 1 if draws[i, j] < p else 0
                else:
                    grid[i, j] = 1 if draws[i, j] >= p else 0  # with probability 1 - p
    above = (total - total.mean()).clamp_min(0)
    return above / above.max()


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_by_hand(cnn, images, targets, weight):
    cnn, images = cnn.double(), images.double()
    options = {"steps": 25, "probability": 0.4, "eta": 0.05}
    with replayed(7):
        maps = mask_estimation(cnn, images, targets, grid=4, chains=1, total_variation=weight, **options)
    assert maps.shape == (4, 1, 12, 12)
    for image, target, found in zip(images, targets, maps, strict=True):
        with replayed(7):
            close(found[0], map_by_hand(cnn, image, target, cells=4, weight=weight, **options))


def looks_at(spot):
    """A model of two classes; the first is there when the pixels at `spot` are bright."""

    def model(x):
        brightness = x[(slice(None), 0, *spot)].flatten(1).mean(1)
        return torch.stack([8 * brightness - 4, torch.zeros_like(brightness)], 1)

    return model


@pytest.mark.parametrize("chains", [1, 10])
def test_a_model_that_looks_at_one_spot_is_explained_by_it(chains):
    model = looks_at((slice(8, 12), slice(20, 24)))
    found = mask_estimation(model, torch.ones(1, 1, 32, 32), [0], chains=chains, seed=0)[0, 0]
    row, column = divmod(found.argmax().item(), 32)
    assert 7 <= row <= 12 and 19 <= column <= 24
    assert found[9:11, 21:23].min() > 0.8


def test_the_spot_of_a_signal_stands_out_ever_more():
    model, x = looks_at((slice(12, 16),)), torch.ones(1, 1, 32)

    def contrast(steps):
        found = [mask_estimation(model, x, [0], steps=steps, seed=seed)[0, 0] for seed in range(4)]
        return sum(one[12:16].mean() - torch.cat([one[:8], one[20:]]).mean() for one in found).item() / 4

    few, many = contrast(30), contrast(1000)
    assert few < many and many > 0.5


def test_maps_are_rectified_and_scaled(cnn, images, targets):
    maps = mask_estimation(cnn, images, targets, steps=50, seed=0)
    assert maps.min() == 0 and torch.equal(maps.amax((1, 2, 3)), torch.ones(4))


def test_a_mask_that_never_changes_leaves_a_map_of_zeros():
    """One cell covers everything: the sum of the masks is flat."""
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), torch.ones(2, 1, 9)
    assert torch.equal(mask_estimation(model, x, [0, 1], grid=1, steps=20), torch.zeros(2, 1, 9))


@pytest.mark.parametrize("eta, everywhere", [(0.0, False), (0.02, True)])
def test_eta_keeps_a_mask_from_lasting_forever(eta, everywhere):
    """A model that is always certain keeps its first mask, and never sees the cells that it has off."""
    shown = []

    def certain(x):
        shown.append(x)
        return torch.tensor([[100.0, 0.0]]).expand(len(x), -1)

    mask_estimation(certain, torch.ones(1, 1, 32), [0], chains=1, eta=eta, steps=300, seed=0)
    lit = torch.cat(shown).amax(0) > 0.5
    assert lit.any() and lit.all() == everywhere


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
def test_precisions_and_signals(signal_cnn, dtype):
    maps = mask_estimation(signal_cnn.to(dtype), torch.randn(3, 2, 24, dtype=dtype), [0, 1, 2], steps=50)
    assert maps.shape == (3, 1, 24) and maps.dtype == dtype and maps.isfinite().all()
    assert torch.equal(maps.amax((1, 2)), torch.ones(3, dtype=dtype))


def test_each_input_of_a_tuple_has_its_track(two_branches):
    image, signal = torch.randn(1, 3, 8, 8), torch.randn(1, 2, 9)
    explain = partial(mask_estimation, steps=20, seed=0, track=True)
    _, tracks = explain(two_branches, (image, signal), [3])
    _, track = explain(lambda x: two_branches(x, signal.expand(len(x), -1, -1)), image, [3])
    close(tracks[0].insertion, track.insertion)
    assert tracks[1].deletion.shape == (2, 1)


def area_by_hand(model, x, target, ranking, kept):
    """Fourteen levels from none to all of the pixels, the largest first, and the trapezoids between."""
    pixels = ranking.numel()
    order = sorted(range(pixels), key=lambda i: -ranking.flatten()[i])
    scores = []
    for level in range(15):
        mask = torch.full((pixels,), 1.0 - kept, dtype=x.dtype)
        mask[order[: math.ceil(pixels * level / 14)]] = float(kept)
        scores.append(model((x * mask.view(ranking.shape))[None]).softmax(1)[0, target].item())
    return sum((a + b) / 2 for a, b in pairwise(scores)) / 14


def test_the_track_holds_the_areas_by_hand(cnn, images, targets):
    """The areas at the end are those of the sum of the masks, of which the map is the part above its mean."""
    cnn, images = cnn.double(), images.double()
    maps, track = mask_estimation(cnn, images, targets, steps=200, grid=3, track=True, seed=0)
    sums = sums_by_hand(cnn, images, targets)
    for i, total in enumerate(sums):
        close((total - total.mean()).clamp_min(0) / (total - total.mean()).max(), maps[i, 0])
        for kept, areas in ((True, track.insertion), (False, track.deletion)):
            close(areas[-1, i].item(), area_by_hand(cnn, images[i], targets[i], total, kept))


def sums_by_hand(model, images, targets):
    """The sums of the masks (N, H, W), read off what the model was shown at each pixel's largest channel."""
    seen = []

    def shown(x):
        seen.append(x)
        return model(x)

    mask_estimation(shown, images, targets, steps=200, grid=3, seed=0)
    masked = torch.cat(seen).unflatten(0, (-1, len(images)))
    pixel = images.abs().argmax(1, keepdim=True)
    return (masked.gather(2, pixel.expand(len(masked), *pixel.shape)) / images.gather(1, pixel)).sum(0)[:, 0]


def test_the_track_says_when(cnn, images, targets):
    explain = partial(mask_estimation, cnn, images, targets, track=True, seed=0)
    maps, track = explain(steps=100, chains=5)
    assert isinstance(track, Track)
    assert track.steps.tolist() == list(range(5, 101, 5))
    assert track.insertion.shape == track.deletion.shape == (20, 4)
    assert explain(steps=95, chains=10)[1].steps.tolist() == [*range(10, 91, 10), 95]
    assert len(explain(steps=1000)[1].steps) == 20
    assert torch.equal(maps, mask_estimation(cnn, images, targets, steps=100, chains=5, seed=0))


@pytest.fixture(scope="module")
def digits():
    model, images = train("plain_cnn", 0), held_out_digits().images[:8]
    return model, images, model(images).argmax(1)


def test_the_track_of_a_digit_network_rises(digits):
    _, track = mask_estimation(*digits, steps=600, track=True, seed=0)
    insertion, deletion = track.insertion.mean(1), track.deletion.mean(1)
    assert insertion[-5:].mean() > insertion[:2].mean() + 0.02
    assert deletion[-5:].mean() < deletion[:2].mean() - 0.02


@pytest.mark.parametrize("options, message", [
    ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
    ({"chains": 1.5}, r"chains must be a whole number of at least 1, got 1\.5"),
    ({"grid": 13}, "A grid of 13 cells does not fit in a side of 12"),
    ({"probability": 0.0}, r"probability must be a number between 0 and 1, both excluded, got 0\.0"),
    ({"eta": 0.5}, r"eta must be a number from 0 to below 0\.5, got 0\.5"),
    ({"total_variation": -1.0}, r"total_variation must be a weight of 0 or more, got -1\.0"),
    ({"baseline": torch.zeros(7)}, r"A baseline of shape \(7,\) does not broadcast"),
    ({"seed": 1.5}, r"seed must be a whole number of at least 0, got 1\.5"),
])  # fmt: skip
def test_bad_options(cnn, images, targets, options, message):
    with pytest.raises(ValueError, match=message):
        mask_estimation(cnn, images, targets, **options)


def test_there_must_be_space():
    with pytest.raises(ValueError, match=r"mask_estimation needs inputs .* dimension, got \(2, 7\)"):
        mask_estimation(nn.Linear(7, 2), torch.randn(2, 7), [0, 1])


def test_a_track_beside_maps_with_their_channels_last():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9 * 9 * 3, 4))
    images = torch.randn(2, 9, 9, 3, generator=torch.Generator().manual_seed(0))
    explain = partial(mask_estimation, steps=20, seed=0, track=True)
    with using_channel_axis(-1):
        maps, track = explain(model, images, [1, 2])
    assert maps.shape[:3] == (2, 9, 9)
    assert len(track.insertion) == len(track.steps)
