"""The formulas against flat references, written from the papers one number at a time, and their known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pytest_saliency_sanity.audited.subject import held, subject
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.metrics import smprt as smoothing
from pytest_saliency_sanity.metrics.emprt import discrete_entropy, emprt, relative_rise
from pytest_saliency_sanity.metrics.infidelity import best_scale, boxes, infidelity, mean_square
from pytest_saliency_sanity.metrics.max_sensitivity import largest_change, max_sensitivity, neighbors
from pytest_saliency_sanity.metrics.request import Request
from pytest_saliency_sanity.metrics.road import PERCENTAGES, imputed, road
from pytest_saliency_sanity.metrics.smprt import NOISE, SAMPLES, noisy_inputs, smprt
from pytest_saliency_sanity.metrics.sparseness import gini, sparseness
from pytest_saliency_sanity.metrics.srg import srg
from pytest_saliency_sanity.perturbations import find_blocks, randomized
from pytest_saliency_sanity.perturbations.rankings import ranked
from tests.checks.models import cnn, images, seeded


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(channels: int = 1) -> nn.Sequential:
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(channels * 144, 4))).eval()


def computed(figure, explainer=gradient, model=None, inputs=None, **options):
    """A figure of an explainer, in the profile smoke."""
    model, inputs = model or cnn(), images(6) if inputs is None else inputs
    audited = subject(explainer, model, inputs, None, profile="smoke")
    with held(audited) as kept:
        blocks = find_blocks(kept.model, kept.chosen(torch.arange(kept.images)))
        return figure(Request(kept, Meter(), blocks=blocks, **options)), kept


# Sparseness.


def flat_gini(values) -> float:
    """Hurley and Rickard 2009, as it is defined."""
    ordered = sorted(abs(float(one)) for one in values)
    total, count = sum(ordered), len(ordered)
    return 1 - 2 * sum(c / total * (count - k + 0.5) / count for k, c in enumerate(ordered, 1))


def test_the_gini_index() -> None:
    maps = drawn(5, 7, 9)
    flat = [flat_gini(one.flatten()) for one in maps]
    assert gini(maps).numpy() == pytest.approx(flat, abs=1e-12)
    one_pixel = torch.zeros(1, 10, 10)
    one_pixel[0, 3, 4] = -2
    assert float(gini(one_pixel)) == pytest.approx(1 - 1 / 100, abs=1e-12)
    assert float(gini(torch.full((1, 10, 10), -3.0))) == pytest.approx(0, abs=1e-12)
    assert math.isnan(float(gini(torch.zeros(1, 4, 4))))
    assert gini(1e-9 * maps).numpy() == pytest.approx(flat, abs=1e-6)  # no constant is added


def test_sparseness_is_that_of_the_maps() -> None:
    found, kept = computed(sparseness)
    maps = gradient(kept.model, kept.inputs[0], kept.targets).sum(1)
    assert found.values == pytest.approx([flat_gini(one.flatten()) for one in maps], abs=1e-6)


# eMPRT.


def flat_entropy(values, bins: int) -> float:
    low, high = min(values), max(values)
    places = [min(int((value - low) / (high - low) * bins), bins - 1) for value in values]
    shares = [places.count(place) / len(values) for place in set(places)]
    return -sum(share * math.log(share) for share in shares)


def test_the_entropy_of_a_histogram() -> None:
    maps = drawn(4, 11, 13)
    flat = [flat_entropy(one.flatten().double().tolist(), 100) for one in maps]
    assert discrete_entropy(maps).numpy() == pytest.approx(flat, abs=1e-12)
    assert discrete_entropy(4 * maps).numpy() == pytest.approx(flat, abs=1e-12)
    assert float(discrete_entropy(torch.arange(100.0)[None])) == pytest.approx(math.log(100), abs=1e-12)


def test_the_rise_of_complexity() -> None:
    before, after = drawn(3, 8, 8), drawn(3, 8, 8, seed=1) ** 3
    flat = [
        (flat_entropy(b.flatten().double().tolist(), 100) - h) / h
        for a, b in zip(before, after, strict=True)
        for h in [flat_entropy(a.flatten().double().tolist(), 100)]
    ]
    assert relative_rise(before, after).numpy() == pytest.approx(flat, abs=1e-12)
    assert relative_rise(before, before).tolist() == [0, 0, 0]
    assert math.isnan(float(relative_rise(torch.ones(1, 4, 4), before[:1])))


def test_emprt_is_the_mean_over_networks_with_all_weights_re_initialized() -> None:
    found, kept = computed(emprt)
    blocks = find_blocks(kept.model, kept.inputs[0])
    before, rises = gradient(kept.model, kept.inputs[0], kept.targets).sum(1), []
    for draw in range(found.details["draws"]):
        with randomized(kept.model, blocks, seed=kept.seed, draw=draw):
            after = gradient(kept.model, kept.inputs[0], kept.targets).sum(1)
        rises.append(relative_rise(before, after))
    assert found.details["draws"] > 1
    assert found.values == pytest.approx(torch.stack(rises).mean(0).numpy(), abs=1e-12)


def test_the_figures_of_an_image_alone_are_those_of_no_change() -> None:
    def image(model, inputs, targets):
        return inputs.clone()

    assert computed(emprt, image)[0].values == pytest.approx(0, abs=1e-12)
    assert computed(smprt, image)[0].values == pytest.approx(1, abs=1e-6)


# sMPRT.


def test_smprt_is_spearmans_correlation_of_smoothed_maps(monkeypatch) -> None:
    monkeypatch.setattr(smoothing, "SAMPLES", 6)
    found, kept = computed(smprt)
    inputs, blocks = kept.inputs[0], find_blocks(kept.model, kept.inputs[0])
    copies = [one[0] for one in noisy_inputs(kept.inputs, kept.seed)]
    assert len(copies) == 6 and torch.equal(copies[-1], inputs)
    spread = torch.stack(copies[:-1]).sub(inputs).flatten(2).std(2) / NOISE
    assert spread.mean(0) == pytest.approx(inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1), rel=0.15)

    def smoothed():
        return sum(gradient(kept.model, one, kept.targets).sum(1) for one in copies) / len(copies)

    trained = smoothed()
    with randomized(kept.model, blocks, seed=kept.seed):
        other = smoothed()
    flat = [stats.spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(trained, other, strict=True)]
    assert found.values == pytest.approx(flat, abs=1e-6)


def test_noise_scores_best_unless_it_is_replayed() -> None:
    """The flaw of all figures of this kind: what shares nothing between two runs has changed most."""
    own = torch.Generator().manual_seed(0)

    def unreachable(model, inputs, targets):
        return torch.randn(inputs.shape, generator=own)

    def replayable(model, inputs, targets):
        return torch.randn(inputs.shape)

    assert np.abs(computed(smprt, unreachable)[0].values).mean() < 0.15
    assert computed(smprt, replayable)[0].values == pytest.approx(1, abs=1e-6)
    assert SAMPLES == 50


# Infidelity.


def test_infidelity_of_a_linear_model_and_of_zeros() -> None:
    for channels in (1, 3):
        inputs = images(6, (channels, 12, 12))
        exact, _ = computed(infidelity, gradient, linear(channels), inputs)
        assert exact.values == pytest.approx(0, abs=1e-9) and exact.details["of_zeros"] > 1e-4

    def zeros(model, inputs, targets):
        return 1e-30 * gradient(model, inputs, targets)

    nothing, _ = computed(infidelity, zeros)
    assert nothing.values.mean() == pytest.approx(nothing.details["of_zeros"], rel=1e-6)


def test_infidelity_is_its_definition() -> None:
    found, kept = computed(infidelity)
    inputs = kept.inputs[0]
    maps = gradient(kept.model, inputs, kept.targets)
    inside = boxes((12, 12), kept.seed)
    for place in (0, 3):
        errors = []
        for box in inside:
            change = inputs[place] * box
            lost = kept.model(inputs[place][None]) - kept.model((inputs[place] - change)[None])
            errors.append(float((change * maps[place]).sum() - lost[0, kept.targets[place]].detach()) ** 2)
        assert found.values[place] == pytest.approx(np.mean(errors), rel=1e-4)
    assert found.details["with_best_scale"] <= min(found.values.mean(), found.details["of_zeros"])


def test_the_scale_of_a_map_that_fits_best() -> None:
    predicted, lost = drawn(50, 3), drawn(50, 3, seed=1)
    best = mean_square(predicted * best_scale(predicted, lost), lost)
    for factor in torch.linspace(-2, 2, 41):
        assert (best <= mean_square(predicted * factor, lost) + 1e-9).all()
    assert best_scale(torch.zeros(4, 1), lost[:4, :1]).tolist() == [0]


def test_the_boxes() -> None:
    for space in ((12, 12), (40,), (3, 20), (2, 2), (5, 6, 7)):
        found = boxes(space, 0)
        sides = found.flatten(1).sum(1)
        assert sides.min() == 1 and sides.max() == math.ceil(min(space) / 3) ** len(space)
        assert boxes(space, 0, 1500).any(0).all()  # every place is inside one
        assert torch.equal(found, boxes(space, 0)) and not torch.equal(found, boxes(space, 1))


# Max-sensitivity.


def test_max_sensitivity_is_its_definition() -> None:
    found, kept = computed(max_sensitivity)
    copies = [one[0] for one in neighbors(kept.inputs, kept.seed)]
    reach = torch.stack(copies).sub(kept.inputs[0]).abs().flatten(2).amax(2).amax(0)
    spread = kept.inputs[0].flatten(1).amax(1) - kept.inputs[0].flatten(1).amin(1)
    assert (reach <= 0.1 * spread + 1e-6).all() and (reach > 0.099 * spread).all()
    own = gradient(kept.model, kept.inputs[0], kept.targets).sum(1).numpy()
    others = [gradient(kept.model, one, kept.targets).sum(1).numpy() for one in copies]
    flat = [
        max(np.linalg.norm(other[i] - own[i]) for other in others) / np.linalg.norm(own[i])
        for i in range(len(own))
    ]
    assert found.values == pytest.approx(flat, rel=1e-5)


def test_a_map_that_never_moves_is_the_least_sensitive() -> None:
    def center(model, inputs, targets):
        return torch.ones_like(inputs).cumsum(2)

    assert computed(max_sensitivity, center)[0].values.tolist() == [0] * 6
    assert math.isnan(float(largest_change(torch.zeros(1, 3), [torch.ones(1, 3)])))


# ROAD.


def dense_imputed(image, hidden):
    """Rong et al. 2022: each hidden pixel the weighted mean of its neighbors, as one dense system."""
    height, width = hidden.shape
    equations, known = np.eye(height * width), np.zeros(height * width)
    for row, column in np.ndindex(height, width):
        here = row * width + column
        if not hidden[row, column]:
            known[here] = image[row, column]
            continue
        beside = {
            (row + a, column + b): 1 / 6 if 0 in (a, b) else 1 / 12
            for a, b in np.ndindex(3, 3)
            for a, b in [(a - 1, b - 1)]
            if (a, b) != (0, 0) and 0 <= row + a < height and 0 <= column + b < width
        }
        for (r, c), weight in beside.items():
            equations[here, r * width + c] -= weight / sum(beside.values())
    return np.linalg.solve(equations, known).reshape(height, width)


def test_road_is_the_accuracy_after_imputation() -> None:
    inputs = 3 * drawn(8, 1, 12, 12)
    found, kept = computed(road, gradient, linear(), inputs)
    model, x = kept.model, kept.inputs[0]
    maps = gradient(model, x, kept.targets).sum(1)
    rankings, still = ranked(maps, kept.seed), np.zeros((len(PERCENTAGES), len(x)))
    for step, percent in enumerate(PERCENTAGES):
        clean = imputed(x, rankings, percent, torch.zeros_like(x))
        for place, score in enumerate(maps):
            hidden = np.zeros(144, dtype=bool)
            hidden[np.argsort(-score.flatten().numpy())[: int(144 * percent / 100)]] = True
            flat = dense_imputed(x[place, 0].double().numpy(), hidden.reshape(12, 12))
            assert clean[place, 0].numpy() == pytest.approx(flat, abs=1e-5)
        still[step] = (model(clean).argmax(1) == kept.targets).numpy()
    assert 0 < still.mean() < 1
    assert found.values == pytest.approx(still.mean(0), abs=0.12)  # ROAD's noise may move one prediction
    assert list(found.details["accuracy"]) == [str(percent) for percent in PERCENTAGES]
    assert np.mean(list(found.details["accuracy"].values())) == pytest.approx(found.values.mean())


# SRG.


def test_srg_is_the_area_between_two_deletion_curves() -> None:
    found, kept = computed(srg, steps=12)
    maps = gradient(kept.model, kept.inputs[0], kept.targets).sum(1)
    for place, (image, scores) in enumerate(zip(kept.inputs[0], maps, strict=True)):
        order = scores.flatten().argsort(descending=True)
        areas = []
        for ranking in (order.flip(0), order):
            curve = []
            for step in range(13):
                left = image.clone().flatten()
                left[ranking[: step * 12]] = 0
                curve.append(float(kept.model(left.view(1, 1, 12, 12))[0, kept.targets[place]].detach()))
            areas.append(np.trapezoid(curve) / 12 if hasattr(np, "trapezoid") else np.trapz(curve) / 12)
        assert found.values[place] == pytest.approx(areas[0] - areas[1], abs=1e-6)
    assert found.details["steps"] == 12
