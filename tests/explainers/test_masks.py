"""Occlusion against captum, a flat reference, and linear models."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given, settings
from torch import nn

from pytest_saliency_sanity.explainers import occlusion

close = torch.testing.assert_close


def occlusion_by_hand(model, x, target, window, stride, baseline):
    """Zeiler and Fergus 2014, section 4.2, for one image: window after window, the last cut off."""
    height, width = x.shape[1:]
    drops = [[[] for _ in range(width)] for _ in range(height)]
    clean = model(x[None])[0, target]
    for top in range(0, height - window[0] + stride[0], stride[0]):
        for left in range(0, width - window[1] + stride[1], stride[1]):
            hidden = x.clone()
            hidden[:, top : top + window[0], left : left + window[1]] = baseline
            drop = (clean - model(hidden[None])[0, target]).item()
            for i in range(top, min(top + window[0], height)):
                for j in range(left, min(left + window[1], width)):
                    drops[i][j].append(drop)
    return torch.tensor([[sum(d) / len(d) for d in row] for row in drops])


@pytest.mark.parametrize(
    "window, stride, baseline",
    [((3, 3), (1, 1), 0.0), ((4, 3), (3, 2), 0.5), ((5, 5), (5, 5), -1.0), ((12, 12), (12, 12), 0.0)],
)
def test_by_hand(cnn, images, targets, window, stride, baseline):
    maps = occlusion(cnn, images, targets, window=window, stride=stride, baseline=baseline)
    assert maps.shape == (4, 1, 12, 12)
    for image, target, found in zip(images, targets, maps, strict=True):
        close(found[0], occlusion_by_hand(cnn, image, target, window, stride, baseline), rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(6, 13), st.integers(6, 13))
def test_captum_agrees(window, stride, height, width):
    attr = pytest.importorskip("captum.attr")
    assume(stride <= window)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    x, targets = torch.randn(2, 2, height, width).double(), torch.tensor([0, 2])
    theirs = attr.Occlusion(model).attribute(x, (2, window, window), (2, stride, stride), target=targets)
    # captum averages in single precision.
    close(
        occlusion(model, x, targets, window=window, stride=stride).float(),
        theirs[:, :1],
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_window_of_one_pixel_gives_the_terms_of_a_linear_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 3))
    x, base = torch.randn(2, 3, 4, 5), torch.randn(3, 1, 1)
    w = model[1].weight[[0, 2]].detach().view_as(x)
    expected = ((x - base) * w).sum(1, keepdim=True)
    close(occlusion(model, x, [0, 2], window=1, stride=1, baseline=base), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side, window, stride", [(224, 32, 16), (28, 4, 2), (12, 2, 1), (8, 2, 1)])
def test_defaults(side, window, stride):
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(side, 2)), torch.randn(1, 1, side)
    close(occlusion(model, x, [0]), occlusion(model, x, [0], window=window, stride=stride))


def test_batches_are_bounded_and_change_nothing(cnn, images, targets):
    whole, sizes = occlusion(cnn, images, targets, window=4), []
    cnn.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    close(occlusion(cnn, images, targets, window=4, batch_size=9), whole)
    assert max(sizes) == 8


def test_tuples_are_occluded_in_turn(two_branches):
    image, signal = torch.randn(1, 3, 8, 8), torch.randn(1, 2, 9)
    of_image, of_signal = occlusion(two_branches, (image, signal), [3], window=3)
    alone = occlusion(lambda x: two_branches(x, signal.expand(len(x), -1, -1)), image, [3], window=3)
    close(of_image, alone)
    assert of_signal.shape == (1, 1, 9)


@pytest.mark.parametrize("options, message", [
    ({"window": 13}, "A window of 13 does not fit in a side of 12"),
    ({"window": 0}, "window must be a whole number of at least 1, got 0"),
    ({"window": 2.5}, "window must be a whole number .* got 2.5"),
    ({"window": (2, 2, 2)}, r"window needs one number or 2, .* got \(2, 2, 2\)"),
    ({"window": 2, "stride": 3}, "A stride of 3 leaves gaps between windows of 2"),
    ({"baseline": torch.zeros(7)}, r"A baseline of shape \(7,\) does not broadcast"),
])  # fmt: skip
def test_bad_options(cnn, images, targets, options, message):
    with pytest.raises(ValueError, match=message):
        occlusion(cnn, images, targets, **options)


def test_there_must_be_space():
    with pytest.raises(ValueError, match=r"a spatial dimension, got \(2, 7\)"):
        occlusion(nn.Linear(7, 2), torch.randn(2, 7), [0, 1])
