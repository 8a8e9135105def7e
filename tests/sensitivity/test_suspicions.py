"""Maps whose ranks change though the picture stays."""

from __future__ import annotations

import re

import pytest

from pytest_saliency_sanity import check_model_sensitivity, check_target_sensitivity
from pytest_saliency_sanity.explainers import gradient, input_x_gradient, integrated_gradients
from tests.calibration.planted import PLANTED, edges_times_logit, sparse_edges
from tests.digits import held_out_digits
from tests.networks import train

REASONS = {"sparse_edges": "amplitude", "signed_edges": "gate.size", "edges_times_logit": "sign_only"}
NETWORKS = ("functional_cnn", "lenet", "mlp")


@pytest.mark.covering(2)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_does_not_pass(name: str, network: str, seed: int) -> None:
    verdict = check_model_sensitivity(PLANTED[name], train(network), held_out_digits().images[:32], seed=seed)
    assert verdict.reason in (REASONS[name], "insensitive", "input_independent"), verdict
    assert verdict.outcome == ("inconclusive" if verdict.reason == "gate.size" else "fail")


@pytest.mark.covering
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("explainer", [gradient, input_x_gradient, integrated_gradients])
def test_an_honest_explainer_is_not_suspected(explainer, network: str) -> None:
    verdict = check_model_sensitivity(explainer, train(network), held_out_digits().images[:32])
    assert verdict.outcome == "pass", verdict


def test_the_sentences() -> None:
    model, images = train("functional_cnn"), held_out_digits().images[:32]
    loud, turned, same = (check_model_sensitivity(PLANTED[name], model, images).summary for name in REASONS)
    assert re.match(
        r"sparse_edges keeps the strong pixels of its map: measured by values instead of ranks \(Pearson\), "
        r"[01]\.\d\d of the map survives at 'upper' \(99 % lower bound [01]\.\d\d > 0\.30\)$",
        loud,
    )
    assert re.match(
        r"signed_edges: inconclusive: only the signs of its map change: 1\.00 of its absolute values "
        r"\(Pearson\) survives at 'upper' \(99 % lower bound [01]\.\d\d > 0\.90\); either the size of the map does "
        r"not come from the model, or a few pixels of the input outweigh all others$",
        turned,
    )
    assert re.match(
        r"edges_times_logit changes only the sign of its map: up to the sign, 1\.00 of the map survives at "
        r"'upper' \(99 % lower bound [01]\.\d\d > 0\.80\)$",
        same,
    )


@pytest.mark.parametrize("explainer", [edges_times_logit, sparse_edges])
def test_another_target_is_held_to_the_same(explainer) -> None:
    verdict = check_target_sensitivity(explainer, train("functional_cnn"), held_out_digits().images[:32])
    assert verdict.outcome == "fail", verdict


def test_what_other_similarities_retain_is_evidence() -> None:
    verdict = check_model_sensitivity(gradient, train("lenet"), held_out_digits().images[:32])
    for stage in verdict.stages:
        assert set(stage.evidence["retained_by_value"]) == {"linear", "size"}
        assert abs(stage.evidence["retained_by_value"]["linear"]) < 0.5
