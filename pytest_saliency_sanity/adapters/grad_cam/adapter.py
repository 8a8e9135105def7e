"""pytorch-grad-cam: its CAM classes, on layers by name or module, and its guided backpropagation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.grad_cam.options import LIBRARY, defaults, found_by_name
from pytest_saliency_sanity.adapters.layers import layer_of
from pytest_saliency_sanity.adapters.lending import lent_to, one_tensor, rows_at_once
from pytest_saliency_sanity.adapters.models import Score, returning_logits
from pytest_saliency_sanity.adapters.options import divided, parameters
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.outputs import as_targets
from pytest_saliency_sanity.text import name_of

PLACES = (LIBRARY,)
_FILLED = frozenset({"model", "self", "input_tensor", "targets", "target_idx"})
_CHANNELS = (
    2048  # ScoreCAM makes a copy of the image for each channel: as many as there are at most, in ResNet-50
)
_GUIDED = "GuidedBackpropReLUModel"


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """A CAM on `target_layers` (a layer, its name, or several of them; default: the last with a map)."""
    name = name_of(functools.partial(kind, **options)) if options else kind.__name__
    if kind.__name__ == _GUIDED:
        divided(name, options)
        return Adapted(functools.partial(_guided, kind), name)
    _check_cam(kind)
    without = _FILLED | ({"target_layers"} if kind.__name__ == "FullGrad" else set())
    init, call = divided(name, found_by_name(options), kind, _call_of(kind), taken=without)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images = _images(inputs, name, model)
        with lent_to(LIBRARY, model):
            layers = _layers(kind, model, init.get("target_layers"), images)
            built = {**defaults(kind, images), **init, "target_layers": layers}
            cam = kind(returning_logits(model, images), **built)
            return _maps(cam, cam, images, targets, call)

    return Adapted(explain, name)


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """A CAM object, or its method, on the model and the layers that it holds; its hooks stay its user's."""
    kind = type(owner)
    name = kind.__name__
    factory = f"{LIBRARY}.{name}"
    held = _model_of(owner)
    if name == _GUIDED:
        divided(name, options)
        explain = functools.partial(_guided, kind)
        return Adapted(explain, name, bound=True, holds=(held,), factory=factory)
    _check_cam(kind)
    (call,) = divided(name, found_by_name(options), _call_of(kind), taken=_FILLED)

    def explain_in_place(model: nn.Module, inputs: Any, targets: Any) -> Any:
        images = _images(inputs, name, held)
        _check_hooked(owner)
        with lent_to(LIBRARY, held):
            return _maps(owner, explainer, images, targets, call)

    return Adapted(explain_in_place, name, bound=True, holds=(held,), factory=factory)


def _maps(
    cam: Any, call: Callable[..., Any], images: Tensor, targets: Any, options: Mapping[str, Any]
) -> Any:
    """The maps (N, H, W), by as many images at once as the method has room for."""
    if type(cam).__name__ == "FinerCAM":
        return _finer(call, images, targets, options)
    wanted = as_targets(targets, len(images))
    rows = rows_at_once(images, _CHANNELS) if type(cam).__name__ == "ScoreCAM" else len(images)
    found = [
        call(input_tensor=part, targets=[_target(one) for one in of_part], **options)
        for part, of_part in zip(images.split(rows), wanted.split(rows), strict=True)
    ]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _finer(call: Callable[..., Any], images: Tensor, targets: Any, options: Mapping[str, Any]) -> Any:
    """FinerCAM finds the classes to compare with for one class at a time."""
    wanted = as_targets(targets, len(images))
    if wanted.ndim == 2:
        raise UnusableExplainer(
            "FinerCAM compares a class with others, and takes no weights of logits; pass one class for each image"
        )
    found = [
        call(input_tensor=image[None], target_idx=int(target), **options)
        for image, target in zip(images, wanted, strict=True)
    ]
    return np.concatenate(found)


def _target(one: Tensor) -> Callable[[Tensor], Tensor]:
    """The library's target of a class, or the weighted sum of the logits."""
    if one.ndim:
        return lambda output: (output * one.to(output)).sum()
    target: Callable[[Tensor], Tensor] = import_module(
        f"{LIBRARY}.utils.model_targets"
    ).ClassifierOutputTarget(int(one))
    return target


def _guided(kind: type, model: nn.Module, inputs: Any, targets: Any) -> Any:
    """The library's guided backpropagation, which takes one image and returns it as (H, W, C)."""
    images = one_tensor(inputs, _GUIDED)
    wanted = as_targets(targets, len(images))
    if not any(isinstance(module, nn.ReLU) for module in model.modules()):
        raise NotApplicable(
            f"pytorch-grad-cam's {_GUIDED} replaces modules nn.ReLU, and this model has none: it would be the gradient"
        )
    found = []
    for place in range(len(images)):
        with lent_to(LIBRARY, model):
            explain = kind(Score(model, wanted[place : place + 1]), **defaults(kind, images))
            found.append(explain(images[place : place + 1].clone(), target_category=0).transpose(2, 0, 1))
    return np.stack(found)


def _images(inputs: Any, name: str, model: nn.Module) -> Tensor:
    images = one_tensor(inputs, name, graph=True)
    if images.ndim not in (4, 5):
        raise NotApplicable(
            f"pytorch-grad-cam makes maps of images (N, C, H, W), and these inputs have the shape "
            f"{tuple(images.shape)}; captum's LayerGradCam takes other numbers of dimensions"
        )
    if next(model.parameters(), None) is None:
        raise NotApplicable(
            "pytorch-grad-cam looks for the device of the first parameter, and this model has none"
        )
    return images


def _layers(kind: type, model: nn.Module, given: Any, images: Tensor) -> list[nn.Module]:
    if kind.__name__ == "FullGrad":  # it takes all that have a bias, and prints where it is given some
        return []
    several = given if isinstance(given, (list, tuple)) else [given]
    return [layer_of(model, one, images) for one in several]


def _check_cam(kind: type) -> None:
    if "target_layers" not in parameters(kind) or not callable(_call_of(kind)):
        raise UnusableExplainer(
            f"pytorch-grad-cam's {kind.__name__} makes no map of each image; pass one of its CAM classes, such as "
            f"{LIBRARY}.GradCAM"
        )


def _call_of(kind: type) -> Any:
    """The method whose parameters are the call's options: some classes pass everything on to `forward`."""
    own = kind.__call__
    return own if "input_tensor" in parameters(own) else getattr(kind, "forward", None)


def _model_of(owner: Any) -> nn.Module:
    held = next((one.model for one in _parts(owner) if hasattr(one, "model")), None)
    if not isinstance(held, nn.Module):
        raise UnusableExplainer(
            f"{type(owner).__name__} of pytorch-grad-cam holds no model, and makes no map"
        )
    return held


def _check_hooked(owner: Any) -> None:
    hooked = [one.activations_and_grads for one in _parts(owner) if hasattr(one, "activations_and_grads")]
    if hooked and not any(one.handles for one in hooked):
        raise UnusableExplainer(
            f"{type(owner).__name__} has released its hooks (a `with` block that has ended does it); pass it within "
            f"the block, or pass its class"
        )


def _parts(owner: Any) -> list[Any]:
    """A CAM object, and the CAMs that it is made of."""
    return [
        owner,
        *filter(None, [getattr(owner, "base_cam", None)]),
        *getattr(owner, "base_cam_per_layer", []),
    ]
