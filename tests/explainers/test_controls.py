"""Controls do what their names say, and nothing else, in any number of dimensions."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from pytest_saliency_sanity.explainers import (
    CONTROLS,
    cached_maps,
    center_prior,
    gradient,
    gradient_sobel_mixture,
    input_copy,
    input_x_sobel,
    laplacian,
    local_deviation,
    noisy_sobel,
    sobel,
    stale_model,
)

close = torch.testing.assert_close
FILTERS = (sobel, laplacian, local_deviation)
SHAPES = [(2, 2, 9), (2, 3, 8, 8), (2, 1, 5, 6, 7)]


def model_of(*shape):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(torch.Size(shape[1:]).numel(), 3))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.half, torch.float, torch.double])
@pytest.mark.parametrize("name", CONTROLS)
def test_shapes_and_dtypes(name, shape, dtype):
    x = torch.randn(shape).to(dtype)
    explain = CONTROLS[name]()
    maps = explain(model_of(*shape).to(dtype), x, torch.tensor([0, 2]))
    assert explain.__name__ == name
    assert maps.dtype == dtype and maps.isfinite().all() and not maps.requires_grad
    assert maps.shape in {x.shape, (2, 1, *x.shape[2:])}


@pytest.mark.parametrize("name", CONTROLS)
def test_tuples(name, two_branches):
    inputs = torch.randn(2, 3, 8, 8), torch.randn(2, 2, 9)
    maps = CONTROLS[name]()(two_branches, inputs, [0, 1])
    assert isinstance(maps, tuple)
    assert [m.shape[2:] for m in maps] == [x.shape[2:] for x in inputs]


def test_instances_are_fresh():
    assert CONTROLS["stale_model"]() is not CONTROLS["stale_model"]()
    assert CONTROLS["cached_maps"]() is not CONTROLS["cached_maps"]()
    assert len(CONTROLS) == 12


def test_sobel_is_the_textbook_filter():
    x = torch.randn(2, 1, 7, 9)
    kernel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    parts = [F.conv2d(padded, k[None, None]) for k in (kernel, kernel.T)]
    close(sobel(None, x, None), torch.hypot(*parts))
    close(input_x_sobel(None, x, None), x * torch.hypot(*parts))


def test_laplacian_is_the_textbook_filter():
    x = torch.randn(2, 1, 7, 9)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    close(laplacian(None, x, None), F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel[None, None]))


def test_local_deviation_is_that_of_nine_neighbors():
    x = torch.randn(2, 3, 6, 7)
    windows = F.pad(x, (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1)
    close(local_deviation(None, x, None), windows.std((-2, -1), correction=0))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(0, 2**31))
def test_filters_see_no_offset_and_turn_with_the_image(sides, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 2, *sides).double()
    for explain in FILTERS:
        close(explain(None, x + 3, None), explain(None, x, None))
        close(explain(None, x.flip(-1), None), explain(None, x, None).flip(-1))
        close(explain(None, x.transpose(2, -1), None), explain(None, x, None).transpose(2, -1))
        assert explain(None, torch.ones_like(x), None).abs().max() < 1e-12


def test_noise_replays():
    x = torch.randn(2, 3, 8, 8)
    for name in ("noise", "noisy_sobel"):
        explain = CONTROLS[name]()
        torch.manual_seed(5)
        first, second = explain(None, x, None), explain(None, x, None)
        torch.manual_seed(5)
        assert torch.equal(explain(None, x, None), first)
        assert not torch.equal(first, second)
    close(noisy_sobel(None, x, None, noise=0.0), sobel(None, x, None))


def test_the_center_prior_knows_no_image():
    prior = center_prior(None, torch.randn(2, 3, 9, 5), None)
    assert torch.equal(prior[0], prior[1])
    assert prior[0, 0].argmax() == 4 * 5 + 2 and prior.max() == 1
    close(prior, prior.flip(2, 3))


def test_the_input_is_copied_not_handed_out(images):
    copied = input_copy(None, images, None)
    assert torch.equal(copied, images) and copied.data_ptr() != images.data_ptr()


def test_the_mixture_runs_from_gradient_to_sobel(cnn, images, targets):
    def unit(maps):
        return maps / maps.flatten(1).std(1, correction=0).view(-1, 1, 1, 1)

    edges = unit(sobel(None, images, None).sum(1, keepdim=True))
    gradients = unit(gradient(cnn, images, targets).sum(1, keepdim=True))
    for part in (0, 0.3, 0.8, 1):
        mixed = gradient_sobel_mixture(cnn, images, targets, sobel=part)
        close(mixed, part * edges + (1 - part) * gradients)
    with pytest.raises(ValueError, match=r"sobel must be a fraction between 0 and 1, got 1\.2"):
        gradient_sobel_mixture(cnn, images, targets, sobel=1.2)


def changed(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()


def test_the_stale_model_stays(cnn, images, targets):
    explain = stale_model()
    before = explain(cnn, images, targets)
    close(before, gradient(cnn, images, targets))
    changed(cnn)
    assert torch.equal(explain(cnn, images, targets), before)
    assert not torch.equal(explain(cnn, images, 4 - targets), before)


def test_cached_maps_stay_for_each_image(cnn, images, targets):
    explain = cached_maps()
    expected = gradient(cnn, images, targets)
    before = torch.cat([explain(cnn, images[:2], targets[:2]), explain(cnn, images, targets)[2:]])
    close(before, expected)
    changed(cnn)
    assert torch.equal(explain(cnn, images.flip(0), targets), before.flip(0))
    assert not torch.equal(explain(cnn, images + 1e-3, targets), before)
    assert explain(cnn, images[:1], 4 - targets[:1]).equal(before[:1])
