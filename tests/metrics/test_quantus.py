"""Quantus computes most of these figures: the same within 1e-6 where it is right, and where it is not, why not.

The page `explanation/figures` of the manual lists these; what Quantus mends fails here, and is taken off that list.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.metrics.emprt import relative_rise
from pytest_saliency_sanity.metrics.infidelity import mean_square
from pytest_saliency_sanity.metrics.max_sensitivity import largest_change
from pytest_saliency_sanity.metrics.request import mean_of
from pytest_saliency_sanity.metrics.road import PERCENTAGES, imputed
from pytest_saliency_sanity.metrics.sparseness import gini
from pytest_saliency_sanity.perturbations.insertion import area_between, perturbation_curves
from pytest_saliency_sanity.perturbations.rankings import least_first, ranked
from pytest_saliency_sanity.statistics import figure
from tests.checks.models import cnn, images, seeded

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("captum", reason="Quantus explains by captum")
    quantus = pytest.importorskip(
        "quantus", reason="Quantus is not installed: no second opinion on the figures"
    )

pytestmark = pytest.mark.filterwarnings("ignore")


def explain(model, inputs, targets, **options):
    """The gradient, summed over channels, as Quantus wants it."""
    maps = gradient(model, torch.as_tensor(inputs).float(), torch.as_tensor(targets))
    return maps.sum(1, keepdim=True).detach().numpy()


def edges(model, inputs, targets, **options):
    """An explainer that ignores the model."""
    return np.abs(np.diff(np.asarray(inputs), axis=2, prepend=0))


def theirs(metric, model, x, maps=None, targets=None, **options):
    """What Quantus says of a model and images."""
    targets = model(x).argmax(1) if targets is None else targets
    found = metric(
        model=model, x_batch=x.numpy(), y_batch=targets.numpy(), a_batch=None if maps is None else maps.copy(),
        device="cpu", channel_first=True, **options,
    )  # fmt: skip
    return found if isinstance(found, dict) else np.asarray(found, dtype=float)


def linear(channels=1):
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(channels * 144, 4))).eval()


def re_initialized(model):
    """The network that Quantus compares with in the end."""
    wrapped = quantus.helpers.utils.get_wrapped_model(model, channel_first=True, softmax=True, device="cpu")
    return list(wrapped.get_random_layer_generator(order="bottom_up", seed=42))[-1][1]


@pytest.fixture
def model():
    return cnn()


@pytest.fixture
def x():
    return images(6)


# Sparseness.


def test_sparseness_of_dense_maps(model, x):
    maps = explain(model, x, model(x).argmax(1))
    maps /= np.abs(maps).mean()
    found = theirs(quantus.Sparseness(abs=True, normalise=False, disable_warnings=True), model, x, maps)
    assert gini(torch.tensor(maps[:, 0])).numpy() == pytest.approx(found, abs=1e-6)


def test_sparseness_of_small_or_sparse_maps_is_that_of_the_maps_plus_a_constant(model):
    """1e-7 is added to every value: on 112 × 112 pixels of which one is 1 that is 0.1 % of the sum."""
    one_pixel = np.zeros((2, 1, 112, 112), np.float32)
    one_pixel[:, :, 5, 5] = 1
    metric = quantus.Sparseness(abs=True, normalise=True, disable_warnings=True)
    found = theirs(metric, model, torch.tensor(one_pixel), one_pixel, torch.zeros(2, dtype=torch.long))
    assert gini(torch.tensor(one_pixel[:, 0])).numpy() == pytest.approx(1 - 1 / 112**2, abs=1e-12)
    assert found == pytest.approx(0.99867, abs=1e-5)
    small = 1e-9 * np.abs(np.random.default_rng(0).normal(size=(2, 1, 12, 12))).astype(np.float32)
    metric = quantus.Sparseness(abs=True, normalise=False, disable_warnings=True)
    found = theirs(metric, model, images(2), small)
    assert found.max() < 0.02 and gini(torch.tensor(small[:, 0])).min() > 0.3


# eMPRT and sMPRT.


def test_emprt_of_the_same_two_networks(model, x):
    targets = model(x).argmax(1)
    found = theirs(quantus.EfficientMPRT(disable_warnings=True), model, x, explain_func=explain)
    before, after = (torch.tensor(explain(one, x, targets)[:, 0]) for one in (model, re_initialized(model)))
    assert relative_rise(before, after).numpy() == pytest.approx(found, abs=1e-6)


def test_layers_of_one_shape_get_the_same_weights_in_quantus():
    """It seeds every layer alike, so that its networks are not random: layers of one shape are copies."""
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(144, 144), nn.ReLU(), nn.Linear(144, 144), nn.Linear(144, 4)
    )
    copy = re_initialized(model)
    assert torch.equal(copy[1].weight, copy[3].weight) and not torch.equal(copy[1].weight, model[1].weight)


def test_parameters_outside_of_layers_stay_trained_in_quantus():
    """Only modules with reset_parameters are re-initialized: not a class token, a position or a layer scale."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(144.0))
            self.head = nn.Linear(144, 4)

        def forward(self, inputs):
            return self.head(self.scale * inputs.flatten(1))

    model = Scaled()
    copy = re_initialized(model)
    assert torch.equal(copy.scale, model.scale) and not torch.equal(copy.head.weight, model.head.weight)


