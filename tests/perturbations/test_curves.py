"""Areas under curves and between them, by the published formula, and curves that are normalized."""

from __future__ import annotations

import torch
from torch import nn

from pytest_saliency_sanity.perturbations.curves import area_between, auc, normalized
from pytest_saliency_sanity.perturbations.insertion import perturbation_curves
from pytest_saliency_sanity.perturbations.rankings import least_first, ranked
from tests.perturbations.weights.counting import setting


def test_the_area_is_that_of_the_published_program() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [0.2, 0.9, 0.4]])
    torch.testing.assert_close(auc(scores), torch.tensor([1.0, 0.5, (1.5 - 0.1 - 0.2) / 2]))
    curve = torch.rand(5, 8, dtype=torch.float64)
    torch.testing.assert_close(auc(curve), torch.trapezoid(curve, dx=1 / 7))


def test_the_curves_know_their_areas() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    curves = perturbation_curves(model, inputs, maps, targets, steps=4)
    assert torch.equal(curves.aucs["deletion"], auc(curves.scores["deletion"]))
    assert torch.equal(curves.normalized_aucs["insertion"], auc(normalized(curves.scores["insertion"])))
    assert list(curves.aucs) == ["insertion", "deletion"] and curves.aucs["deletion"].shape == (1, 3)


def test_normalized_curves_run_from_the_lower_end_to_the_higher() -> None:
    falling, rising = torch.tensor([0.9, 0.3, 0.1]), torch.tensor([0.1, 1.0, 0.9])
    torch.testing.assert_close(normalized(falling), torch.tensor([1.0, 0.25, 0.0]))
    torch.testing.assert_close(normalized(rising), torch.tensor([0.0, 1.125, 1.0]))
    assert normalized(torch.tensor([0.4, 0.9, 0.4])).isnan().all()


def test_the_area_between_of_a_linear_model_rewards_its_own_ranking() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    inputs = torch.rand(5, 1, 8, 8)
    maps = inputs[:, 0] * linear[1].weight[0].view(8, 8)
    rankings = torch.stack((least_first(ranked(maps)), ranked(maps)))
    curves = perturbation_curves(linear.eval(), inputs, rankings, [0] * 5, score="logit", modes="deletion")
    least, most = curves.scores["deletion"]
    assert (area_between(least, most) > 0).all()
    torch.testing.assert_close(area_between(most, least), -area_between(least, most))
