"""Another target has to give another map: on trained digit networks, and at the edges of what a target is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    Verdict,
    assert_target_sensitive,
    check_target_sensitivity,
    explainers,
    settings,
)
from pytest_saliency_sanity.explainers import CONTROLS, gradient, guided_backprop, noise
from tests.checks.models import Wrapped, cnn, images, seeded, tabular
from tests.digits import held_out_digits
from tests.networks import EVALUATION, train
from tests.perturbations.state import state_of

NETWORKS = ("plain_cnn", "functional_cnn", "mlp")


def checked(
    explainer: Callable[..., Any], network: str = "plain_cnn", seed: int = 0, **options: Any
) -> Verdict:
    digits = held_out_digits()
    return check_target_sensitivity(explainer, train(network, seed), digits.images[:32], seed=seed, **options)


def ignores_targets(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Explains the prediction for any target: a wrapper that forgot to pass its target on."""
    with torch.no_grad():
        predicted = model(inputs).argmax(1)
    return gradient(model, inputs, predicted)


def class_blind(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient of the logsumexp: of the model, and of no class."""
    inputs = inputs.clone().requires_grad_()
    return torch.autograd.grad(model(inputs).logsumexp(1).sum(), inputs)[0]


# Honest and faulty explainers.


@pytest.mark.covering
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["gradient", "input_x_gradient", "smoothgrad"])
def test_the_gradient_family_passes(name: str, network: str) -> None:
    verdict = checked(getattr(explainers, name), network)
    assert (verdict.outcome, verdict.reason) == ("pass", "sensitive")


@pytest.mark.parametrize("name", ["integrated_gradients", "gradcam"])
def test_slower_and_coarser_ones_pass(name: str) -> None:
    assert checked(getattr(explainers, name)).outcome == "pass"


@pytest.mark.parametrize("network", NETWORKS)
def test_guided_backpropagation_fails(network: str) -> None:
    verdict = checked(guided_backprop, network)
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert re.match(
        r"guided_backprop ignores the target: 0\.\d\d+ of the map survives when another class is explained "
        r"\(99 % lower bound 0\.\d\d+ > 0\.30\) \[accuracy not checked\]$",
        verdict.summary,
    )


@pytest.mark.covering
@pytest.mark.parametrize("explainer", [ignores_targets, class_blind])
@pytest.mark.parametrize("network", NETWORKS)
def test_explainers_that_ignore_the_target_fail(explainer: Callable[..., Tensor], network: str) -> None:
    verdict = checked(explainer, network)
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.statistic == 1
    assert verdict.hint == (
        "its map is the same for every target: it always explains the same class, or no class at all"
    )


@pytest.mark.parametrize(
    "name", sorted(set(CONTROLS) - {"constant", "center_prior", "stale_model", "gradient_sobel_mixture"})
)
def test_controls_that_know_no_target_fail(name: str) -> None:
    verdict = checked(CONTROLS[name]())
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.stages[0].images == 8


@pytest.mark.parametrize("name, reason", [("constant", "constant"), ("center_prior", "input_independent")])
def test_controls_that_know_nothing_fail(name: str, reason: str) -> None:
    assert (checked(CONTROLS[name]()).outcome, checked(CONTROLS[name]()).reason) == ("fail", reason)


def test_a_stale_model_depends_on_its_target() -> None:
    assert checked(CONTROLS["stale_model"]()).outcome == "pass"


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", EVALUATION)
def test_on_every_network(network: str, seed: int) -> None:
    for name in ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad"):
        assert checked(getattr(explainers, name), network, seed).outcome == "pass"
    for blind in (ignores_targets, class_blind, explainers.sobel, explainers.input_copy):
        assert checked(blind, network, seed).outcome == "fail"
    if network != "vision_transformer":
        assert checked(guided_backprop, network, seed).outcome == "fail"


# The verdict.


def test_one_stage() -> None:
    verdict = checked(gradient)
    (stage,) = verdict.stages
    assert (verdict.check, stage.name, stage.judged) == ("target_sensitivity", "another target", True)
    assert stage.detail == "9 of 9 other classes, drawn for each image"
    assert (stage.images, stage.draws) == (16, 1)
    assert "stage           explained instead" in verdict.render()
    assert verdict.replay == "check_target_sensitivity(gradient, Sequential, …, seed=0)"


def test_the_assertion_raises() -> None:
    digits = held_out_digits()
    with pytest.raises(
        SanityCheckFailed, match=r"^ignores_targets ignores the target: 1\.00 of the map survives"
    ):
        assert_target_sensitive(ignores_targets, train("plain_cnn"), digits.images[:16])
    assert assert_target_sensitive(gradient, train("plain_cnn"), digits.images[:16]).outcome == "pass"


def test_the_verdict_is_recorded_once() -> None:
    recorded: list[Verdict] = []
    with settings.using(settings.Settings(seed=4, record=recorded.append, replay="pytest test_it.py")):
        verdict = check_target_sensitivity(noise, cnn(), images())
    assert recorded == [verdict]
    assert verdict.replay == "pytest test_it.py --saliency-seed 4"


def test_the_model_is_restored() -> None:
    model = train("plain_cnn").train()
    before = state_of(model)
    check_target_sensitivity(gradient, model, held_out_digits().images[:16])
    assert state_of(model) == before


def test_figures_on_request() -> None:
    names = ("spearman", "abs_spearman", "ssim", "hog_pearson")
    verdict = checked(class_blind, similarities=names)
    assert verdict.stages[0].evidence["similarities"] == pytest.approx(dict.fromkeys(names, 1.0))


def test_labels_at_chance() -> None:
    digits = held_out_digits()
    wrong = (digits.labels[:32] + 1) % 10
    verdict = check_target_sensitivity(gradient, train("plain_cnn"), digits.images[:32], labels=wrong)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.accuracy")


# Targets.


def test_a_single_logit() -> None:
    text = "Sequential has a single logit: there is no other target to explain; use check_model_sensitivity instead"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_target_sensitivity(gradient, cnn(classes=1), images())


def test_two_classes() -> None:
    """The other logit of a two-class network is a logit of its own: one draw, no repetition."""
    model, inputs = cnn(classes=2), images(32)
    verdict = check_target_sensitivity(gradient, model, inputs)
    assert verdict.outcome in ("pass", "inconclusive")
    assert verdict.stages[0].detail == "1 of 1 other classes, drawn for each image"
    assert check_target_sensitivity(ignores_targets, model, inputs).outcome == "fail"


def test_two_classes_of_a_softmax_are_each_others_negative() -> None:
    """Their gradients differ in nothing but the sign: the map turns around, which is as "
    "sensitive as can be."""
    model = Wrapped(
        lambda scores: scores.log_softmax(1).diff(dim=1) * torch.tensor([[-1.0, 1.0]]), cnn(classes=2)
    )
    verdict = check_target_sensitivity(gradient, model, images(32))
    assert verdict.outcome == "pass"
    assert verdict.stages[0].evidence["matched"] == pytest.approx(-1)


def test_weights_of_several_labels() -> None:
    model, inputs = train("plain_cnn"), held_out_digits().images[:32]
    weights = torch.nn.functional.one_hot(model(inputs).argmax(1), 10).float()
    by_weights, by_class = (
        check_target_sensitivity(gradient, model, inputs, given) for given in (weights, None)
    )
    assert by_weights.outcome == by_class.outcome == "pass"
    assert by_weights.statistic == pytest.approx(by_class.statistic, abs=1e-4)


def test_targets_that_are_not_the_prediction() -> None:
    model, inputs = train("plain_cnn"), held_out_digits().images[:32]
    assert check_target_sensitivity(gradient, model, inputs, torch.arange(32) % 10).outcome == "pass"
    assert check_target_sensitivity(guided_backprop, model, inputs, 3).outcome == "fail"


def test_every_other_class_is_asked_for_once() -> None:
    asked: list[Tensor] = []

    def listening(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if len(inputs) == 8:
            asked.append(targets.clone())
        return guided_backprop(model, inputs, targets)

    model, inputs = seeded(lambda: cnn(classes=6)), images(8)
    check_target_sensitivity(listening, model, inputs, [0, 1, 2, 3, 4, 5, 0, 1], profile="release")
    own, others = asked[0], torch.stack(asked[-5:])
    assert (others != own).all()
    assert (
        others.sort(0).values == torch.stack([torch.arange(6)[torch.arange(6) != t] for t in own], 1)
    ).all()


def test_tables() -> None:
    model, rows = tabular(), images(32, (24,))
    assert check_target_sensitivity(gradient, model, rows).outcome in ("pass", "inconclusive")
    assert check_target_sensitivity(ignores_targets, model, rows).outcome == "fail"