def _smoothed(model, x, targets, samples):
    std = 0.1 * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True)).numpy()
    copies = [x.numpy() + np.random.randn(*x.shape) * std for _ in range(samples - 1)] + [x.numpy()]
    return torch.tensor(sum(explain(model, one, targets)[:, 0] for one in copies) / samples)


def _smooth(**options):
    return quantus.SmoothMPRT(**{"nr_samples": 5, "abs": False, "disable_warnings": True, **options})


@pytest.mark.parametrize("absolute, name", [(False, "spearman"), (True, "abs_spearman")])
def test_smprt_of_the_same_networks_and_noise(model, x, absolute, name):
    np.random.seed(0)
    targets = model(x).argmax(1)
    metric = _smooth(skip_layers=True, return_last_correlation=True, abs=absolute)
    found = theirs(metric, model, x, explain_func=explain, explain_func_kwargs={"method": "Gradient"})
    np.random.seed(0)
    trained, _ = _smoothed(model, x, targets, 5), _smoothed(model, x, targets, 5)
    other = _smoothed(re_initialized(model), x, targets, 5)
    assert mean_of([figure(name, trained, other)]) == pytest.approx(found, abs=1e-6)


def test_smprt_does_not_ask_the_explainer_in_quantus(model, x):
    """It smooths `quantus.explain` in place of `explain_func`: edges, which ignore the model, score as a gradient."""
    scores = []
    for explainer in (explain, edges):
        np.random.seed(0)
        metric = _smooth(skip_layers=True, return_last_correlation=True)
        scores.append(theirs(metric, model, x, explain_func=explainer))
    assert (scores[0] == scores[1]).all() and scores[1].max() < 0.4
    assert mean_of([figure("spearman", *[torch.tensor(edges(model, x, None)[:, 0])] * 2)]) == pytest.approx(1)


def test_the_average_of_smprt_counts_the_unchanged_network_in_quantus(model, x):
    """It leaves out the key "orig", but the key is "original": one 1, or nearly, is among what is averaged."""
    layers = _smooth()
    np.random.seed(0)
    by_layer = theirs(layers, model, x, explain_func=explain)
    np.random.seed(0)
    found = theirs(_smooth(return_average_correlation=True), model, x, explain_func=explain)
    with_it = np.mean(list(by_layer.values()), axis=0)
    without = np.mean([scores for name, scores in by_layer.items() if name != "original"], axis=0)
    assert found == pytest.approx(with_it, abs=1e-9) and (found - without).min() > 0.05


# Infidelity.


def _infidelity(patch, **options):
    return quantus.Infidelity(
        perturb_patch_sizes=[patch], n_perturb_samples=1, disable_warnings=True, **options
    )


def _black(x, box):
    changed = x.numpy().copy()
    changed[(slice(None), slice(None), *box)] = x.numpy().min((1, 2, 3))[:, None, None, None]
    return changed


def _definition(model, x, maps, targets, changed):
    """Of given changes the formula of ours."""

    def score(z):
        return model(torch.as_tensor(z)).gather(1, targets[:, None])[:, 0].detach().double()

    lost = torch.stack([score(x) - score(one) for one in changed])
    predicted = [
        torch.tensor((maps * (x.numpy() - one)).reshape(len(x), -1).sum(1)).double() for one in changed
    ]
    return mean_square(torch.stack(predicted), lost).numpy()


def test_infidelity_of_one_patch(model, x):
    targets = model(x).argmax(1)
    maps = explain(model, x, targets)
    found = theirs(_infidelity(12), model, x, maps)
    assert _definition(model, x, maps, targets, [_black(x, (slice(None),) * 2)]) == pytest.approx(
        found, abs=1e-6
    )


def test_infidelity_of_several_patches_is_of_ever_more_of_them_in_quantus(model, x):
    """Each patch is removed from what the last one left: here over ten times of what one at a time gives."""
    targets = model(x).argmax(1)
    maps = explain(model, x, targets)
    found = theirs(_infidelity(4), model, x, maps)
    patches = [(slice(i, i + 4), slice(j, j + 4)) for i in range(0, 12, 4) for j in range(0, 12, 4)]
    singly = [_black(x, patch) for patch in patches]
    together = [np.minimum.reduce(singly[: count + 1]) for count in range(len(singly))]
    assert _definition(model, x, maps, targets, together) == pytest.approx(found, abs=1e-6)
    assert found.mean() > 10 * _definition(model, x, maps, targets, singly).mean()


