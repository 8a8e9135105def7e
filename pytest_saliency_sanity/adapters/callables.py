"""Explainers of a project's own: functions with other arguments, objects, classes and functions that build them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.text import name_of, shown

Again = Callable[[Any], Callable[[Any, Any, Any], Any]]

# What parameters are called that take the model, the inputs and the targets.
ROLES = {
    "model": frozenset("model net network module classifier".split()),  # noqa: SIM905 - a line each
    "inputs": frozenset("inputs input x xs images image input_tensor x_batch data batch".split()),  # noqa: SIM905
    "targets": frozenset("targets target y ys labels label y_batch classes class_idx".split()),  # noqa: SIM905
}
_AS_TWO = (
    "a function of two parameters is called as (inputs, targets); let it take three, (model, inputs, targets), to get "
    "the model as well"
)
_METHODS = ("attribute", "explain")


def adapted(explainer: Any, again: Again) -> Callable[[Any, Any, Any], Any]:
    """A function (model, inputs, targets) -> map.

    Args:
        explainer: anything but what a known library has made.
        again: adapts what a function returns that builds explainers.
    """
    if isinstance(explainer, type):
        return _of_class(explainer, again)
    if not callable(explainer):
        return _of_object(explainer)
    try:
        parameters = list(inspect.signature(explainer).parameters.values())
    except (TypeError, ValueError):  # C functions
        return explainer  # type: ignore[no-any-return]
    return _of_function(explainer, parameters, again)


def _of_class(kind: type, again: Again) -> Adapted:
    """A class whose objects are built from a model: one for each model that is explained."""
    parameters = list(inspect.signature(kind).parameters.values()) if _has_signature(kind) else []
    required = [one for one in parameters if _is_required(one)]
    if len(required) != 1:
        raise UnusableExplainer(
            f"the explainer is the class {kind.__name__} itself; pass a function "
            f"explainer(model, inputs, targets), or a callable instance of the class"
        )
    return _built(kind, again)


def _built(build: Callable[[Any], Any], again: Again) -> Adapted:
    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        made = build(model)
        if not callable(made) and not any(hasattr(made, method) for method in _METHODS):
            raise UnusableExplainer(
                f"{name_of(build)} takes one argument, so it is called with the model to build an explainer; it "
                f"returned {shown(made)}; an explainer is called as explainer(model, inputs, targets)"
            )
        return again(made)(model, inputs, targets)

    return Adapted(explain, name_of(build))


def _of_object(explainer: Any) -> Adapted:
    """An object with `.attribute(inputs, target)` or `.explain(...)`."""
    method = next((getattr(explainer, name) for name in _METHODS if hasattr(explainer, name)), None)
    if not callable(method):
        raise UnusableExplainer(
            f"an explainer is called as explainer(model, inputs, targets); {shown(explainer)} is not callable"
        )
    call = _by_names(method, list(inspect.signature(method).parameters.values()))
    name = type(explainer).__name__
    if call is not None:
        return Adapted(call.explain, name, call.bound, tuple(modules_of(explainer)))
    return Adapted(lambda model, inputs, targets: method(model, inputs, targets), name)


def _of_function(
    explainer: Callable[..., Any], parameters: list[inspect.Parameter], again: Again
) -> Callable[[Any, Any, Any], Any]:
    required = [one for one in parameters if _is_required(one)]
    takes_three = _takes(parameters, 3) and not any(one.kind is one.KEYWORD_ONLY for one in required)
    inputs_first = bool(parameters) and parameters[0].name in ROLES["inputs"]
    if takes_three and not (inputs_first and _has_roles(parameters, required)):
        return explainer
    if call := _by_names(explainer, parameters):
        return call
    if len(required) == 1 and not _takes(parameters, 2):
        return _built(explainer, again)
    if len(required) == 2 and not _takes(parameters, 3) and required[0].name not in ROLES["model"]:
        return Adapted(
            lambda model, inputs, targets: explainer(inputs, targets), name_of(explainer), bound=True,
            called_as=_AS_TWO,
        )  # fmt: skip
    return explainer


def _by_names(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> Adapted | None:
    """Called by its parameters' names, where these say which is which; bound, where it does not take a model."""
    if not _has_roles(parameters, [one for one in parameters if _is_required(one)]):
        return None
    names = {role: one.name for one in parameters for role in ROLES if one.name in ROLES[role]}

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        values = {"model": model, "inputs": inputs, "targets": targets}
        return function(**{name: values[role] for role, name in names.items()})

    return Adapted(explain, name_of(function), bound="model" not in names)


def _has_roles(parameters: list[inspect.Parameter], required: list[inspect.Parameter]) -> bool:
    """Whether the names say which parameters take inputs and targets, and what each required one takes."""
    named = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    roles = [role for name in named for role, names in ROLES.items() if name in names]
    known = all(any(one.name in names for names in ROLES.values()) for one in required)
    return known and "inputs" in roles and "targets" in roles and len(set(roles)) == len(roles)


def modules_of(owner: Any) -> Iterator[nn.Module]:
    """The modules that an object holds by its attributes."""
    for value in getattr(owner, "__dict__", {}).values():
        value = getattr(value, "__self__", value)  # a method of the model
        if isinstance(value, nn.Module):
            yield value


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is parameter.empty and parameter.kind not in (
        parameter.VAR_POSITIONAL,
        parameter.VAR_KEYWORD,
    )


def _takes(parameters: list[inspect.Parameter], count: int) -> bool:
    """Whether so many positional arguments are accepted."""
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= count or any(one.kind is one.VAR_POSITIONAL for one in parameters)


def _has_signature(kind: type) -> bool:
    try:
        inspect.signature(kind)
    except (TypeError, ValueError):
        return False
    return True
