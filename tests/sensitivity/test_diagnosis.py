"""Hints: what a map is made of, by where it stays and where it goes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_saliency_sanity import check_model_sensitivity, check_target_sensitivity
from pytest_saliency_sanity.explainers import gradient, guided_backprop, sobel
from pytest_saliency_sanity.sensitivity.diagnosis import hint_of_failure
from tests.calibration.planted import PLANTED
from tests.calibration.trials import trials_of
from tests.checks.verdicts import checked
from tests.digits import held_out_digits
from tests.networks import train
from tests.plugin.judging import made_stage
from tests.sensitivity.memorizing import checked as checked_by_networks

BELOW = {"upper": "conv4", "half": "conv3"}
REWRITTEN = "the map follows the lower layers but not the upper ones, as with methods that rewrite"


@pytest.mark.parametrize(
    "retained, layer",
    [
        ((1.00, 1.00, 0.05), "conv3"),
        ((1.00, 0.95, 0.00), "conv3"),
        ((0.98, 0.60, 0.05), "conv4"),
        ((0.95, 0.94, 0.10), "conv4"),
        ((1.00, 1.00, 0.80), "conv3"),  # edges as well: the lowest layers have them without training
        ((0.94, 0.94, 0.05), None),
        ((0.86, 0.77, 0.05), None),
    ],
)
def test_what_keeps_all_of_it_above_a_layer_uses_nothing_above(
    retained: tuple[float, ...], layer: str | None
) -> None:
    stages = tuple(
        made_stage(value, name=name) for name, value in zip(("upper", "half", "all"), retained, strict=True)
    )
    hint = hint_of_failure(None, None, stages, None, BELOW)
    if layer is None:
        assert hint.startswith(REWRITTEN)
    else:
        kept = retained[["conv4", "conv3"].index(layer)]
        assert hint.startswith(f"the map uses nothing above {layer}: {kept:.2f} of it survives")
        assert "ReLU" not in hint


def principal(layer: int) -> Callable[..., Tensor]:
    """EigenCAM (Muhammad and Yeasin 2020): the first principal component of a layer's features."""

    def eigen_cam(model: nn.Sequential, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            features = model[: layer + 1](inputs).flatten(2)
        features = features - features.mean(2, keepdim=True)
        component = torch.linalg.svd(features, full_matrices=False).Vh[:, :1]
        component = component * (component * features.mean(1, keepdim=True)).sum(2, keepdim=True).sign()
        side = int(component.shape[2] ** 0.5)
        return F.interpolate(component.unflatten(2, (side, side)), inputs.shape[2:], mode="bilinear")

    return eigen_cam


def energy(layer: int) -> Callable[..., Tensor]:
    """The mean of a layer's features."""

    def features(model: nn.Sequential, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            return F.interpolate(model[: layer + 1](inputs).mean(1, keepdim=True), inputs.shape[2:])

    return features


def below(layer: int) -> Callable[..., Tensor]:
    """The gradient of what a layer sees, whatever is made of it."""

    def of_a_layer(model: nn.Sequential, inputs: Tensor, targets: Tensor) -> Tensor:
        leaf = inputs.detach().clone().requires_grad_()
        return torch.autograd.grad(model[: layer + 1](leaf).square().sum(), leaf)[0]

    return of_a_layer


KINDS = {
    "eigencam of the last convolution": (principal(7), "6"),
    "eigencam of the one before": (principal(4), "3"),
    "the mean of features": (energy(7), "6"),
    "a gradient of features": (below(7), "6"),
}


@pytest.mark.parametrize("explainer, layer", KINDS.values(), ids=KINDS)
def test_methods_of_kinds_that_use_nothing_above_a_layer(
    explainer: Callable[..., Tensor], layer: str
) -> None:
    verdict = checked(explainer)
    assert verdict.outcome == "fail"
    assert verdict.hint.startswith(f"the map uses nothing above {layer}: 1.00 of it survives"), verdict


def test_guided_backpropagation_still_rewrites() -> None:
    assert checked(guided_backprop).hint.startswith(REWRITTEN)


def test_an_edge_detector_is_still_one() -> None:
    assert checked(sobel).hint.startswith(
        "it resembles the edges of the input: its rank correlation with the Sobel"
    )


ROWS = {
    "sparse_edges": ("amplitude", "upper, by value", "its values instead of ranks (Pearson)", True),
    "edges_times_logit": ("sign_only", "upper, up to sign", "its rank correlation up to the sign", True),
    "signed_edges": ("gate.size", "upper, by size", "its absolute values (Pearson)", False),
}


@pytest.mark.parametrize("name", ROWS)
def test_the_table_has_a_row_that_fails_and_the_number_it_failed_by(name: str) -> None:
    reason, row, detail, judged = ROWS[name]
    verdict = check_model_sensitivity(PLANTED[name], train("functional_cnn"), held_out_digits().images[:32])
    assert verdict.reason == reason
    last = verdict.stages[-1]
    assert (last.name, last.detail, last.judged, last.outcome) == (row, detail, judged, "fail")
    assert f"{last.statistic:.2f} of " in verdict.summary
    assert f"lower bound {last.lower:.2f} > {last.fail_above:.2f}" in verdict.summary
    line = next(line for line in verdict.render().splitlines() if line.startswith(f"  {row}"))
    assert line.split()[-1] == ("fail" if judged else "only)")
    if judged:
        assert verdict.deciding is last
        assert (verdict.statistic, verdict.threshold) == (last.statistic, last.fail_above)


def test_so_has_that_of_another_target() -> None:
    verdict = check_target_sensitivity(
        PLANTED["sparse_edges"], train("functional_cnn"), held_out_digits().images[:32]
    )
    assert (verdict.reason, verdict.stages[-1].name) == ("amplitude", "another target, by value")
    assert verdict.stages[-1].outcome == "fail"


@pytest.mark.extended
def test_so_has_that_of_other_labels() -> None:
    def loud(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        edges, maps = sobel(model, inputs, targets), gradient(model, inputs, targets)
        strong = edges > edges.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1, 1)
        return torch.where(strong, 10 * edges, maps / maps.abs().amax((1, 2, 3), keepdim=True))

    verdict = checked_by_networks(loud)
    assert [stage.outcome for stage in verdict.stages] == ["pass", "fail"]
    assert verdict.stages[-1].name == "permuted labels, by value"


def test_the_calibration_s_tables_show_the_depths_alone() -> None:
    def setting(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
        digits = held_out_digits()
        return train(network, seed), digits.images[:32], digits.labels[:32]

    found = trials_of(check_model_sensitivity, ["sparse_edges"], setting, ("functional_cnn", 0))
    assert found[0].reason == "amplitude"
    assert list(found[0].statistics) == ["head", "upper", "half", "all"]
