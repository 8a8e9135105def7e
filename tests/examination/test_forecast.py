"""What the first maps foretell, and what is told of each call."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_model_sensitivity, settings
from pytest_saliency_sanity.explainers import gradient
from tests.checks.models import cnn, images


def slow(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    time.sleep(0.02 * len(inputs))
    return gradient(model, inputs, targets)


@pytest.mark.parametrize("budget, told", [(4.0, True), (600.0, False)])
def test_a_check_that_will_run_out_of_its_budget_is_foretold(budget: float, told: bool) -> None:
    sentences: list[str] = []
    with settings.using(replace(settings.current(), tell=sentences.append)):
        verdict = check_model_sensitivity(slow, cnn(), images(16), max_seconds=budget, name="slow")
    assert (verdict.reason == "budget") == told
    assert len(sentences) == told
    if told:
        pattern = (
            r"slow takes 0\.02\d* s a map; \d+ maps take about \d+ s, and the budget is 4 s\. Cheaper: .*"
        )
        assert re.fullmatch(pattern, sentences[0])


def test_each_call_of_an_explainer_is_counted() -> None:
    counts: list[int] = []
    with settings.using(replace(settings.current(), explained=counts.append)):
        verdict = check_contract(gradient, cnn(), images(8))
    assert sum(counts) == verdict.evidence["cost"]["images"] > 0
