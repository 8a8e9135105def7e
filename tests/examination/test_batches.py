"""An image's map is its own: wrappers that mix up a batch are caught, noise of its own seed is not accused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_model_sensitivity
from pytest_saliency_sanity.examination.batches import distance
from pytest_saliency_sanity.explainers import gradient, integrated_gradients, occlusion, smoothgrad, sobel
from tests.checks.models import cnn, images, tabular, two_branches
from tests.examination.explaining import Explainer, kept

SEEDS = (0, 1, 2)


def stored(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Explains images that it holds, in place of those that it is given."""
    return gradient(model, images(len(inputs), tuple(inputs.shape[1:]), seed=9), targets)


def noise_in_place_of_inputs(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    torch.manual_seed(0)
    return gradient(model, torch.rand_like(inputs), targets)


def only(places: Callable[[int], list[int]]) -> Explainer:
    """Explains the images at some places of the batch; the others get zeros."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps, chosen = torch.zeros_like(inputs), places(len(inputs))
        maps[chosen] = gradient(model, inputs, targets)[chosen]
        return maps

    return explainer


def edges_at(place: int) -> Explainer:
    """The gradient, but for one place of the batch."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        if place < len(inputs):
            maps[place] = sobel(model, inputs, targets)[place]
        return maps

    return explainer


def by_size(few: Explainer, many: Explainer, size: int) -> Explainer:
    """One explainer for batches of fewer images, another one for the rest."""
    return lambda model, inputs, targets: (few if len(inputs) < size else many)(model, inputs, targets)


def of_targets(change: Callable[[Tensor], Tensor], base: Explainer = gradient) -> Explainer:
    return lambda model, inputs, targets: base(model, inputs, change(targets))


def of_inputs(change: Callable[[Tensor], Tensor], base: Explainer = gradient) -> Explainer:
    return lambda model, inputs, targets: base(model, change(inputs), targets)


def most_frequent(targets: Tensor) -> Tensor:
    return targets.mode().values.expand(len(targets))


BROKEN: dict[str, Explainer] = {
    "the first target for all": of_targets(lambda t: t[:1].expand(len(t))),
    "the last target for all": of_targets(lambda t: t[-1:].expand(len(t))),
    "the most frequent target for all": of_targets(most_frequent),
    "the neighbor's target": of_targets(lambda t: t.roll(1)),
    "targets in order": of_targets(lambda t: t.sort().values),
    "the first image as the baseline": of_inputs(lambda x: x - x[:1]),
    "the last image as the baseline": of_inputs(lambda x: x - x[-1:]),
    "the batch's mean as the baseline": of_inputs(lambda x: x - x.mean(0)),
    "the first image for all": of_inputs(lambda x: x[:1].expand_as(x)),
    "the last image for all": of_inputs(lambda x: x[-1:].expand_as(x)),
    "one map for all": lambda model, x, t: gradient(model, x, t)[:1].expand_as(x),
    "the mean map for all": lambda model, x, t: gradient(model, x, t).mean(0, keepdim=True).expand_as(x),
    "only the first image": only(lambda n: [0]),
    "only the last image": only(lambda n: [n - 1]),
    "only the first four": only(lambda n: list(range(min(4, n)))),
    "only every other image": only(lambda n: list(range(0, n, 2))),
    "all but the last image": only(lambda n: list(range(n - 1 or 1))),
    "edges for the first image": edges_at(0),
    "edges for the fourth image": edges_at(3),
    "images that it holds": stored,
    "noise in place of the images": noise_in_place_of_inputs,
    "edges for few, the gradient for eight": by_size(sobel, gradient, 8),
    "the gradient for one, edges for more": by_size(gradient, sobel, 2),
    "maps in order": lambda model, x, t: gradient(model, x, t).flip(0),
}


@pytest.mark.covering
@pytest.mark.parametrize("one_class", [False, True], ids=["targets", "one target"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_wrapper_that_mixes_up_the_batch(name: str, one_class: bool) -> None:
    """Whatever the seed, and also where all images are of one class."""
    for seed in SEEDS:
        targets = torch.full((16,), 2) if one_class else torch.arange(16) % 4
        verdict = check_contract(BROKEN[name], cnn(), images(16, seed=seed), targets, name=name, seed=seed)
        assert (verdict.outcome, verdict.reason) == ("error", "contract.batch"), verdict


STOCHASTIC: dict[str, Explainer] = {
    "the first target for all": of_targets(lambda t: t[:1].expand(len(t)), partial(smoothgrad, samples=8)),
    "the last image as the baseline": of_inputs(lambda x: x - x[-1:], partial(smoothgrad, samples=8)),
    "one map for all": lambda model, x, t: smoothgrad(model, x, t, samples=8)[:1].expand_as(x),
    "edges for few, smoothgrad for eight": by_size(sobel, partial(smoothgrad, samples=8), 8),
    "smoothgrad for few, edges with noise for eight": by_size(
        partial(smoothgrad, samples=8), lambda model, x, t: sobel(model, x, t) + 0.1 * torch.randn_like(x), 8
    ),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_so_does_one_that_draws_from_the_global_generator(name: str) -> None:
    for seed in SEEDS:
        targets = torch.arange(16) % 4
        verdict = check_contract(STOCHASTIC[name], cnn(), images(16, seed=seed), targets, seed=seed)
        assert (verdict.outcome, verdict.reason) == ("error", "contract.batch"), verdict


# Noise of an explainer's own seed.


def seeding(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    torch.manual_seed(0)
    return smoothgrad(model, inputs, targets, samples=4)


def with_a_generator(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    noise = np.random.default_rng(0).standard_normal((4, *inputs.shape))
    points = (inputs + 0.1 * torch.from_numpy(part).to(inputs.dtype) for part in noise)
    return sum(gradient(model, point, targets) for point in points)


def a_little(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """So little that some maps of a network of ReLUs do not move at all."""
    generator = torch.Generator().manual_seed(0)
    return gradient(model, inputs + 0.02 * torch.randn(inputs.shape, generator=generator), targets)


def random_baseline(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    baseline = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(3))
    return (inputs - baseline) * gradient(model, (inputs + baseline) / 2, targets)


def random_order(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """One of the sampled occlusions: which pixels go is drawn for each image by a seed of its own."""
    generator = torch.Generator().manual_seed(1)
    hidden = (torch.rand(inputs.shape, generator=generator) < 0.3).to(inputs.dtype)
    return gradient(model, inputs * (1 - hidden), targets)


OWN_SEED = (seeding, with_a_generator, a_little, random_baseline, random_order)


@pytest.mark.parametrize("explainer", OWN_SEED, ids=lambda explainer: explainer.__name__)
def test_noise_of_its_own_seed_is_not_accused(explainer: Explainer) -> None:
    for seed in SEEDS:
        for targets in (None, torch.full((16,), 1)):
            assert kept(check_contract(explainer, cnn(), images(16, seed=seed), targets, seed=seed))


def test_it_is_explained_one_image_at_a_time_and_the_verdict_says_so() -> None:
    sizes: list[int] = []

    def watched(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        sizes.append(len(inputs))
        return random_baseline(model, inputs, targets)

    verdict = check_model_sensitivity(watched, cnn(), images(16))
    assert verdict.outcome == "pass"
    assert verdict.evidence["explainer"]["alone"] is True
    assert set(sizes[-100:]) == {1}
    assert (
        "its maps change with the batch size, as those of an explainer with a random seed of its own do: each "
        "image was explained alone" in verdict.notes
    )


def test_the_plain_gradient_is_explained_in_batches() -> None:
    verdict = check_model_sensitivity(gradient, cnn(), images(16))
    assert verdict.evidence["explainer"]["alone"] is False and not verdict.notes


# What is right stays right.


@pytest.mark.covering
@pytest.mark.parametrize("explainer", [gradient, integrated_gradients, occlusion, smoothgrad])
@pytest.mark.parametrize("classes", [1, 4, 40])
def test_right_ones_keep_their_contract(explainer: Explainer, classes: int) -> None:
    for seed in SEEDS:
        assert kept(check_contract(explainer, cnn(classes, seed=seed), images(16, seed=seed), seed=seed))


@pytest.mark.covering
@pytest.mark.parametrize("count", [2, 3, 5, 7])
@pytest.mark.parametrize("explainer", [gradient, smoothgrad, with_a_generator])
def test_of_few_images_too(explainer: Explainer, count: int) -> None:
    assert kept(check_contract(explainer, cnn(), images(count)))


def test_tables_weights_and_several_inputs() -> None:
    rows = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    assert kept(check_contract(gradient, tabular(), rows))
    assert kept(check_contract(gradient, cnn(), images(16), torch.eye(4)[torch.arange(16) % 4]))
    pair = images(16), torch.randn(16, 2, 40, generator=torch.Generator().manual_seed(0))
    assert kept(check_contract(gradient, two_branches(), pair))


def of_two_classes(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    if not torch.isin(targets, torch.tensor([0, 1])).all():
        raise ValueError("only the classes 0 and 1")
    return gradient(model, inputs, targets)


def test_an_explainer_that_knows_no_third_class_is_asked_for_none() -> None:
    assert kept(check_contract(of_two_classes, cnn(), images(16), torch.ones(16, dtype=torch.long)))


def test_the_distance_is_relative() -> None:
    left = (torch.tensor([[3.0, 4.0], [0.0, 0.0], [1.0, 1.0]]),)
    right = (torch.tensor([[3.0, 4.5], [0.0, 0.0], [2.0, 2.0]]),)
    assert distance(left, right).tolist() == pytest.approx([0.1, 0.0, 1.0])
