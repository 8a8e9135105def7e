"""A library's options: which belong to the constructor, and which to the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer


def divided(
    name: str, options: Mapping[str, Any], *functions: Callable[..., Any], taken: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], ...]:
    """The options of each function by its parameters' names; the first that has a name gets it.

    Args:
        name: what messages call the explainer.
        functions: the constructor and the method that explains.
        taken: parameters that the adapter fills itself.

    Raises:
        UnusableExplainer: for an option that none of them has, with the choices.
    """
    names = [[one for one in parameters(function) if one not in taken] for function in functions]
    found: tuple[dict[str, Any], ...] = tuple({} for _ in functions)
    for option, value in options.items():
        place = next((place for place, known in enumerate(names) if option in known), None)
        if place is None:
            choices = dict.fromkeys(one for known in names for one in known)
            raise UnusableExplainer(
                f"{name} has no option {option!r}; choose from {', '.join(choices) or 'none'}"
            )
        found[place][option] = value
    return found


def known(name: str, options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options, where each has one of these names.

    Raises:
        UnusableExplainer: for one that has not, with the choices.
    """
    for option in options:
        if option not in names:
            raise UnusableExplainer(f"{name} has no option {option!r}; choose from {', '.join(names)}")
    return dict(options)


def parameters(function: Callable[..., Any]) -> list[str]:
    """The names of what a function takes by name, without `self`."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
