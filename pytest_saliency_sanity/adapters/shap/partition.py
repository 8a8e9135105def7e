"""SHAP's PartitionExplainer: images as numpy arrays (N, H, W, C), of which parts are hidden."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.lending import lent_to, one_tensor, rows_at_once
from pytest_saliency_sanity.adapters.models import Score
from pytest_saliency_sanity.adapters.options import divided
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.outputs import as_targets

_FILLED = frozenset({"self", "model", "outputs", "silent", "output_names", "feature_names"})


def partition(kind: type, name: str, options: Mapping[str, Any]) -> Adapted:
    """The class; `masker` hides with a number (default: 0), an array (H, W, C), "blur(3,3)", or is SHAP's own."""
    init, call = divided(name, options, kind, kind.__call__, taken=_FILLED)
    masker = init.pop("masker", 0.0)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images, rows = _images(inputs, name)
        wanted = as_targets(targets, len(images))
        hiding = _masker(masker, rows.shape[1:])
        settings = {"batch_size": min(10, rows_at_once(images)), **call}
        found = []
        for place in range(len(images)):
            with lent_to("shap", model):
                made = kind(_function(Score(model, wanted[place : place + 1]), images), hiding, **init)
                found.append(made(rows[place : place + 1], silent=True, **settings).values[..., 0])
        return np.moveaxis(np.concatenate(found), -1, 1)

    return Adapted(explain, name)


def partition_object(owner: Any, name: str, options: Mapping[str, Any]) -> Adapted:
    """An object, which holds a function of arrays (N, H, W, C), and nobody can tell of which model."""
    (call,) = divided(name, options, type(owner).__call__, taken=_FILLED)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images, rows = _images(inputs, name)
        wanted = as_targets(targets, len(images))
        if wanted.ndim == 2:
            raise UnusableExplainer(
                f"an object of shap.{name} takes one class for each image, and no weights of logits; pass the class "
                f"shap.{name}, which is built for each weighted sum"
            )
        with lent_to("shap", model):
            found = [
                owner(rows[place : place + 1], outputs=[int(target)], silent=True, **call).values[..., 0]
                for place, target in enumerate(wanted)
            ]
        return np.moveaxis(np.concatenate(found), -1, 1)

    return Adapted(explain, name, bound=True, factory=f"shap.{name}")


def _images(inputs: Any, name: str) -> tuple[Tensor, Any]:
    images = one_tensor(inputs, name)
    if images.ndim != 4:
        raise NotApplicable(
            f"SHAP's {name} hides parts of images (N, C, H, W), and these inputs have the shape {tuple(images.shape)}"
        )
    return images, np.moveaxis(images.cpu().numpy(), 1, -1).copy()


def _function(score: nn.Module, images: Tensor) -> Any:
    """The score as SHAP calls it: of arrays (n, H, W, C), as an array (n, 1)."""

    def function(rows: Any) -> Any:
        values = torch.as_tensor(np.moveaxis(np.asarray(rows), -1, 1).copy()).to(images)
        with torch.no_grad():
            return score(values).cpu().numpy()

    return function


def _masker(given: Any, shape: tuple[int, ...]) -> Any:
    maskers = import_module("shap").maskers
    if isinstance(given, maskers.Masker):
        return given
    value = np.asarray(given) if isinstance(given, list) else given
    return maskers.Image(value, shape)
