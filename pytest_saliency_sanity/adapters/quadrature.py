"""How many steps an explainer takes along its path, where it says so, and the same explainer with more of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pytest_saliency_sanity.adapters.adapted import Adapted, Explain, Quadrature

NAMES = ("steps", "n_steps")
FINER = 8  # times as many steps: a rule of first order is then wrong by a seventh of what that has changed

FINEST = 128  # steps at least: fewer say little of a network with many kinks


def quadrature_of(explainer: Callable[..., Any]) -> Quadrature | None:
    """Its steps, by a keyword `steps` or `n_steps` with a whole number; None where there is none."""
    if isinstance(explainer, Adapted):
        return explainer.quadrature
    keywords = explainer.keywords if isinstance(explainer, functools.partial) else {}
    return quadrature(explainer, keywords, lambda more: functools.partial(explainer, **more))


def quadrature(
    function: Callable[..., Any], options: Mapping[str, Any], again: Callable[[dict[str, Any]], Explain]
) -> Quadrature | None:
    """The steps of a function that takes them.

    Args:
        function: whose signature says the default.
        options: what was given.
        again: the explainer with other options.
    """
    defaults = _defaults(function)
    for name in NAMES:
        steps = options.get(name, defaults.get(name))
        if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0:
            return Quadrature(steps, functools.partial(_with_steps, again, name))
    return None


def _with_steps(again: Callable[[dict[str, Any]], Explain], name: str, steps: int) -> Explain:
    return again({name: steps})


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one.default for name, one in parameters.items()}