def test_infidelity_of_images_that_do_not_divide_is_refused_by_quantus(model, x):
    with pytest.raises(ValueError, match="cannot reshape"):
        theirs(_infidelity(5), model, x, explain(model, x, model(x).argmax(1)))


def test_infidelity_of_maps_without_channels_counts_them_once_for_each_in_quantus():
    """The gradient of a linear model is exact, and 0 with channels; a sum over channels is repeated for all three."""
    model, x = linear(3), images(6, (3, 12, 12))
    maps = gradient(model, x, model(x).argmax(1)).detach().numpy()
    assert theirs(_infidelity(4), model, x, maps) == pytest.approx(0, abs=1e-9)
    assert theirs(_infidelity(4), model, x, maps.sum(1, keepdims=True)).min() > 0.02


# Max-sensitivity.


def test_max_sensitivity_of_the_same_noise(model, x):
    targets = model(x).argmax(1)
    maps = explain(model, x, targets)
    np.random.seed(0)
    metric = quantus.MaxSensitivity(nr_samples=7, disable_warnings=True)
    found = theirs(metric, model, x, maps, explain_func=explain)
    np.random.seed(0)
    copies = [x.numpy().reshape(6, -1) + np.random.uniform(-0.2, 0.2, (6, 144)) for _ in range(7)]
    moved = [torch.tensor(explain(model, copy.reshape(x.shape), targets)) for copy in copies]
    assert largest_change(torch.tensor(maps), moved).numpy() == pytest.approx(found, abs=1e-6)


# ROAD.


def _road(model, x, maps, **options):
    metric = quantus.ROAD(percentages=list(PERCENTAGES), noise=0.0, disable_warnings=True)
    return list(theirs(metric, model, x, maps, **options).values())


@pytest.fixture
def noisy():
    return 3 * torch.randn(32, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def _accuracies(model, x, maps):
    rankings = ranked(torch.tensor(maps[:, 0]), 0)
    targets = model(x).argmax(1)
    clean = [imputed(x, rankings, percent, torch.zeros_like(x)) for percent in PERCENTAGES]
    return [float((model(one).argmax(1) == targets).double().mean()) for one in clean]


def test_road_without_noise(noisy):
    model = linear()
    maps = np.random.default_rng(0).normal(size=noisy.shape).astype(np.float32)
    ours = _accuracies(model, noisy, maps)
    assert ours == pytest.approx(_road(model, noisy, maps), abs=1e-6) and min(ours) < 0.5 < max(ours)


def test_road_is_that_of_the_first_batch_in_quantus(noisy):
    model = linear()
    maps = np.random.default_rng(0).normal(size=noisy.shape).astype(np.float32)
    by_batches = _road(model, noisy, maps, batch_size=4)
    assert by_batches == _road(model, noisy[:4], maps[:4])
    assert np.abs(np.subtract(by_batches, _accuracies(model, noisy, maps))).max() > 0.1


def test_road_of_images_in_color_is_refused_by_quantus():
    """It ranks the values of all channels, and takes their numbers for those of pixels."""
    model, x = linear(3), images(6, (3, 12, 12))
    maps = explain(model, x, model(x).argmax(1))
    with pytest.raises(IndexError, match="out of bounds"):
        _road(model, x, maps)


# SRG: Quantus has the curves, not the area between them.


def test_the_area_between_the_curves_of_pixel_flipping(model, x):
    targets = model(x).argmax(1)
    maps = explain(model, x, targets)
    metric = quantus.PixelFlipping(features_in_step=12, perturb_baseline=0.0, abs=False, normalise=False,
                                   disable_warnings=True)  # fmt: skip
    start = model(x).gather(1, targets[:, None]).detach().numpy()
    most, least = (
        np.hstack([start, theirs(metric, model, x, sign * maps, softmax=False)]) for sign in (1, -1)
    )
    order = ranked(torch.tensor(maps[:, 0]))
    curves = perturbation_curves(
        model, x, torch.stack([order, least_first(order)]), targets, steps=12, infill="zero", modes="deletion",
        score="logit",
    )  # fmt: skip
    assert curves.scores["deletion"][0].numpy() == pytest.approx(most, abs=1e-6)
    ours = area_between(curves.scores["deletion"][1], curves.scores["deletion"][0])
    theirs_ = area_between(torch.tensor(least), torch.tensor(most))
    assert ours.numpy() == pytest.approx(theirs_.numpy(), abs=1e-6)
