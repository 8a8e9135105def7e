"""Maps of one sign: a line that is measured, what is held constant, and a head that is not used."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_model_sensitivity, check_target_sensitivity
from pytest_saliency_sanity.audited.subject import subject
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import gradcam, gradient, input_x_gradient, sobel
from pytest_saliency_sanity.explainers.cam import mean_activation
from pytest_saliency_sanity.sensitivity.held_constant import held_constant
from pytest_saliency_sanity.sensitivity.measured_lines import line
from pytest_saliency_sanity.statistics import few
from tests.calibration.trials import named
from tests.digits import held_out_digits
from tests.networks import train

NETWORKS = ("lenet", "plain_cnn", "mean_pooled_transformer")
HONEST = ("absolute gradient", "absolute input_x_gradient", "absolute integrated_gradients", "gradcam")
FAULTY = ("sobel", "absolute input_copy", "distance_from_mean", "mean_activation", "grad-cam:EigenCAM")


def checked(name: str, network: str, seed: int = 0, **options: object) -> Verdict:
    digits = held_out_digits()
    return check_model_sensitivity(
        named(name),
        train(network),
        digits.images[:32],
        labels=digits.labels[:32],
        name=name,
        seed=seed,
        **options,
    )


DEAR = ("absolute integrated_gradients", "mean_pooled_transformer")  # a minute


@pytest.mark.covering
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    "name, network",
    [
        pytest.param(*pair, marks=[pytest.mark.extended] if pair == DEAR else [])
        for pair in product(HONEST, NETWORKS)
    ],
)
def test_honest_maps_of_one_sign_pass(name: str, network: str, seed: int) -> None:
    verdict = checked(name, network, seed)
    assert verdict.outcome == "pass", verdict


@pytest.mark.covering
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_maps_of_one_sign_fail(name: str, network: str, seed: int) -> None:
    verdict = checked(name, network, seed)
    assert (verdict.outcome, verdict.reason) in {("fail", "insensitive"), ("fail", "head_unused")}, verdict


@pytest.mark.covering
@pytest.mark.parametrize("share, outcome", [(0.5, "inconclusive"), (0.65, "inconclusive"), (0.8, "fail")])
@pytest.mark.parametrize("network", NETWORKS)
def test_edges_that_are_added_do_not_pass(network: str, share: float, outcome: str) -> None:
    """Most of it is Sobel: what is held constant does not excuse it."""

    def edges(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        honest = _scaled(gradient(model, inputs, targets).abs())
        return share * _scaled(sobel(model, inputs, targets)) + (1 - share) * honest

    verdict = check_model_sensitivity(edges, train(network), held_out_digits().images[:32])
    assert verdict.outcome in {outcome, "fail"}, verdict


def _scaled(maps: Tensor) -> Tensor:
    return maps / maps.flatten(1).std(1).view(-1, 1, 1, 1)


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_nearly_a_copy_of_the_input_does_not_pass(share: float) -> None:
    """Held constant, the input leaves only the gradient of it; without, nearly all of it survives."""

    def copied(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return inputs.abs() + share * _scaled(gradient(model, inputs, targets).abs())

    assert check_model_sensitivity(copied, train("lenet"), held_out_digits().images[:32]).outcome != "pass"


def test_nearly_the_features_alone_is_inconclusive() -> None:
    """Of the last feature map, lit up a little where Grad-CAM is: that it changes a little is no evidence."""

    def lit(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return (
            _scaled(mean_activation(model, inputs, targets))
            + 0.05 * _scaled(gradcam(model, inputs, targets, relu=False)).relu()
        )

    verdict = check_model_sensitivity(lit, train("lenet"), held_out_digits().images[:32])
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.features"), verdict
    assert "nearly all of that is the mean activation of the last feature map" in verdict.summary


def test_a_pass_says_what_was_held_constant_and_where_the_line_was() -> None:
    verdict = checked("absolute input_x_gradient", "lenet")
    stage = verdict.judged[0]
    assert (verdict.outcome, stage.evidence["held_constant"]) == ("pass", "the input's size and the features")
    assert stage.sentence.endswith("(given the input's size and the features)")
    assert stage.evidence["retained_as_it_is"] > 0.5 > stage.statistic
    assert stage.pass_below == pytest.approx(line(0.3, 0.8, stage.evidence["control_retained"]))
    assert any("held constant" in note for note in verdict.notes)


def test_a_network_without_a_spatial_map_has_no_features_to_speak_of() -> None:
    verdict = checked("absolute input_x_gradient", "mlp")
    assert verdict.judged[0].sentence.endswith("(given the input's size)")
    assert "feature" not in verdict.render()


def test_an_honest_map_of_one_sign_passes_for_other_targets() -> None:
    digits = held_out_digits()
    for name in ("absolute input_x_gradient", "absolute gradient"):
        verdict = check_target_sensitivity(named(name), train("lenet"), digits.images[:32], name=name)
        assert verdict.outcome == "pass", verdict
    verdict = check_target_sensitivity(named("sobel"), train("lenet"), digits.images[:32])
    assert verdict.outcome == "fail"


@pytest.mark.parametrize(
    "kept, expected", [(0, 0.3), (-0.1, 0.3), (float("nan"), 0.3), (0.2, 0.44), (0.5, 0.55), (1, 0.55)]
)
def test_the_line_lies_above_what_the_control_retains(kept: float, expected: float) -> None:
    assert line(0.3, 0.8, kept) == pytest.approx(expected)


def test_the_line_is_never_below_the_threshold_of_signed_maps() -> None:
    assert line(0.9, 0.9, 0.5) == 0.9
    assert line(0.0, 0.8, 0.0) == 0.0


# The head.


def test_the_layer_above_which_nothing_is_used_is_named() -> None:
    """Of the mean activation the layer itself, though no depth ends there."""
    digits = held_out_digits()
    model = train("vgg_bn")
    verdict = check_model_sensitivity(mean_activation, model, digits.images[:32], labels=digits.labels[:32])
    assert verdict.outcome == "fail"
    last = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][-1]
    assert f"the map uses nothing above {last}: 1.00 of it survives" in verdict.hint, verdict


def test_a_map_that_ignores_the_head_alone_fails() -> None:
    verdict = checked("mean_activation", "mean_pooled_transformer")
    assert (verdict.outcome, verdict.reason) == ("fail", "head_unused")
    assert (verdict.statistic, verdict.threshold) == (1.0, 0.99)
    assert verdict.summary.startswith(
        "mean_activation ignores the head: 1.00 of the map survives when the head alone is re-initialized "
        "(99 % lower bound 1.00 > 0.99)"
    )


class Scaled(nn.Module):
    """One learned factor of all logits: a head that no map can show."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([2.0]))

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.factor.abs()


