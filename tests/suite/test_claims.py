"""Axioms are asked of explainers that claim them, and of no others."""

from __future__ import annotations

from functools import partial
from typing import Any

import captum.attr
import pytest

from pytest_saliency_sanity import (
    Case,
    SaliencySanitySuite,
    audit,
    explainers,
    parametrize_with_sanity_checks,
)
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.suite.claims import METHODS, asked_of, known_axioms

AXIOMS = {check.name for check in CHECKS if check.axiom}


def names(asked: Any, explainer: str) -> set[str]:
    return {check.name for check in asked[explainer]} & AXIOMS


def test_all_asks_for_what_is_known_or_said() -> None:
    given = {"ig": explainers.integrated_gradients, "sobel": explainers.sobel, "own": lambda m, x, t: x}
    asked = asked_of(given, "all")
    assert names(asked, "ig") == AXIOMS - {"input_shift"}
    assert names(asked, "sobel") == names(asked, "own") == set()
    asked = asked_of(given, "all", {"own": {"completeness"}, "ig": ()})
    assert names(asked, "own") == {"completeness"} and names(asked, "ig") == set()


def test_named_checks_are_asked_of_all_and_axioms_of_those_that_claim_them() -> None:
    given = {"ig": explainers.integrated_gradients, "sobel": explainers.sobel}
    assert names(asked_of(given, ["contract"]), "ig") == set()
    asked = asked_of(given, ["contract", "input_shift"], {"ig": "completeness"})
    assert [check.name for check in asked["ig"]] == ["contract", "input_shift", "completeness"]
    assert [check.name for check in asked["sobel"]] == ["contract", "input_shift"]


KNOWN = {
    "a class": (captum.attr.IntegratedGradients, True),
    "its name": ("captum:IntegratedGradients", True),
    "our name": ("explainers:integrated_gradients", True),
    "steps": (partial(captum.attr.IntegratedGradients, n_steps=20), True),
    "steps in a name": ('captum:IntegratedGradients{"n_steps": 20}', True),
    "another baseline": (partial(explainers.integrated_gradients, baseline=0.5), False),
    "another baseline in a name": ('captum:IntegratedGradients{"baselines": 0.5}', False),
    "no JSON": ("captum:IntegratedGradients{", False),
    "an object": (captum.attr.IntegratedGradients(lambda x: x), False),
    "a wrapper": (lambda m, x, t: explainers.integrated_gradients(m, x, t), False),
    "another method": (explainers.guided_backprop, False),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_what_is_known(kind: str) -> None:
    explainer, claims = KNOWN[kind]
    assert ("completeness" in known_axioms(explainer)) == claims


def has_delta(kind: type) -> bool:
    """Whether captum's class says so; its objects are asked without being built."""
    return issubclass(kind, captum.attr.Attribution) and bool(kind.has_convergence_delta(kind.__new__(kind)))


def test_they_are_the_methods_of_captum_with_a_convergence_delta() -> None:
    kinds = [one for one in vars(captum.attr).values() if isinstance(one, type)]
    of_inputs = {
        one.__name__
        for one in kinds
        if not one.__name__.startswith(("Layer", "Neuron", "Noise")) and has_delta(one)
    }
    complete = {key.partition(":")[2] for key, method in METHODS.items() if "completeness" in method.axioms}
    distributions_or_the_score_itself = {"DeepLiftShap", "GradientShap", "LRP"}
    assert of_inputs - distributions_or_the_score_itself == complete - {"integrated_gradients"}


@pytest.mark.parametrize("key", METHODS)
def test_what_they_are_known_to_have_they_have(key: str, case: Case) -> None:
    found = audit({"it": key}, case, sorted(METHODS[key].axioms), progress=False)
    assert {one.outcome for one in found} == {"pass"}, str(found)


REFUSED = {
    "no mapping": ({"completeness"}, TypeError, "axioms must map an explainer's name to the axioms that it claims"),
    "an unknown explainer": ({"gi": {"completeness"}}, ValueError, "axioms: unknown explainer 'gi'"),
    "an unknown axiom": ({"ig": {"complete"}}, ValueError, "did you mean 'completeness'?"),
    "no axiom": ({"ig": "contract"}, ValueError, "axioms['ig']: unknown axiom 'contract'; choose from completeness,"),
    "a number": ({"ig": 3}, ValueError, "axioms['ig']: unknown axiom 3"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind: str) -> None:
    axioms, error, words = REFUSED[kind]
    with pytest.raises(error) as raised:
        parametrize_with_sanity_checks({"ig": explainers.integrated_gradients}, axioms=axioms)
    assert words in str(raised.value)


def test_a_failure_of_what_is_not_asked_is_not_expected() -> None:
    expected = {"sobel": {"completeness": "edges"}}
    with pytest.raises(ValueError, match="unknown check 'completeness'"):
        parametrize_with_sanity_checks({"sobel": explainers.sobel}, expected_failed_checks=expected)
    parametrize_with_sanity_checks(
        {"sobel": explainers.sobel}, axioms={"sobel": ["completeness"]}, expected_failed_checks=expected
    )


def test_a_class_and_a_table_take_them_too(case: Case) -> None:
    made: Any = type(
        "TestThem",
        (SaliencySanitySuite,),
        {"explainers": {"g": explainers.gradient}, "checks": "contract", "axioms": {"g": "ignored_input"}},
    )
    ids = [one.id for one in made.test_explainer.pytestmark[0].args[1]]
    assert ids == ["g-contract", "g-ignored_input"]
    found = audit(
        {"g": explainers.gradient, "s": explainers.sobel},
        case,
        "contract",
        axioms={"s": "ignored_input"},
        progress=False,
    )
    assert [(one.explainer, one.check, one.outcome) for one in found] == [
        ("g", "contract", "pass"),
        ("s", "contract", "pass"),
        ("s", "ignored_input", "fail"),
    ]
    assert "FAIL" in str(found) and "<td></td>" in found._repr_html_()
