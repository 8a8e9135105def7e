"""What explanations by random masks have in common: their streams, batches and inputs, and how runs agree."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_model_sensitivity
from pytest_saliency_sanity.explainers import mask_estimation, rise
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.statistics import matched_similarity, rank
from tests.digits import held_out_digits
from tests.networks import train

close = torch.testing.assert_close


@pytest.fixture(
    params=[partial(rise, samples=30), partial(mask_estimation, steps=30)], ids=["rise", "estimated"]
)
def explainer(request):
    return request.param


def test_streams_replay(explainer, cnn, images, targets):
    explain = partial(explainer, cnn, images, targets)
    with replayed(3):
        first, second = explain(), explain()
    with replayed(3):
        again = explain()
    assert torch.equal(first, again) and not torch.equal(first, second)


def test_a_seed_of_its_own_leaves_the_global_generator_alone(explainer, cnn, images, targets):
    explain = partial(explainer, cnn, images, targets)
    before = torch.get_rng_state()
    first, again, other = explain(seed=3), explain(seed=3), explain(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_batches_are_bounded_and_change_nothing(explainer, cnn, images, targets):
    explain, sizes = partial(explainer, cnn.double(), images.double(), targets, seed=0), []
    whole = explain()
    cnn.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    close(explain(batch_size=9), whole)
    close(explain(batch_size=1), whole)
    assert max(sizes) == 8


def test_an_image_has_the_same_map_alone_and_among_others(explainer, cnn, images, targets):
    explain, images = partial(explainer, cnn.double(), seed=0), images.double()
    close(explain(images[2:3], targets[2:3]), explain(images, targets)[2:3])


def test_volumes(explainer):
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 120, 3))
    assert explainer(model, torch.randn(2, 2, 4, 5, 6), [0, 2]).shape == (2, 1, 4, 5, 6)


def test_tuples_are_masked_in_turn(explainer, two_branches):
    image, signal = torch.randn(1, 3, 8, 8), torch.randn(1, 2, 9)
    of_image, of_signal = explainer(two_branches, (image, signal), [3], seed=0)
    alone = explainer(lambda x: two_branches(x, signal.expand(len(x), -1, -1)), image, [3], seed=0)
    close(of_image, alone)
    assert of_signal.shape == (1, 1, 9)


@pytest.mark.parametrize(
    "explainer, option, few, many, least",
    [(rise, "samples", 80, 800, 0.5), (mask_estimation, "steps", 60, 500, 0.3)],
    ids=["rise", "estimated"],
)
def test_runs_agree_better_when_they_are_longer(explainer, option, few, many, least):
    model, images = train("plain_cnn", 0), held_out_digits().images[:8]
    targets = model(images).argmax(1)

    def agreement(amount):
        runs = (explainer(model, images, targets, seed=seed, **{option: amount}) for seed in (0, 1))
        return matched_similarity(*(rank(maps[:, 0]) for maps in runs)).mean()

    worse, better = agreement(few), agreement(many)
    assert worse + 0.1 < better and better > least


@pytest.mark.extended
@pytest.mark.parametrize(
    "explainer",
    [
        partial(rise, samples=200),
        partial(rise, samples=200, output="logit"),
        partial(mask_estimation, steps=300),
    ],
    ids=["rise", "rise_of_logits", "estimated"],
)
@pytest.mark.parametrize("network", ["plain_cnn", "mlp", "vision_transformer"])
def test_it_depends_on_the_model(network, explainer):
    images, labels = (part[:16] for part in held_out_digits())
    verdict = check_model_sensitivity(explainer, train(network, 0), images, labels=labels, seed=0)
    assert verdict.outcome in ("pass", "inconclusive")
