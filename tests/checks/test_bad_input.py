"""No exception out of the package's inside: bad input of any kind gets one sentence, or a verdict that is no pass."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import pytest_saliency_sanity as package
from pytest_saliency_sanity import TrueAndPermuted, Verdict, check_contract, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient
from tests.checks.bad_input import JUNK, OWN, kinds
from tests.checks.models import cnn, images

LABELS = torch.arange(8) % 2
ARGUMENTS: dict[str, dict[str, Any]] = {
    "contract": {}, "model_sensitivity": {}, "target_sensitivity": {}, "consistency": {},
    "occlusion_sensitivity": {}, "insertion_deletion": {"steps": 4},
    "localization": {"regions": (torch.arange(12) < 6).expand(8, 12, 12)},
    "distancing": {
        "labels": LABELS, "classes": (0, 1), "alphas": (1.0,), "epochs": 1, "min_agreement": 0.0,
        "data": (images(8), LABELS),
    },
    "data_sensitivity": {},
    "completeness": {}, "linear_oracle": {}, "ignored_input": {}, "implementation_invariance": {}, "input_shift": {},
}  # fmt: skip
CHECKS = tuple(ARGUMENTS)
TABLE = [(argument, name, make) for argument, table in kinds().items() for name, make in table.items()]
IDS = [f"{argument}-{name}" for argument, name, _ in TABLE]


def function(check: str) -> Callable[..., Verdict]:
    return getattr(package, f"check_{check}")


def takes(check: str, argument: str) -> bool:
    parameters = inspect.signature(function(check)).parameters
    return argument in ("explainer", "model", "inputs") or argument in parameters


def called(check: str, options: dict[str, Any]) -> Verdict:
    """The check of the plain gradient on a small network, but for the options."""
    given = {
        "explainer": gradient,
        "model": cnn(),
        "inputs": images(8),
        "profile": "smoke",
        **ARGUMENTS[check],
    }
    given = {**given, **options}
    if "input_shape" in options:
        given["inputs"] = None
    first = [given.pop(name) for name in ("explainer", "model", "inputs")]
    if check != "data_sensitivity":
        return function(check)(*first, **given)
    others = [cnn(seed=seed) for seed in (1, 2, 3)]
    given.setdefault("models", TrueAndPermuted(true=[first[1], others[0]], permuted=others[1:]))
    return function(check)(first[0], inputs=first[2], **given)


def wrong(call: Callable[[], Verdict], may_pass: bool = False) -> str:
    """What is wrong with the answer to bad input; "" for a sentence of the package's own or a verdict."""
    try:
        verdict = call()
    except (TypeError, ValueError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if "pytest_saliency_sanity" not in last.filename or not last.line.startswith("raise"):
            return f"{type(error).__name__} out of {last.filename}:{last.lineno}: {error}"
        return f"not one line: {error}" if "\n" in str(error) or not str(error) else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if may_pass or verdict.outcome != "pass" else f"it passes: {verdict.summary}"


def answers(checks: tuple[str, ...], argument: str, make: Callable[[], Any]) -> Iterator[str]:
    for check in checks:
        value = make()
        name, value = value if argument == "option" else (argument, value)
        if takes(check, name) and (value is not None or make() is None):
            found = wrong(partial(called, check, {name: value}))
            if found:
                yield f"{check}: {found}"


def test_there_are_many_kinds() -> None:
    assert len(TABLE) >= 150


@pytest.mark.parametrize("argument, name, make", TABLE, ids=IDS)
def test_it_gets_a_sentence_or_a_verdict(argument: str, name: str, make: Callable[[], Any]) -> None:
    """By the contract and one more check; which one changes from kind to kind."""
    other = CHECKS[1:][IDS.index(f"{argument}-{name}") % (len(CHECKS) - 1)]
    assert list(answers(("contract", other), argument, make)) == []


@pytest.mark.extended
@pytest.mark.parametrize("argument, name, make", TABLE, ids=IDS)
def test_of_every_check(argument: str, name: str, make: Callable[[], Any]) -> None:
    assert list(answers(CHECKS, argument, make)) == []


@pytest.mark.covering
@pytest.mark.parametrize(
    "check, option", [(check, option) for check, options in OWN.items() for option in options]
)
def test_options_of_their_own(check: str, option: str) -> None:
    """What is no nonsense for this option may pass."""
    found = {
        name: wrong(partial(called, check, {option: value}), may_pass=True) for name, value in JUNK.items()
    }
    assert {name: sentence for name, sentence in found.items() if sentence} == {}


# Sentences that name the argument and show the value.

SENTENCES = {
    "max_seconds": ({"max_seconds": "a"}, "max_seconds must be a number of seconds above 0, not 'a'"),
    "name": ({"name": 3}, "name must be a string (it names the explainer in messages), not 3"),
    "input_shape": (
        {"inputs": None, "input_shape": "224"},
        "input_shape must be (C, H, W), such as (3, 224, 224), not '224'",
    ),
    "NaN weights": (
        {"targets": torch.tensor([[1.0, torch.nan, 0, 0]] * 8)},
        "Weights must be finite: that of class 1 for input 0 is nan.",
    ),
    "infinite weights": (
        {"targets": torch.tensor([[1.0, 0, 0, torch.inf]] * 8)},
        "Weights must be finite: that of class 3 for input 0 is inf.",
    ),
    "weights of zero": (
        {"targets": torch.ones(8, 4) * (torch.arange(8) != 3)[:, None]},
        "All weights of input 3 are 0: its score is 0 whatever the model returns.",
    ),
    "sparse inputs": (
        {"inputs": torch.rand(8, 12).to_sparse()},
        "inputs must be tensors (N, C, *S) of numbers; this one is sparse (torch.sparse_coo); pass .to_dense()",
    ),
    "masked inputs": (
        {"inputs": np.ma.masked_all((8, 1, 12, 12))},
        "inputs is a masked array with 1152 of 1152 values masked; pass .filled(...)",
    ),
}


@pytest.mark.parametrize(
    "check, options, sentence",
    [
        pytest.param(check, options, sentence, id=f"{check.__name__}-{name}")
        for name, (options, sentence) in SENTENCES.items()
        for check in (check_contract, check_model_sensitivity)
        if takes(check.__name__.removeprefix("check_"), next(reversed(options)))
    ],
)
def test_the_argument_is_named_and_the_value_shown(
    check: Any, options: dict[str, Any], sentence: str
) -> None:
    given = {"inputs": images(8), **options}
    with pytest.raises((TypeError, ValueError)) as caught:
        check(gradient, cnn(), given.pop("inputs"), **given)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("seconds", [np.int64(60), np.float32(60), 60])
def test_numbers_of_numpy_are_numbers(seconds: Any) -> None:
    verdict = check_model_sensitivity(gradient, cnn(), images(8), max_seconds=seconds, seed=np.int64(3))
    assert verdict.seed == 3 and verdict.reason != "budget"


@pytest.mark.parametrize("mask", [True, False])
def test_a_masked_array_is_no_map(mask: bool) -> None:
    def explainer(model: Any, inputs: Any, targets: Any) -> Any:
        maps = gradient(model, inputs, targets).numpy()
        return np.ma.array(maps, mask=np.full(maps.shape, True) if mask else maps > 0)

    verdict = check_contract(explainer, cnn(), images(8))
    assert verdict.reason == "contract.finite" and "values masked; return .filled(0)" in verdict.summary
