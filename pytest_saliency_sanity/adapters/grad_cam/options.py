"""pytorch-grad-cam's options: those that are names, and defaults that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer
from pytest_saliency_sanity.adapters.lending import rows_at_once
from pytest_saliency_sanity.adapters.options import parameters
from pytest_saliency_sanity.text import shown

LIBRARY = "pytorch_grad_cam"
_NAMED = {  # options that may be the name of something in these modules
    "base_method": (LIBRARY,),
    "ablation_layer": (LIBRARY,),
    "reshape_transform": (f"{LIBRARY}.utils.reshape_transforms",),
}


def defaults(kind: type, images: Tensor) -> dict[str, Any]:
    """Arguments whose default does not fit: a shared object, a batch that is too large, another device."""
    known = parameters(kind)
    found: dict[str, Any] = {}
    if "ablation_layer" in known:  # one for all objects, which keeps the last activations
        found["ablation_layer"] = import_module(LIBRARY).AblationLayer()
    if "batch_size" in known:
        found["batch_size"] = min(32, rows_at_once(images))
    if "use_cuda" in known:  # before version 1.5
        found["use_cuda"] = images.is_cuda
    return found


def found_by_name(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with what some of them name: a class, or a function that reshapes."""
    return {
        option: _by_name(option, value) if option in _NAMED and isinstance(value, str) else value
        for option, value in options.items()
    }


def _by_name(option: str, name: str) -> Any:
    for home in _NAMED[option]:
        if hasattr(import_module(home), name):
            found = getattr(import_module(home), name)
            return found() if option == "ablation_layer" else found
    raise UnusableExplainer(f"pytorch-grad-cam has no {option} {shown(name)}")
