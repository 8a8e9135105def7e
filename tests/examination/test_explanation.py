"""What an explainer may return and raise: each breach has its reason and its sentence; what only "
"looks odd is fine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    ExplainerContractError,
    Verdict,
    assert_contract,
    assert_model_sensitive,
    assert_target_sensitive,
    check_contract,
    check_model_sensitivity,
)
from pytest_saliency_sanity.examination.explanation import check_scores
from pytest_saliency_sanity.examination.meter import Stopped
from pytest_saliency_sanity.explainers import gradient
from tests.checks.models import cnn, images, signal_cnn, tabular, two_branches
from tests.examination.explaining import Explainer, kept, made_of
from tests.perturbations.state import state_of

# What the model says of changed images.


def test_scores_that_are_not_finite_are_counted() -> None:
    scores = torch.zeros(5, 3)
    check_scores(scores, "with pixels deleted")
    scores[1, 2], scores[3] = torch.nan, torch.inf
    with pytest.raises(
        Stopped, match=r"^the model's logits are not finite for 2 of 5 images with dots; try another"
    ):
        check_scores(scores, "with dots")


# What comes back.

RETURNED = {
    "side": (
        lambda maps: maps[..., :-1],
        "contract.shape",
        "it returned maps of shape (8, 1, 12, 11) for inputs of shape (8, 1, 12, 12); the shape must be one of "
        "(8, 1, 12, 12), (8, 12, 12)",
    ),
    "flat": (
        lambda maps: maps.flatten(1),
        "contract.shape",
        "it returned maps of shape (8, 144) for inputs of shape (8, 1, 12, 12); the shape must be one of (8, 1, "
        "12, 12), (8, 12, 12)",
    ),
    "one map": (lambda maps: maps.mean(0), "contract.count", "it returned maps of shape (1, 12, 12) for 8 "
        "inputs; one map for each is needed"),
    "a number": (lambda maps: maps.sum(), "contract.count", "it returned maps of shape () for 8 inputs; one map "
        "for each is needed"),
    "too many": (
        lambda maps: maps.repeat(2, 1, 1, 1),
        "contract.count",
        "it returned maps of shape (16, 1, 12, 12) for 8 inputs; one map for each is needed",
    ),
    "nan": (lambda maps: maps * torch.nan, "contract.finite", "it returned NaN in 8 of 8 maps"),
    "inf": (
        lambda maps: maps.index_fill(0, torch.tensor([3]), torch.inf),
        "contract.finite",
        "it returned infinite values in 1 of 8 maps",
    ),
    "nothing": (lambda maps: None, "contract.type", "it returned NoneType; a tensor or an array "
        "of real numbers is needed"),
    "complex": (
        lambda maps: maps + 1j,
        "contract.type",
        "it returned torch.complex64; a tensor or an array of real numbers is needed",
    ),
    "complex array": (
        lambda maps: maps.numpy() + 1j,
        "contract.type",
        "it returned complex64; a tensor or an array of real numbers is needed",
    ),
    "strings": (
        lambda maps: np.full(maps.shape, "a"),
        "contract.type",
        "it returned <U1; a tensor or an array of real numbers is needed",
    ),
    "a list": (
        list,
        "contract.type",
        "it returned a list of 8; one tensor is needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, reason, sentence", RETURNED.values(), ids=RETURNED)
def test_maps_that_are_none(change: Callable[[Tensor], Any], reason: str, sentence: str) -> None:
    verdict = check_contract(made_of(change), cnn(), images(), name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", reason)
    assert verdict.summary == f"mine broke the contract: {sentence}"


def test_one_map_for_two_inputs() -> None:
    verdict = check_contract(
        made_of(lambda maps: maps[0]), two_branches(), (images(), images(shape=(2, 40))), name="mine"
    )
    assert verdict.reason == "contract.type"
    assert (
        verdict.summary
        == "mine broke the contract: it returned one Tensor for the 2 inputs of the model; a map for each is needed"
    )


def test_choices_of_an_input_with_several_channels() -> None:
    verdict = check_contract(made_of(lambda maps: maps[:, :2]), cnn(channels=3), images(shape=(3, 12, 12)))
    assert "the shape must be one of (8, 3, 12, 12), (8, 1, 12, 12), (8, 12, 12)" in verdict.summary


FINE = {
    "as the input": lambda maps: maps,
    "one channel": lambda maps: maps.sum(1, keepdim=True),
    "no channel": lambda maps: maps.sum(1),
    "array": lambda maps: maps.numpy(),
    "reversed array": lambda maps: maps.numpy()[..., ::-1],
    "big-endian array": lambda maps: maps.numpy().astype(">f4"),
    "long double": lambda maps: maps.numpy().astype(np.longdouble),
    "half array": lambda maps: (1e3 * maps).numpy().astype(np.float16),
    "whole numbers": lambda maps: (1e6 * maps).long(),
    "half": lambda maps: (1e3 * maps).half(),
    "bfloat16": lambda maps: maps.bfloat16(),
    "double": lambda maps: maps.double(),
    "with a graph": lambda maps: maps.requires_grad_() * 2,
    "huge": lambda maps: 1e12 * maps,
    "tiny": lambda maps: 1e-12 * maps,
    "not contiguous": lambda maps: maps.transpose(2, 3).contiguous().transpose(2, 3),
    "in a tuple": lambda maps: (maps,),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_maps_that_are_fine(change: Callable[[Tensor], Any]) -> None:
    assert kept(check_contract(made_of(change), cnn(channels=3), images(shape=(3, 12, 12))))


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_maps_that_are_fine_do_not_change_the_verdict(change: Callable[[Tensor], Any]) -> None:
    model, inputs = cnn(channels=3), images(8, (3, 12, 12))
    expected, found = (
        check_model_sensitivity(explainer, model, inputs, profile="smoke")
        for explainer in (gradient, made_of(change))
    )
    assert found.outcome == expected.outcome == "pass"
    assert found.statistic == pytest.approx(expected.statistic, abs=0.01)


def test_signals() -> None:
    signals = images(8, (2, 40))
    for change in (lambda maps: maps, lambda maps: maps.sum(1, keepdim=True), lambda maps: maps.sum(1)):
        assert kept(check_contract(made_of(change), signal_cnn(), signals))


def test_tables() -> None:
    assert kept(check_contract(gradient, tabular(), images(8, (24,))))
    verdict = check_contract(made_of(lambda maps: maps.sum(1)), tabular(), images(8, (24,)), name="mine")
    assert (
        verdict.summary
        == "mine broke the contract: it returned maps of shape (8,) for inputs of shape (8, 24); the shape must "
        "be one of (8, 24)"
    )


def test_a_tuple_of_inputs() -> None:
    inputs = images(), images(shape=(2, 40))
    assert kept(check_contract(gradient, two_branches(), inputs))
    assert kept(check_contract(made_of(list), two_branches(), list(inputs)))


# Exceptions.


class OwnError(Exception):
    pass


def raising(error: BaseException) -> Explainer:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        model[0].weight.data.zero_()
        model.train()
        raise error

    return explainer


@pytest.mark.parametrize("text, shown", [("no layer\nat all", ": no layer"), ("", "")])
@pytest.mark.parametrize("assertion", [assert_contract, assert_model_sensitive, assert_target_sensitive])
def test_an_exception_is_carried(assertion: Callable[..., Verdict], text: str, shown: str) -> None:
    error, model = OwnError(text), cnn()
    before = state_of(model)
    with pytest.raises(ExplainerContractError) as caught:
        assertion(raising(error), model, images(), name="mine")
    assert caught.value.__cause__ is error is caught.value.verdict.exception
    assert caught.value.verdict.reason == "contract.exception"
    assert caught.value.verdict.summary == f"mine broke the contract: it raised OwnError{shown}"
    assert state_of(model) == before


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity])
def test_an_interrupt_passes_through(check: Callable[..., Verdict], interrupt: type[BaseException]) -> None:
    model = cnn().train()
    before = state_of(model)
    with pytest.raises(interrupt):
        check(raising(interrupt()), model, images())
    assert state_of(model) == before
