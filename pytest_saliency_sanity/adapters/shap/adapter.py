"""SHAP: its Gradient-, Deep- and PartitionExplainer, of each image's own target only."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.lending import lent_to, rows_at_once
from pytest_saliency_sanity.adapters.models import Score
from pytest_saliency_sanity.adapters.options import divided
from pytest_saliency_sanity.adapters.shap.partition import partition, partition_object
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.loans import lent, loan
from pytest_saliency_sanity.outputs import as_targets
from pytest_saliency_sanity.text import name_of

PLACES = ("shap",)
_FILLED = frozenset({"model", "X", "session", "learning_phase_flags", "ranked_outputs", "output_rank_order"})
_WITHOUT = _FILLED | {"return_variances"}  # a second array
_KERNEL = "captum:KernelShap, which takes the same samples on superpixels"


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """A class; `data` is its background, of which the default is one input of zeros."""
    name = name_of(functools.partial(kind, **options)) if options else kind.__name__
    if issubclass(kind, import_module("shap").PartitionExplainer):
        return partition(kind, name, options)
    _check_kind(kind)
    init, call = divided(name, options, kind, kind.shap_values, taken=_WITHOUT)  # type: ignore[attr-defined]

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        data = _background(init.get("data"), inputs)
        settings = {key: value for key, value in init.items() if key != "data"}
        if _is_gradient(kind):
            settings.setdefault("batch_size", min(50, rows_at_once(_parts(inputs)[0])))
        return _values(kind, model, data, settings, inputs, targets, call)

    return Adapted(explain, name)


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """An explainer or its method: with its own background and settings, on the model that it holds."""
    kind = type(owner)
    name = kind.__name__
    if isinstance(owner, import_module("shap").PartitionExplainer):
        return partition_object(owner, name, options)
    _check_kind(kind)
    (call,) = divided(name, options, kind.shap_values, taken=_WITHOUT)
    inner = owner.explainer
    held, data = inner.model, tuple(inner.data) if inner.multi_input else inner.data[0]
    settings = {key: getattr(inner, key) for key in ("batch_size", "local_smoothing") if hasattr(inner, key)}
    if inner.interim:
        raise UnusableExplainer(
            f"this {name} of SHAP explains the input of a layer, and not that of the model; build it with the model "
            f"alone, or take a layer method such as captum's LayerGradCam"
        )

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        return _values(kind, held, data, settings, inputs, targets, call)

    return Adapted(explain, name, bound=True, holds=(held,), factory=f"shap.{name}")


def _values(
    kind: type, model: nn.Module, data: Any, settings: Any, inputs: Any, targets: Any, call: Any
) -> Any:
    """The values of each input for its own target: an explainer of that score alone, an input at a time."""
    parts = _parts(inputs)
    wanted = as_targets(targets, len(parts[0]))
    found = []
    for place in range(len(wanted)):
        row = [part[place : place + 1].detach().clone() for part in parts]
        with lent_to("shap", model), _default_dtype(parts[0].dtype):
            made = kind(Score(model, wanted[place : place + 1]), _given(data), **settings)
            found.append(_one(_explained(made, row if isinstance(inputs, tuple) else row[0], call), row))
    joined = tuple(np.concatenate(values) for values in zip(*found, strict=True))
    return joined if isinstance(inputs, tuple) else joined[0]


def _one(values: Any, row: list[Tensor]) -> list[Any]:
    """An array of each input's own shape: SHAP adds a dimension, or a list, for the one output."""
    several = values if isinstance(values, list) else [values]
    return [np.asarray(one).reshape(part.shape) for one, part in zip(several, row, strict=True)]


def _parts(inputs: Any) -> tuple[Tensor, ...]:
    return inputs if isinstance(inputs, tuple) else (inputs,)


def _background(data: Any, inputs: Any) -> Any:
    """The background: that given, on the inputs' device and in their dtype, or zeros, one row."""
    parts = _parts(inputs)
    if data is None:
        made = tuple(torch.zeros_like(part[:1]) for part in parts)
    else:
        several = data if isinstance(data, (tuple, list)) and isinstance(inputs, tuple) else (data,)
        made = tuple(torch.as_tensor(one).to(part) for one, part in zip(several, parts, strict=True))
    return made if isinstance(inputs, tuple) else made[0]


def _given(data: Any) -> Any:
    """A copy of the background as SHAP takes it, a list for several inputs: it asks it for gradients."""
    if isinstance(data, tuple):
        return [one.detach().clone() for one in data]
    return data.detach().clone()


def _explained(made: Any, row: Any, call: Mapping[str, Any]) -> Any:
    """What SHAP returns; what it says of models that it cannot explain, as NotApplicable with the way out."""
    try:
        return made.shap_values(row, **call)
    except (AssertionError, RuntimeError) as error:
        hints = {
            "do not sum up": "check_additivity=False goes on all the same",
            "inplace": "build the model's activations with inplace=False, or take shap.GradientExplainer",
        }
        hint = next((hint for words, hint in hints.items() if words in str(error)), None)
        if hint is None:
            raise
        raise NotApplicable(f"SHAP's {type(made).__name__}: {error}; {hint}") from error


@loan
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """GradientExplainer makes its samples in torch's default dtype, whatever the inputs'."""
    before = torch.get_default_dtype()
    wanted = dtype if dtype.is_floating_point else before
    with lent(lambda: torch.set_default_dtype(wanted), lambda: torch.set_default_dtype(before)):
        yield


def _is_gradient(kind: type) -> bool:
    return issubclass(kind, import_module("shap").GradientExplainer)


def _check_kind(kind: type) -> None:
    shap = import_module("shap")
    if not issubclass(kind, (shap.GradientExplainer, shap.DeepExplainer)):
        raise UnusableExplainer(
            f"shap.{kind.__name__} is not for images and a network; take shap.GradientExplainer, shap.DeepExplainer "
            f"or shap.PartitionExplainer, or {_KERNEL}"
        )
