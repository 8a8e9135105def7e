"""Which adapter an explainer needs: told by the library that its class comes from, else by its signature."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import MethodType, ModuleType
from typing import Any

from pytest_saliency_sanity.adapters import callables
from pytest_saliency_sanity.adapters.adapted import Adapted

# The library's top-level module, and the file here that knows it.
LIBRARIES: Mapping[str, str] = {
    "captum": "captum",
    "zennit": "zennit",
    "pytorch_grad_cam": "grad_cam",
    "torchcam": "torchcam",
    "shap": "shap",
    "quantus": "quantus",
}


def adapted(explainer: Any) -> Callable[[Any, Any, Any], Any]:
    """The explainer as a function (model, inputs, targets) -> map.

    It may be such a function, which is returned as it is; a class, an object or a method of captum, zennit,
    pytorch-grad-cam, torchcam, shap or quantus; a function that builds one of these for a model; a class of yours that
    is built from a model; or anything with `.attribute` or `.explain`. `functools.partial` around it gives its options.

    Raises:
        UnusableExplainer: for what cannot be called so; the sentence says what can.
    """
    if isinstance(explainer, Adapted):
        return explainer
    inner, options = _without_partial(explainer)
    owner = inner.__self__ if isinstance(inner, MethodType) else inner
    library = library_of(owner)
    if library is None:
        return callables.adapted(explainer, adapted)
    found: Adapted = (
        library.from_class(owner, options)
        if isinstance(owner, type)
        else library.from_object(owner, options, inner)
    )
    return found


def library_of(owner: Any) -> ModuleType | None:
    """The adapter of the library that a class, an object's class or a function comes from; None for any other."""
    kind = owner if isinstance(owner, type) else type(owner)
    homes = [getattr(owner, "__module__", None), *(base.__module__ for base in kind.__mro__)]
    for home in homes:
        root = str(home).partition(".")[0]
        if root in LIBRARIES:
            return importlib.import_module(f"{__package__}.{LIBRARIES[root]}")
    return None


def _without_partial(explainer: Any) -> tuple[Any, dict[str, Any]]:
    """What is inside of nested partials, and their keywords; positional ones stay where they are."""
    options: dict[str, Any] = {}
    while isinstance(explainer, functools.partial) and not explainer.args:
        options = {**explainer.keywords, **options}
        explainer = explainer.func
    return explainer, options