@pytest.mark.parametrize(
    "explainer", [gradient, pytest.param(input_x_gradient, marks=pytest.mark.extended), "absolute gradient"]
)
def test_a_head_that_no_gradient_sees_convicts_nobody(explainer: object) -> None:
    model = nn.Sequential(*train("lenet"), Scaled()).eval()
    chosen = named(explainer) if isinstance(explainer, str) else explainer
    verdict = check_model_sensitivity(
        chosen, model, held_out_digits().images[:32], blocks=["0", "3", "7", "9", "11", "12"]
    )
    head = verdict.stages[0]
    assert (head.detail, abs(head.statistic) > 0.99) == ("12 (1 of 6 blocks)", True), "the premise"
    assert verdict.outcome == "pass", verdict


# What is held constant.


def test_what_is_held_constant_are_sizes_and_features() -> None:
    images = held_out_digits().images[:8] - 0.4
    audited = subject(gradient, train("lenet"), images, None)
    index = torch.arange(8)
    (held,) = held_constant(audited, Meter(), index, (images[:, 0],))
    assert held is not None and held.features
    assert held.everything.shape == (
        8,
        3,
        28 * 28,
    )  # the size, the distance from the background, the features
    assert held.values.shape == held.everything.shape
    size, distance = held.everything[:, 0], held.everything[:, 1]
    assert not torch.equal(size, distance)
    assert (distance.argmin(1) == 0).all()  # the corner is background


def test_large_maps_are_compared_on_few_pixels() -> None:
    maps = torch.rand(2, 100, 100, generator=torch.Generator().manual_seed(0))
    assert few(maps).shape == (2, 4096) and torch.equal(few(maps), few(maps))
    assert torch.equal(few(maps[:, :64, :64]), maps[:, :64, :64].flatten(1))


def test_a_background_of_zero_is_no_second_size() -> None:
    images = held_out_digits().images[:8]
    audited = subject(gradient, train("mlp"), images, None)
    (held,) = held_constant(audited, Meter(), torch.arange(8), (images[:, 0],))
    assert held is not None and not held.features and held.everything.shape == (8, 1, 28 * 28)


def test_maps_of_another_shape_than_the_input_have_nothing_held_constant() -> None:
    images = held_out_digits().images[:8]
    audited = subject(gradient, train("mlp"), images, None)
    assert held_constant(audited, Meter(), torch.arange(8), (torch.rand(8, 5),)) == (None,)
