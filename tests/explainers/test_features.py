"""How the shape of a feature map is read."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from pytest_saliency_sanity.explainers.features import FeatureMaps, Layout, layout_of
from pytest_saliency_sanity.perturbations.weights.gradients import depends_on

sides = st.integers(2, 12)


@given(st.lists(sides, min_size=1, max_size=3), st.integers(1, 9))
def test_channels_first(grid, channels):
    shape = (2, channels, *grid)
    layout = layout_of(shape, 1, tuple(4 * side for side in grid))
    tensor = torch.randn(shape)
    assert layout == Layout(1, tuple(grid))
    assert torch.equal(layout.read(tensor), tensor)


@given(st.lists(sides, min_size=2, max_size=3), st.integers(1, 9), st.integers(1, 16))
def test_channels_last(grid, channels, patch):
    layout = layout_of((2, *grid, channels), -1, tuple(patch * side for side in grid))
    tensor = torch.randn(2, channels, *grid)
    assert torch.equal(layout.read(tensor.movedim(1, -1)), tensor)


@given(st.lists(sides, min_size=1, max_size=3), st.sampled_from([0, 1, 2, 5]), st.integers(1, 16))
def test_tokens_are_folded_to_the_grid_of_their_patches(grid, prefix, patch):
    size = tuple(patch * side for side in grid)
    patches = torch.randn(2, 7, *grid)
    tokens = torch.cat([torch.randn(2, prefix, 7), patches.flatten(2).mT], 1)
    if prefix <= patches[0, 0].numel():
        assert torch.equal(layout_of(tokens.shape, -1, size, tuple(grid)).read(tokens), patches)


@pytest.mark.parametrize(
    "tokens, size, grid, prefix",
    [
        (196, (224, 224), (14, 14), 0),
        (197, (224, 224), (14, 14), 1),
        (198, (224, 224), (14, 14), 2),
        (201, (224, 224), (14, 14), 5),
        (97, (224, 112), (14, 7), None),
        (99, (224, 112), (14, 7), 1),
        (24, (24,), (24,), 0),
        (195, (224, 224), None, None),
    ],
)
def test_tokens_of_unknown_patches(tokens, size, grid, prefix):
    layout = layout_of((2, tokens, 8), -1, size)
    if prefix is None:
        assert layout is None
    else:
        assert (layout.grid, layout.prefix) == (grid, prefix)


def test_hierarchical_tokens_leave_the_first_grid_behind():
    assert layout_of((1, 49, 8), -1, (224, 224), patch_grid=(56, 56)).grid == (7, 7)


@pytest.mark.parametrize("shape", [(2, 64, 49, 8), (2, 4, 16, 8), (2, 1, 49, 8)])
def test_windows_are_no_map(shape):
    assert layout_of(shape, -1, (224, 224)) is None


def watched(function, x):
    maps = FeatureMaps(len(x), tuple(x.shape[2:]))
    with maps:
        out = function(x)
    return maps, out


@pytest.mark.parametrize(
    "reorder",
    [
        lambda y: y.permute(0, 2, 3, 1),
        lambda y: y.permute([0, 2, 3, 1]),
        lambda y: torch.permute(y, (0, 2, 3, 1)),
        lambda y: torch.permute(y, dims=(0, -2, -1, 1)),
        lambda y: y.movedim(1, -1),
        lambda y: torch.moveaxis(y, 1, 3),
        lambda y: y.transpose(1, 2).transpose(2, 3),
        lambda y: torch.swapaxes(y.swapdims(1, 2), axis0=2, axis1=3),
    ],
)
def test_permutations_are_followed(reorder):
    weight = torch.randn(5, 3, 1, 1, requires_grad=True)
    maps, out = watched(lambda x: reorder(torch.nn.functional.conv2d(x, weight)), torch.randn(2, 3, 5, 5))
    assert maps.found[-1].tensor is out
    assert maps.found[-1].layout == Layout(-1, (5, 5))


def test_nothing_is_a_feature_before_the_first_layer():
    maps, _ = watched(
        lambda x: torch.nn.functional.max_pool2d(x * 2 - 1, 2), torch.randn(2, 3, 8, 8).requires_grad_()
    )
    assert maps.found == []


def test_what_depends_on_the_input():
    leaf, other = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    assert depends_on((leaf.clone() * other).sum(), leaf)
    assert not depends_on(other * 2, leaf)
    assert not depends_on(torch.ones(3), leaf)
