"""quantus' `explain`: arrays in, an array out; the model's mode, device, hooks and layers are left as they were.

Its maps are those of captum or zennit, summed over the channels (`reduce_axes`); `method="Gradient"` where none is
named. It takes no absolute values and normalizes nothing: that is what quantus' metrics do (version 0.6).
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.captum import lrp
from pytest_saliency_sanity.adapters.captum.calls import or_refusal
from pytest_saliency_sanity.adapters.captum.layers_and_neurons import check_has_relu
from pytest_saliency_sanity.adapters.layers import layer_of
from pytest_saliency_sanity.adapters.models import returning_logits
from pytest_saliency_sanity.adapters.options import known
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.layout import current_channel_axis, space_of
from pytest_saliency_sanity.loans import entered, loan
from pytest_saliency_sanity.perturbations.restoring.preservation import structure_kept
from pytest_saliency_sanity.text import name_of, shown

PLACES = ("quantus",)
_OF_LAYERS = frozenset(
    "LayerGradCam GradCam GuidedGradCam LayerConductance LayerActivation InternalInfluence "  # noqa: SIM905
    "LayerGradientXActivation".split()
)
_OF_RELUS = ("Deconvolution", "GuidedGradCam")

# What quantus passes over in silence where it is misspelled.
_OPTIONS = tuple(
    """
    method xai_lib xai_lib_kwargs softmax channel_first reduce_axes keepdims baseline window
    gc_layer interpolate interpolate_mode constant_value return_shape attributor attributor_kwargs
    canonizer canonizer_kwargs composite composite_kwargs
    """.split()  # noqa: SIM905 - several a line
)


def by_name(name: str, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """`quantus:Saliency` is `functools.partial(quantus.explain, method="Saliency")`.

    Raises:
        UnusableExplainer: for a method that quantus does not have.
    """
    quantus: Any = importlib.import_module("quantus")
    known = [*quantus.available_methods_captum(), "GradCam"]
    if name not in known:
        near = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}"
        raise UnusableExplainer(f"quantus has no method {name!r}; {hint}")
    return quantus.explain, {"method": name, **options}


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """Raise UnusableExplainer: no class of quantus explains."""
    raise UnusableExplainer(
        f"quantus' {kind.__name__} explains no inputs; pass functools.partial(quantus.explain, method='Saliency')"
    )


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """`quantus.explain`, with its options.

    Raises:
        UnusableExplainer: for anything else of quantus, and for an option that `explain` does not know, which quantus
            itself would pass over without a word.
    """
    if not callable(owner) or getattr(owner, "__name__", "") != "explain":
        from_class(owner if isinstance(owner, type) else type(owner), options)
    given = known("quantus.explain", options, _OPTIONS)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        return _explained(owner, given, model, inputs, targets)

    listed = ", ".join(f"{key}={shown(value)}" for key, value in options.items())
    return Adapted(explain, f"{name_of(owner)}({listed})" if listed else name_of(owner))


def _explained(
    function: Callable[..., Any], given: Mapping[str, Any], model: nn.Module, inputs: Any, targets: Tensor
) -> Tensor:
    if isinstance(inputs, tuple) or targets.ndim == 2:
        what = (
            "one tensor of inputs"
            if isinstance(inputs, tuple)
            else "one class for each input, and no weights"
        )
        raise UnusableExplainer(f"quantus.explain takes {what}; pass the class of captum or zennit itself")
    if inputs.dtype != torch.float32:
        raise NotApplicable(f"quantus.explain makes float32 of the inputs, and they are {inputs.dtype}")
    with structure_kept(model), _quiet():
        options = _completed(given, model, inputs)
        called = returning_logits(model, inputs)
        arrays = inputs.detach().cpu().numpy().copy(), targets.cpu().numpy()
        if options.get("method") == "LRP":
            lrp.give_rules(called)
        found = or_refusal(
            f"quantus.explain(method={options.get('method')!r})",
            lambda: function(called, *arrays, device=inputs.device, **options),
        )
        return torch.as_tensor(found, device=inputs.device)


def _completed(given: Mapping[str, Any], model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """The options, copied: quantus writes the layer, a module of this model, into the user's `xai_lib_kwargs`."""
    options = {key: _own(value) for key, value in given.items()}
    method, axis = options.get("method"), current_channel_axis()
    options.setdefault("channel_first", axis is None or axis % inputs.ndim == 1)
    if method in _OF_RELUS:
        check_has_relu(f"quantus.explain(method={method!r})", model)
    if (
        method == "DeepLiftShap" and len(inputs) == 1
    ):  # it asks for two baselines, and quantus gives one an input
        options.setdefault("baseline", torch.zeros_like(inputs).expand(2, *inputs.shape[1:]))
    if method in _OF_LAYERS:
        layer = options.pop("gc_layer", None) or options.get("xai_lib_kwargs", {}).pop("layer", None)
        expression = isinstance(layer, str) and layer not in dict(model.named_modules()) and "model" in layer
        options["gc_layer"] = layer if expression else layer_of(model, layer, inputs)
        options.setdefault("interpolate", space_of(inputs, axis))
    return options


def _own(value: Any) -> Any:
    """A copy of a dict; a tuple of a list, as JSON has it."""
    return dict(value) if isinstance(value, dict) else tuple(value) if isinstance(value, list) else value


@loan
def _quiet() -> Iterator[None]:
    with entered(warnings.catch_warnings()):
        warnings.filterwarnings("ignore", module=r"(quantus|captum|zennit)\.")
        yield
