"""Explainers by name, as they stand on a command line: `captum:Occlusion{"sliding_window_shapes": [1, 8, 8]}`."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import json
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer
from pytest_saliency_sanity.adapters.recognition import LIBRARIES
from pytest_saliency_sanity.text import shown

# What a name may begin with, the library's own name or that of its distribution, and its adapter.
PREFIXES = {**LIBRARIES, "grad_cam": "grad_cam", "grad-cam": "grad_cam", "pytorch-grad-cam": "grad_cam"}
BUILT_IN = "explainers"


def named(text: str) -> Any:
    """The explainer that `text` names: a class or a function, in a `functools.partial` where options follow in JSON.

    `captum:NAME`, `zennit:NAME`, `grad-cam:NAME`, `torchcam:NAME`, `shap:NAME` and `quantus:METHOD` are those of the
    libraries, `explainers:NAME` this package's own, and `package.module:name` anything that can be imported.

    Raises:
        UnusableExplainer: for a name that cannot be found, with the choices.
    """
    prefix, rest, options = parted(text, "the explainer", [BUILT_IN, *LIBRARIES.values()])
    if prefix == BUILT_IN:
        found = _attribute(imported("pytest_saliency_sanity.explainers", text), rest, text)
    elif prefix in PREFIXES:
        found, options = _of_library(PREFIXES[prefix], rest, options, text)
    else:
        found = attribute(prefix, rest, text)
    return functools.partial(found, **options) if options else found


def parted(text: str, what: str, libraries: Iterable[str]) -> tuple[str, str, dict[str, Any]]:
    """What stands before and behind the colon, and the options in JSON behind that.

    Args:
        what: is named, "the explainer" or "the model".
        libraries: what may stand before the colon, beside a module.

    Raises:
        UnusableExplainer: for a name without a colon, and for options that are no JSON object.
    """
    name, brace, rest = text.partition("{")
    prefix, _, path = name.strip().partition(":")
    if not path:
        raise UnusableExplainer(
            f"{what} {shown(text)} must be written as LIBRARY:NAME or package.module:name; LIBRARY is one of "
            f"{', '.join(libraries)}"
        )
    return prefix, path, _options(brace + rest, f"{what} {shown(text)}") if brace else {}


def attribute(module: str, path: str, text: str) -> Any:
    """`path`, which may have dots, in an importable module.

    Raises:
        UnusableExplainer: where there is none, with names that are nearly right.
    """
    return _attribute(imported(module, text), path, text)


def _options(text: str, whose: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnusableExplainer(
            f'the options of {whose} must be a JSON object such as {{"n_steps": 20}}: {error}'
        ) from None
    return options


def _of_library(adapter: str, name: str, options: dict[str, Any], text: str) -> tuple[Any, dict[str, Any]]:
    home = importlib.import_module(f"{__package__}.{adapter}")
    places = [imported(place, text) for place in home.PLACES]
    if hasattr(home, "by_name"):
        return home.by_name(name, options)  # type: ignore[no-any-return]
    for place in places:
        if inspect.isclass(found := getattr(place, name, None)):
            return found, options
    raise UnusableExplainer(f"{adapter} has no explainer {name!r}; {_choices(places, name)}")


def _choices(places: list[ModuleType], name: str) -> str:
    names = sorted(
        one
        for place in places
        for one in dir(place)
        if inspect.isclass(getattr(place, one)) and not one.startswith("_")
    )
    near = difflib.get_close_matches(name, names, 3)
    return f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"


def imported(module: str, text: str) -> ModuleType:
    """A module that `text` needs.

    Raises:
        UnusableExplainer: where it cannot be imported, with what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        hint = (
            f"; install it with `pip install {_DISTRIBUTIONS[missing]}`" if missing in _DISTRIBUTIONS else ""
        )
        raise UnusableExplainer(f"{shown(text)}: {error}{hint}") from error


def _attribute(found: Any, path: str, text: str) -> Any:
    for part in path.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, [one for one in dir(found) if not one.startswith("_")], 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise UnusableExplainer(
                f"{shown(text)}: {getattr(found, '__name__', found)!r} has no {part!r}{hint}"
            )
        found = getattr(found, part)
    return found


_DISTRIBUTIONS = {
    "captum": "captum",
    "zennit": "zennit",
    "pytorch_grad_cam": "grad-cam",
    "torchcam": "torchcam",
    "shap": "shap",
    "quantus": "quantus",
    "timm": "timm",
    "transformers": "transformers",
    "torchvision": "torchvision",
}
