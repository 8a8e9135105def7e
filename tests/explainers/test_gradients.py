"""Gradients against closed forms, captum and flat references."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import nn

from pytest_saliency_sanity.explainers import (
    gradient,
    input_x_gradient,
    integrated_gradients,
    smoothgrad,
    vargrad,
)
from pytest_saliency_sanity.outputs import class_scores, using_forward

close = torch.testing.assert_close


def linear_model(*shape: int, classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes)).double()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 2**31))
def test_a_linear_model_is_explained_by_its_weights(shape, n, seed):
    torch.manual_seed(seed)
    model = linear_model(*shape)
    x, baseline = torch.randn(n, *shape).double(), torch.randn(*shape).double()
    targets = torch.randint(3, (n,))
    w = model[1].weight[targets].detach().view_as(x)
    close(gradient(model, x, targets), w)
    close(smoothgrad(model, x, targets, samples=3), w)
    close(input_x_gradient(model, x, targets), x * w)
    close(integrated_gradients(model, x, targets, steps=2, baseline=baseline), (x - baseline) * w)
    assert vargrad(model, x, targets, samples=3).abs().max() < 1e-25


class ConvReLUSum(nn.Module):
    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, bias=bias)

    def forward(self, x):
        return self.conv(x).relu().sum((1, 2, 3))


def gradient_by_hand(x, w, a):
    """d/dx_ij of sum_mn relu((w * x)_mn) = sum_kl a_{i-k, j-l} w_kl, with PyTorch's cross-correlation."""
    out = torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            for k in range(3):
                for m in range(3):
                    if 0 <= i - k < a.shape[0] and 0 <= j - m < a.shape[1]:
                        out[i, j] += a[i - k, j - m] * w[k, m]
    return out


def test_gradient_of_one_convolution():
    model, x = ConvReLUSum().double(), torch.randn(1, 1, 7, 6).double()
    w = model.conv.weight[0, 0].detach()
    a = (F.conv2d(x, model.conv.weight)[0, 0] > 0).double()
    expected = gradient_by_hand(x[0, 0], w, a)
    close(gradient(model, x, [0])[0, 0], expected)
    close(integrated_gradients(model, x, [0], steps=1), x * expected)


def test_smoothgrad_of_one_convolution_tends_to_the_smooth_step():
    model, x = ConvReLUSum(bias=True).double(), torch.randn(1, 1, 6, 6).double()
    w, sd = model.conv.weight[0, 0].detach(), 0.3 * (x.max() - x.min())
    a = torch.special.ndtr(model.conv(x)[0, 0].detach() / (sd * w.norm()))
    expected = gradient_by_hand(x[0, 0], w, a)
    estimate = smoothgrad(model, x, [0], samples=4000, noise=0.3)[0, 0]
    assert (estimate - expected).abs().max() < 5 * w.abs().sum() * 0.5 / math.sqrt(4000)


@pytest.mark.parametrize("steps", [1, 3, 32])
def test_integrated_gradients_of_a_relu_network_without_bias(steps):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 8, bias=False),
        nn.ReLU(),
        nn.Linear(8, 5, bias=False),
    ).double()
    x, targets = torch.randn(4, 3, 6, 6).double(), torch.tensor([0, 1, 2, 3])
    attributions = integrated_gradients(model, x, targets, steps=steps)
    close(attributions, input_x_gradient(model, x, targets))
    close(attributions.sum((1, 2, 3)), class_scores(model, x, targets).detach())


def test_integrated_gradients_are_complete_on_a_smooth_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, baseline = torch.randn(2, 3, 4).double(), 0.5
    total = integrated_gradients(model, x, [0, 2], steps=20, baseline=baseline).sum((1, 2))
    difference = class_scores(model, x, [0, 2]) - class_scores(model, torch.full_like(x, 0.5), [0, 2])
    close(total, difference.detach(), rtol=1e-9, atol=1e-9)


def noisy_gradients(model, x, targets, samples, noise):
    """Smilkov et al. 2017, section 2, one image and one sample at a time."""
    rows = []
    for _ in range(samples):
        draws = torch.randn_like(x)
        for i in range(len(x)):
            sd = noise * (x[i].max() - x[i].min())
            point = (x[i : i + 1] + sd * draws[i : i + 1]).requires_grad_()
            model(point)[0, targets[i]].backward()
            rows.append(point.grad[0])
    model.zero_grad()
    return torch.stack(rows).view(samples, *x.shape)


@pytest.mark.parametrize("limit", [None, 1, 9])
def test_smoothgrad_and_vargrad_are_mean_and_variance_of_noisy_gradients(cnn, images, targets, limit):
    cnn, images = cnn.double(), images.double()
    torch.manual_seed(3)
    samples = noisy_gradients(cnn, images, targets, 5, 0.2)
    torch.manual_seed(3)
    close(smoothgrad(cnn, images, targets, samples=5, noise=0.2, batch_size=limit), samples.mean(0))
    torch.manual_seed(3)
    close(vargrad(cnn, images, targets, samples=5, noise=0.2, batch_size=limit), samples.var(0, correction=0))


