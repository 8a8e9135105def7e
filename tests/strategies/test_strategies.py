"""Strategies draw what they say, their repr makes it again, and failures shrink to what can be read."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from pytest_saliency_sanity import (
    check_completeness,
    check_ignored_input,
    check_implementation_invariance,
    check_input_shift,
    check_linear_oracle,
    strategies,
)
from pytest_saliency_sanity.explainers import gradient, integrated_gradients, sobel
from pytest_saliency_sanity.strategies import KINDS, Example, Maps, Network, Plan, Planted

few = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
many = settings(few, max_examples=100)


def again(drawn: Any) -> Any:
    """What the repr says, typed again."""
    names = {
        "torch": torch,
        "Example": Example,
        "Maps": Maps,
        "Network": Network,
        "Plan": Plan,
        "Planted": Planted,
    }
    return eval(repr(drawn), names)  # our own text


@few
@given(strategies.networks())
def test_a_network_is_what_its_repr_says(network: Network) -> None:
    x = torch.randn(3, *network.plan.shape)
    assert not network.training and network(x).shape == (3, network.plan.classes)
    assert torch.equal(network(x), again(network)(x))
    assert torch.equal(network(x)[:1], network(x[:1])) or torch.allclose(
        network(x)[:1], network(x[:1]), atol=1e-5
    )
    assert len(repr(network)) < 250


@few
@given(strategies.networks(kinds=["perceptron", "convolutional"]), st.integers(0, 9))
def test_no_layer_is_off(network: Network, seed: int) -> None:
    if network.plan.batch_norm:
        return
    x = torch.randn(4, *network.plan.shape, generator=torch.Generator().manual_seed(seed))
    assert network.body(x).gt(0).any(1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_had(kind: str) -> None:
    for flag in (False, True):
        network = Network(Plan(kind, (3, 8, 8), batch_norm=flag, functional=flag, bias=flag, depth=2))
        names = {type(module).__name__ for module in network.modules()}
        if kind != "attention":
            assert ("ReLU" in names) != flag and any("BatchNorm" in name for name in names) == flag
        assert network(torch.randn(2, 3, 8, 8)).shape == (2, 2)


@few
@given(strategies.planted())
def test_planted_images_have_their_signal(planted: Planted) -> None:
    images, masks = planted.images, planted.masks
    assert (
        images.shape == (planted.count, *planted.shape) and masks.flatten(1).sum(1).eq(planted.side**2).all()
    )
    inside = images.mean(1)[masks].mean()
    assert inside > images.mean(1)[~masks].mean() + planted.contrast / 2
    assert torch.equal(again(planted).images, images)


@few
@given(strategies.maps())
def test_maps_have_a_shape_that_a_check_takes(maps: Maps) -> None:
    count, (channels, *space) = maps.of.count, maps.of.shape
    assert tuple(maps.values.shape) in ((count, channels, *space), (count, 1, *space), (count, *space))
    assert maps.values.isfinite().all() and torch.equal(again(maps).values, maps.values)


@few
@given(strategies.targets(3, 4), strategies.targets(3, 4, weights=True))
def test_targets_are_classes_or_weights(classes: torch.Tensor, weights: torch.Tensor) -> None:
    assert classes.shape == (3,) and classes.dtype == torch.int64 and classes.max() < 4
    assert weights.shape == (3, 4) and weights.abs().sum(1).min() > 0


def incomplete(example: Example) -> bool:
    """As `check_completeness` of the gradient, without the rest of the check."""
    inputs, rows = example.inputs, example.targets[:, None]
    apart = (example.model(inputs) - example.model(torch.zeros_like(inputs))).gather(1, rows)[:, 0]
    sums = gradient(example.model, inputs, example.targets).flatten(1).sum(1)
    return bool(((sums - apart).abs() > 0.05 * apart.abs().mean()).any())


@pytest.mark.extended
def test_what_is_found_shrinks_to_the_plainest() -> None:
    found = find(strategies.networks(), lambda network: network.plan.classes > 2, settings=few)
    assert found.plan == Plan(classes=3, bias=False)


@pytest.mark.extended
def test_a_failure_shrinks_to_what_can_be_read() -> None:
    found = find(strategies.examples(), incomplete, settings=settings(few, max_examples=60))
    assert found.model.plan == Plan(bias=False, seed=found.model.plan.seed)
    assert found.targets.tolist() == [0, 0, 0, 0]
    assert repr(found).startswith("Example(Network(Plan(kind='perceptron', shape=(1, 6, 6), classes=2, ")
    verdict = check_completeness(gradient, found.model, found.inputs, found.targets)
    assert verdict.outcome == "fail"


def axioms(example: Example) -> None:
    given = example.model, example.inputs, example.targets
    ig = partial(integrated_gradients, steps=64)
    assert check_linear_oracle(ig, *given, expects="contribution").outcome == "pass"
    assert check_ignored_input(ig, *given).outcome in ("pass", "inconclusive")
    assert check_implementation_invariance(ig, *given).outcome == "pass"
    assert check_input_shift(gradient, *given).outcome == "pass"
    complete = check_completeness(ig, *given, quadrature_tolerance=1.0)
    assert complete.outcome in ("pass", "inconclusive"), complete
    assert check_linear_oracle(sobel, *given).outcome == "fail"
    assert check_ignored_input(sobel, *given).outcome == "fail"


@settings(few, max_examples=1)
@given(strategies.examples())
def test_axioms_hold_on_what_is_drawn(example: Example) -> None:
    axioms(example)


@pytest.mark.extended
@many
@given(strategies.examples())
def test_axioms_hold_on_much_that_is_drawn(example: Example) -> None:
    axioms(example)


@few
@given(strategies.examples(bias=False, kinds=["perceptron", "convolutional"]), st.integers(1, 4))
def test_a_relu_network_without_bias_needs_one_step(example: Example, steps: int) -> None:
    """Its gradient is the same all along the path from zero: an exact oracle."""
    if example.model.plan.batch_norm:
        return
    verdict = check_completeness(
        partial(integrated_gradients, steps=steps), example.model, example.inputs, example.targets
    )
    assert verdict.outcome == "pass" and verdict.stages[1].statistic < 1e-3


@pytest.mark.parametrize(
    "make, words",
    [
        (
            lambda: Plan("transformer"),
            "kind must be one of perceptron, convolutional, residual, attention, not",
        ),
        (lambda: Planted(side=7), "side must be from 1 to 6, not 7"),
        (lambda: Maps(Planted(), "smooth"), "'smooth' is none of signed, non-negative"),
    ],
)
def test_a_plan_that_cannot_be_built_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_without_hypothesis_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['hypothesis'] = None; import pytest_saliency_sanity.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith(
        "strategies needs hypothesis: pip install 'pytest-saliency-sanity[hypothesis]'"
    )
