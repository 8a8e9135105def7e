"""Token ids with a mask: `embed=` names the layer whose output is explained, in each check that takes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_saliency_sanity import (
    Case,
    audit,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_model_sensitivity,
    check_parity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.explainers import gradient, input_copy, input_x_gradient
from tests.checks.models import Reading, seeded, texts


def model() -> Reading:
    return seeded(Reading).eval()


def of_ids(model: Any, inputs: Any, targets: Tensor) -> Tensor:
    """Draws the ids, whatever the model."""
    return inputs[0].float()


def of_one_token(model: Any, inputs: Any, targets: Tensor) -> Tensor:
    """The map of a text whose tokens are moved by one."""
    return input_x_gradient(model, inputs, targets).sum(-1).roll(1, 1)


def test_a_map_of_tokens_needs_no_axis_of_channels() -> None:
    def summed(model: Any, inputs: Any, targets: Tensor) -> Tensor:
        assert [part.dtype for part in inputs] == [torch.int64, torch.int64]
        return input_x_gradient(model, inputs, targets).sum(-1)

    assert check_contract(summed, model(), texts(), embed="words").outcome == "pass"


def test_the_map_of_another_shape_is_refused() -> None:
    verdict = check_contract(lambda m, x, t: torch.rand(len(t), 7), model(), texts(), embed="words")
    assert verdict.reason == "contract.shape", verdict
    assert "inputs of shape (8, 24, 16)" in verdict.summary


@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
def test_what_knows_no_model_fails(check: Any) -> None:
    for explainer in (of_ids, input_copy):
        assert check(explainer, model(), texts(), embed="words").outcome == "fail"
    assert check(gradient, model(), texts(), embed="words").outcome == "pass"


def test_other_checks_take_it() -> None:
    assert check_consistency(gradient, model(), texts(), embed="words").outcome == "pass"
    options: dict[str, Any] = {"embed": "words", "reference": input_x_gradient}
    own = check_parity(
        lambda m, x, t: input_x_gradient(m, x, t).sum(-1), model(), texts(), name="own", **options
    )
    assert own.outcome == "pass", own
    assert check_parity(of_one_token, model(), texts(), **options).outcome == "fail"


def test_ids_are_names_and_no_numbers() -> None:
    """Texts whose ids are close to one another are different texts."""
    ids, mask = texts(2)
    near = (ids[0] + torch.arange(8)[:, None]).clamp(max=49), mask[:1].expand(8, -1)
    verdict = check_contract(gradient, model(), near, embed="words")
    assert verdict.outcome == "pass", verdict
    assert not any("left out" in note for note in verdict.notes)


def test_what_is_no_name_of_a_layer_is_refused() -> None:
    with pytest.raises(
        TypeError, match="embed must be the name of a layer of the model, such as 'embeddings', not 3"
    ):
        check_contract(gradient, model(), texts(), embed=3)  # type: ignore[arg-type]


def test_figures_that_move_inputs_say_why_they_are_not_there() -> None:
    found = check_model_sensitivity(
        gradient, model(), texts(), embed="words", metrics=("max_sensitivity", "sparseness")
    ).evidence["metrics"]
    assert found["max_sensitivity"]["not_computed"] == "it moves inputs a little, which token ids cannot be"
    assert found["sparseness"]["value"] > 0


@pytest.mark.parametrize(
    "inputs, options, message",
    [
        (None, {}, "embed='words' needs inputs=: token ids"),
        (texts(), {"channel_axis": 1}, "channel_axis=1 does not go with embed="),
        (texts(1), {}, "inputs hold 1 texts"),
        ((texts(4)[0], texts(3)[1]), {}, r"the shapes \(4, 24\), \(3, 24\); each must hold the same number"),
        ((), {}, "inputs is an empty tuple; pass token ids"),
    ],
)
def test_bad_input_is_refused(inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_contract(gradient, model(), inputs, embed="words", **options)


def test_networks_are_trained_on_token_ids() -> None:
    """The label says which of two words is there more often."""
    ids, mask = texts(96)
    labels = torch.arange(96) % 2
    ids = torch.where(
        torch.rand(ids.shape, generator=torch.Generator().manual_seed(1)) < 0.4, labels[:, None] + 1, ids
    )
    options: dict[str, Any] = {"embed": "words", "max_seconds": 300}
    train_set = (ids[:64] * mask[:64], mask[:64]), labels[:64]
    inputs = ids[64:] * mask[64:], mask[64:]
    stale = copy.deepcopy(model())
    blind = check_data_sensitivity(
        lambda m, x, t: gradient(stale, x, t), Reading, train_set, inputs, name="stale", **options
    )
    assert blind.outcome == "fail", blind


def test_what_explains_no_layer_is_skipped_in_an_audit() -> None:
    case = Case(model=model(), inputs=texts(), embed="words")
    found = audit({"gradient": gradient}, case, ["contract", "ignored_input"], progress=False)
    assert found["gradient", "contract"].outcome == "pass"
    assert "embed='words'" in found["gradient", "ignored_input"].skipped