def test_vargrad_keeps_small_variances_beside_large_means():
    def model(x):
        return 1e4 * x.sum((1, 2)) + (x**2).sum((1, 2)) / 2  # gradient 1e4 + x, of variance sd^2

    x = torch.linspace(0, 1, 64).view(1, 1, 64)
    variance = vargrad(model, x, [0], samples=200, noise=0.3)
    assert 0.07 < variance.mean() < 0.11


@pytest.mark.parametrize("steps", [5, 32])
def test_captum_agrees(cnn, images, targets, steps):
    attr = pytest.importorskip("captum.attr")
    cnn, images, baseline = cnn.double(), images.double(), torch.rand(1, 3, 12, 12).double()
    close(gradient(cnn, images, targets), attr.Saliency(cnn).attribute(images, targets, abs=False))
    close(input_x_gradient(cnn, images, targets), attr.InputXGradient(cnn).attribute(images, target=targets))
    theirs = attr.IntegratedGradients(cnn).attribute(images, baseline, target=targets, n_steps=steps)
    close(
        integrated_gradients(cnn, images, targets, steps=steps, baseline=baseline),
        theirs,
        rtol=1e-6,
        atol=1e-9,
    )


def test_batch_size_does_not_change_integrated_gradients(cnn, images, targets):
    whole = integrated_gradients(cnn, images, targets)
    for limit in (1, 10, 4096):
        close(integrated_gradients(cnn, images, targets, batch_size=limit), whole)


def test_batch_size_bounds_the_images_in_a_call(cnn, images, targets):
    sizes = []
    cnn.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    integrated_gradients(cnn, images, targets, steps=7, batch_size=13)
    assert sizes == [12, 12, 4]


def test_tuples_get_tuples(two_branches):
    inputs = torch.randn(3, 3, 8, 8), torch.randn(3, 2, 9)
    for explain in (gradient, input_x_gradient, integrated_gradients, smoothgrad, vargrad):
        maps = explain(two_branches, inputs, [0, 1, 2])
        assert isinstance(maps, tuple)
        assert [m.shape for m in maps] == [x.shape for x in inputs]
    image = inputs[0]
    close(
        gradient(two_branches, inputs, [0, 1, 2])[0],
        gradient(lambda x: two_branches(x, inputs[1]), image, [0, 1, 2]),
    )


def test_an_input_that_the_score_ignores_has_a_map_of_zeros():
    maps = gradient(lambda a, b: a.sum((1, 2)), (torch.randn(2, 1, 3), torch.randn(2, 1, 4)), [0, 0])
    assert maps[0].eq(1).all() and maps[1].eq(0).all()


def test_weights_as_targets(cnn, images):
    weights = torch.rand(4, 5)
    expected = sum(w * gradient(cnn, images, [k] * 4) for k, w in enumerate(weights.T.view(5, 4, 1, 1, 1)))
    close(gradient(cnn, images, weights), expected)
    close(smoothgrad(cnn, images, weights, noise=0.0, samples=2), expected)


def test_forward_context_is_used(cnn, images, targets):
    with using_forward(lambda model, inputs: -model(inputs)):
        negated = integrated_gradients(cnn, images, targets)
    close(negated, -integrated_gradients(cnn, images, targets))


def test_a_model_may_change_its_input_in_place(cnn, images, targets):
    def model(x):
        return cnn(x.mul_(2.0))

    before = images.clone()
    close(gradient(model, images, targets), 2 * gradient(cnn, 2 * images, targets))
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda m, x: smoothgrad(m, x, [0] * 4, samples=0),
            "samples must be a whole number of at least 1, got 0",
        ),
        (
            lambda m, x: vargrad(m, x, [0] * 4, samples=1),
            "samples must be a whole number of at least 2, got 1",
        ),
        (lambda m, x: smoothgrad(m, x, [0] * 4, noise=-1), "noise must be a fraction .* got -1"),
        (
            lambda m, x: integrated_gradients(m, x, [0] * 4, steps=2.5),
            "steps must be a whole number .* got 2.5",
        ),
        (lambda m, x: integrated_gradients(m, x, [0] * 4, batch_size=0), "batch_size must be .* got 0"),
        (
            lambda m, x: integrated_gradients(m, x, [0] * 4, baseline=torch.zeros(5)),
            r"shape \(5,\) does not broadcast",
        ),
        (
            lambda m, x: integrated_gradients(m, x, [0] * 4, baseline=(0, 1)),
            "1 input tensors but 2 baselines",
        ),
        (lambda m, x: integrated_gradients(m, x, [0] * 3), "There are 4 inputs but 3 targets"),
        (
            lambda m, x: gradient(m, x, [0, 1, 2, 9]),
            r"Target 9 is out of range: the model has the classes 0\.\.4",
        ),
        (lambda m, x: gradient(lambda v: m(v.detach()), x, [0] * 4), "No gradient reaches the inputs"),
        (
            lambda m, x: gradient(lambda v: v.detach().sum((1, 2, 3)), x, [0] * 4),
            "No gradient reaches the inputs",
        ),
    ],
)
def test_bad_values_are_shown(cnn, images, call, message):
    with pytest.raises(ValueError, match=message):
        call(cnn, images)


def test_integers_have_no_gradient(cnn):
    with pytest.raises(TypeError, match=r"floating-point tensors, got torch\.uint8"):
        gradient(cnn, torch.zeros(4, 3, 12, 12, dtype=torch.uint8), [0] * 4)
