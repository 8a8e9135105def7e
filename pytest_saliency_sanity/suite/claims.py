"""Which axioms an explainer claims: what the user says, else what is known of the method. No library is imported."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.suite.choices import ALL, chosen_checks, unknown
from pytest_saliency_sanity.text import shown

Axioms = Mapping[str, Iterable[str]]
Asked = dict[str, tuple[Check, ...]]  # by the explainer's name


@dataclass(frozen=True)
class _Method:
    """The axioms of a method, and the options that leave them as they are."""

    axioms: frozenset[str]
    options: frozenset[str] = frozenset()


def _method(axioms: str, options: str = "") -> _Method:
    return _Method(frozenset(axioms.split()), frozenset(options.split()))


_OF_GRADIENTS = "linear_oracle ignored_input implementation_invariance"
_STEPS = "steps batch_size n_steps method internal_batch_size"
_NOISE = "samples noise batch_size"
# Of captum's methods with a convergence delta: GradientShap and DeepLiftShap have a distribution of baselines, LRP sums
# to the score itself. DeepLIFT has rules for modules.
METHODS: Mapping[str, _Method] = {
    "explainers:gradient": _method(f"{_OF_GRADIENTS} input_shift"),
    "explainers:smoothgrad": _method(f"{_OF_GRADIENTS} input_shift", _NOISE),
    "explainers:vargrad": _method("ignored_input implementation_invariance input_shift", _NOISE),
    "explainers:input_x_gradient": _method(_OF_GRADIENTS),
    "explainers:integrated_gradients": _method(f"{_OF_GRADIENTS} completeness", _STEPS),
    "captum:IntegratedGradients": _method(f"{_OF_GRADIENTS} completeness", _STEPS),
    "captum:InputXGradient": _method(_OF_GRADIENTS),
    "captum:Saliency": _method("ignored_input implementation_invariance input_shift", "abs"),
    "captum:DeepLift": _method("completeness linear_oracle ignored_input"),
}


def asked_of(explainers: Mapping[str, Any], checks: Any, axioms: Any = None) -> Asked:
    """The checks for each explainer.

    Axioms are asked of those that claim them: with "all", by `axioms` or else by what is known of the method; with
    names of checks, by `axioms` beside these names. A check that is named is asked of every explainer.

    Raises:
        TypeError, ValueError: for an unknown explainer, check or axiom, with the choices.
    """
    known = chosen_checks(checks)
    said = _checked(axioms, explainers)
    every = isinstance(checks, str) and checks == ALL
    return {
        name: of_explainer(explainer, said.get(name), known)
        if every
        else (*known, *(one for one in _axioms() if one.name in said.get(name, ()) and one not in known))
        for name, explainer in explainers.items()
    }


def of_explainer(explainer: Any, said: frozenset[str] | None, checks: Iterable[Check]) -> tuple[Check, ...]:
    """Those of all checks that are asked of an explainer: an axiom only where it is claimed."""
    claimed = known_axioms(explainer) if said is None else said
    return tuple(check for check in checks if not check.axiom or check.name in claimed)


def all_of(asked: Asked) -> tuple[Check, ...]:
    """Each check that is asked of any explainer, once."""
    return tuple({check.name: check for checks in asked.values() for check in checks}.values())


def known_axioms(explainer: Any) -> frozenset[str]:
    """The axioms that a method is known to have; none for one with options that may take them away."""
    key, options = _named(explainer) if isinstance(explainer, str) else _found(explainer)
    method = METHODS.get(key)
    return method.axioms if method is not None and method.options.issuperset(options) else frozenset()


def _named(text: str) -> tuple[str, frozenset[str]]:
    name, brace, rest = text.partition("{")
    try:
        options = json.loads(brace + rest) if brace else {}
    except json.JSONDecodeError:
        return "", frozenset()  # refused where it is loaded
    return name.strip(), frozenset(options)


def _found(explainer: Any) -> tuple[str, frozenset[str]]:
    options: frozenset[str] = frozenset()
    while isinstance(explainer, functools.partial) and not explainer.args:
        options |= frozenset(explainer.keywords)
        explainer = explainer.func
    home, name = str(getattr(explainer, "__module__", "")), str(getattr(explainer, "__name__", ""))
    if home.startswith(f"{__name__.partition('.')[0]}.explainers."):
        return f"explainers:{name}", options
    return f"{home.partition('.')[0]}:{name}", options


def _axioms() -> tuple[Check, ...]:
    return tuple(check for check in chosen_checks() if check.axiom)


def _checked(axioms: Any, explainers: Iterable[str]) -> dict[str, frozenset[str]]:
    if axioms is None:
        return {}
    if not isinstance(axioms, Mapping):
        raise TypeError(
            f'axioms must map an explainer\'s name to the axioms that it claims, such as {{"ig": {{"completeness"}}}}, '
            f"not {shown(axioms)}"
        )
    own, choices = list(explainers), [check.name for check in _axioms()]
    found: dict[str, frozenset[str]] = {}
    for explainer, given in axioms.items():
        if explainer not in own:
            raise ValueError(f"axioms: {unknown('explainer', explainer, own)}")
        names = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
        for name in names:
            if name not in choices:
                raise ValueError(f"axioms[{explainer!r}]: {unknown('axiom', name, choices)}")
        found[explainer] = frozenset(names)
    return found
