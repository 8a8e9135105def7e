"""torchcam: its extractors, on layers by name or module; maps are enlarged to the images."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.layers import enlarged, layer_of
from pytest_saliency_sanity.adapters.lending import lent_to, one_tensor, rows_at_once
from pytest_saliency_sanity.adapters.models import Score, returning_logits
from pytest_saliency_sanity.adapters.options import divided, parameters
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.outputs import as_targets
from pytest_saliency_sanity.text import name_of, shown

PLACES = ("torchcam.methods",)
_FILLED = frozenset({"model", "self", "class_idx", "scores", "targets", "_"})
_OF_ONE_CLASS = frozenset(
    {"CAM", "FinerCAM", "LeGrad"}
)  # they read a class in the head, or compare it with others


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """An extractor on `target_layer` (a layer, its name, or several of them; default: the last with a map)."""
    name = name_of(functools.partial(kind, **options)) if options else kind.__name__
    if "target_layer" not in parameters(kind):
        raise UnusableExplainer(f"torchcam's {kind.__name__} is no extractor; pass one, such as GradCAM")
    own, of_base, *of_call = divided(name, options, kind, _base(), *_calls(kind), taken=_FILLED)
    init, call = {**own, **of_base}, {key: value for part in of_call for key, value in part.items()}

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images = one_tensor(inputs, name, graph=True)

        def maps(network: nn.Module, part: Tensor, classes: list[int]) -> Tensor:
            with _extractor(kind, network, _arguments(kind, init, model, part)) as extractor:
                return _maps(extractor, extractor, network, part, classes, call)

        with lent_to("torchcam", model):
            wanted = as_targets(targets, len(images))
            if wanted.ndim == 1:
                return maps(returning_logits(model, images), images, wanted.tolist())
            _check_weights(kind)
            each = zip(images.split(1), wanted.split(1), strict=True)
            return torch.cat([maps(Score(model, weights), image, [0]) for image, weights in each])

    return Adapted(explain, name)


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """An extractor, or its method, on the model that it holds; its hooks stay its user's."""
    kind = type(owner)
    name, held = kind.__name__, getattr(owner, "model", None)
    if not isinstance(held, nn.Module):
        raise UnusableExplainer(f"torchcam's {name} is no extractor; pass one, such as GradCAM")
    of_call = divided(name, options, *_calls(kind), taken=_FILLED)
    call = {key: value for part in of_call for key, value in part.items()}

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images = one_tensor(inputs, name, graph=True)
        wanted = as_targets(targets, len(images))
        _check_hooked(owner)
        if wanted.ndim == 2:
            raise UnusableExplainer(
                f"an object of torchcam's {name} takes one class for each image, and no weights of logits; pass the "
                f"class torchcam.methods.{name}, which is built for each weighted sum"
            )
        with lent_to("torchcam", held):
            found = _maps(owner, explainer, held, images, wanted.tolist(), call)
            owner.reset_hooks()
        return found

    return Adapted(explain, name, bound=True, holds=(held,), factory=f"torchcam.methods.{name}")


def _maps(
    extractor: Any,
    call: Callable[..., Any],
    network: nn.Module,
    images: Tensor,
    classes: list[int],
    options: Mapping[str, Any],
) -> Tensor:
    """The maps (N, 1, *S) of the images' classes; those of several layers are fused as torchcam does it."""
    try:
        found = call(classes, network(images), **options)
    except RuntimeError as error:
        if type(extractor).__name__ != "CAM":
            raise
        raise NotApplicable(
            f"torchcam's CAM needs a layer whose maps are pooled, and one linear layer that reads nothing else: "
            f"{error}; name them with target_layer and fc_layer, or take GradCAM"
        ) from error
    fused = found[0] if len(found) == 1 else extractor.fuse_cams(found)
    return enlarged(fused[:, None].detach(), images)


def _extractor(kind: type, network: nn.Module, arguments: Mapping[str, Any]) -> Any:
    try:
        return kind(network, **arguments)
    except TypeError as error:
        raise UnusableExplainer(f"torchcam's {kind.__name__}: {error}") from error
    except ValueError as error:
        hint = (
            "; name the layer with fc_layer"
            if "fully connected" in str(error) or "fc_layer" in str(error)
            else ""
        )
        raise NotApplicable(f"torchcam's {kind.__name__}: {error}{hint}") from error


def _arguments(kind: type, given: Mapping[str, Any], model: nn.Module, images: Tensor) -> dict[str, Any]:
    """The constructor's arguments, with the layers as modules of the model at hand."""
    found = dict(given)
    if isinstance(found.get("base_method"), str):
        found["base_method"] = _method(found["base_method"])
    layer = found.get("target_layer")
    if isinstance(layer, (list, tuple)):
        found["target_layer"] = [layer_of(model, one, images) for one in layer]
    elif layer is not None or kind.__name__ != "LeGrad":
        found["target_layer"] = layer_of(model, layer, images)
    else:  # it looks at the blocks of a transformer, and says that it has no default
        found["target_layer"] = None
    if "fc_layer" in parameters(kind):
        found["fc_layer"] = _linear(model, given.get("fc_layer"), images)
    if "batch_size" in parameters(kind):
        found.setdefault("batch_size", min(32, rows_at_once(images)))
    return found


def _linear(model: nn.Module, given: Any, images: Tensor) -> nn.Module | None:
    """The layer that CAM reads: where there is one only, torchcam would take it too, and log that it does."""
    if given is not None:
        return layer_of(model, given, images)
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if len(found) > 1:  # of which version 0.4 takes one
        raise NotApplicable(
            f"torchcam's CAM needs maps that are pooled and one linear layer behind them; this model has "
            f"{len(found)} linear layers: name the one that reads the maps with fc_layer, or take GradCAM"
        )
    return found[0] if found else None


def _method(name: str) -> Any:
    found = getattr(import_module(PLACES[0]), name, None)
    if not isinstance(found, type):
        raise UnusableExplainer(f"torchcam has no base_method {shown(name)}")
    return found


def _base() -> Any:
    """Of its arguments, those that extractors pass on to it are options as well."""
    return import_module("torchcam.methods.core")._CAM


def _calls(kind: type) -> list[Any]:
    """The functions whose parameters are options of the call."""
    return [kind.__call__, getattr(kind, "_get_weights", _base()._get_weights)]


def _check_weights(kind: type) -> None:
    if kind.__name__ in _OF_ONE_CLASS:
        raise UnusableExplainer(
            f"torchcam's {kind.__name__} takes one class for each image, and no weights of logits; explain one class "
            f"at a time, or take GradCAM, of which the weighted sum is explained"
        )


def _check_hooked(owner: Any) -> None:
    if not getattr(owner, "base_cam", owner).hook_handles:
        raise UnusableExplainer(
            f"torchcam's {type(owner).__name__} has removed its hooks (a `with` block that has ended does it); pass "
            f"it within the block, or pass its class"
        )
