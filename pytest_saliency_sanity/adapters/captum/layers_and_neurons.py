"""captum's methods for layers and neurons: which layer, which neuron, and a layer's maps at the size of the inputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import UnusableExplainer
from pytest_saliency_sanity.adapters.captum import lrp
from pytest_saliency_sanity.adapters.layers import layer_of
from pytest_saliency_sanity.adapters.options import parameters
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.layout import current_channel_axis, space_of

_OF_RELUS = (
    "ModifiedReluGradientAttribution",
    "GuidedGradCam",
    "NeuronGuidedBackprop",
    "NeuronDeconvolution",
)


def is_of_layer(kind: type) -> bool:
    """Whether it returns maps of a layer."""
    import captum.attr

    return issubclass(kind, captum.attr.LayerAttribution)


def functions(kind: type) -> list[Any]:
    """Where options are looked up beside the class: how its maps are enlarged (`interpolate_mode`)."""
    return [kind.interpolate] if is_of_layer(kind) else []  # type: ignore[attr-defined]


def with_layer(method: Any, model: nn.Module, inputs: Any) -> dict[str, Any]:
    """The constructor's options, with the layer of this model where there has to be one.

    Raises:
        UnusableExplainer, NotApplicable: what `layers.layer_of` raises, and for a layer that LRP has no rule for.
    """
    if "layer" not in parameters(method.kind):
        return dict(method.constructor)
    given = method.constructor.get("layer")
    if not method.is_a("LRP"):
        return {**method.constructor, "layer": layer_of(model, given, inputs)}
    layer = _last_convolution(model) if given is None else layer_of(model, given, inputs)
    if any(True for _ in layer.children()) or not lrp.has_rule(layer):
        raise UnusableExplainer(
            f"{method.name}: LRP knows the relevance of layers that have a rule, such as nn.Conv2d and nn.Linear; "
            f"{type(layer).__name__} has none"
        )
    return {**method.constructor, "layer": layer}


def _last_convolution(model: nn.Module) -> nn.Module:
    found = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not found:
        raise NotApplicable("LayerLRP explains the last nn.Conv2d, and the model has none; name a layer=")
    return found[-1]


def check_relu(method: Any, model: nn.Module) -> None:
    """Raise NotApplicable where a method changes how nn.ReLU passes gradients, and the model has none."""
    if method.is_a(*_OF_RELUS):
        check_has_relu(method.name, model)


def check_has_relu(name: str, model: nn.Module) -> None:
    """Raise NotApplicable where the model has no nn.ReLU."""
    if not any(isinstance(module, nn.ReLU) for module in model.modules()):
        raise NotApplicable(
            f"{name} changes how modules nn.ReLU pass gradients, and {type(model).__name__} has none (captum does not "
            f"see functional ReLUs): its map would be that of the plain gradient. explainers:guided_backprop and "
            f"explainers:deconvnet of this package find ReLUs however they are written"
        )


def check_neuron(method: Any) -> None:
    """Raise UnusableExplainer where a neuron is explained and none is named."""
    import captum.attr

    if not issubclass(method.kind, captum.attr.NeuronAttribution) or "neuron_selector" in method.call:
        return
    raise UnusableExplainer(
        f"{method.name} explains a neuron of a layer, and not the target: pass functools.partial(captum.attr."
        f"{method.kind.__name__}, layer='the name of the layer', neuron_selector=(channel, row, column)); the "
        f"target's own score is what captum.attr.IntegratedGradients and its like explain"
    )


def held(owner: Any, name: str) -> tuple[nn.Module, ...]:
    """The modules that an object holds: its model, or the one that its forward function is a method of; its layer.

    Raises:
        UnusableExplainer: where the layer is not a part of the model.
    """
    forward = owner.forward_func
    model = getattr(forward, "__self__", forward)
    layer = getattr(owner, "layer", None)
    found = [one for one in (model, layer) if isinstance(one, nn.Module)]
    if len(found) == 2 and not any(layer is module for module in model.modules()):
        raise UnusableExplainer(
            f"{name} holds a model, and a layer that is not a part of it (of a copy, or of an earlier model): build it "
            f"with the layer of that model, or pass the class with the layer's name"
        )
    return tuple(found[:1])


def as_map(name: str, found: Any, inputs: Any, mode: str | None) -> Tensor | tuple[Tensor, ...]:
    """A layer's maps (N, C, *s), summed over the channels, at the size of the inputs: (N, 1, *S).

    Args:
        mode: of `captum.attr.LayerAttribution.interpolate`; None is its default, "nearest".

    Raises:
        NotApplicable: where the layer has no map, or several inputs would have to share it.
    """
    from captum.attr import LayerAttribution

    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    axis = current_channel_axis()
    sides = space_of(parts[0], axis)
    (maps,) = found if isinstance(found, tuple) and len(found) == 1 else (found,)
    if len(parts) > 1:
        raise NotApplicable(f"{name}: a layer has one map, and the model takes {len(parts)} inputs")
    if not isinstance(maps, Tensor) or maps.ndim != len(sides) + 2 or not sides:
        shape = tuple(maps.shape) if isinstance(maps, Tensor) else "several tensors"
        raise NotApplicable(
            f"{name}: the layer gives {shape}, and not a map (N, channels, *{sides}) of any size; name another with "
            f"layer='its name'"
        )
    summed = maps.detach().sum(1, keepdim=True)
    if summed.shape[2:] != sides:
        summed = LayerAttribution.interpolate(summed, sides, mode or "nearest")
    large = summed if axis is None else summed[:, 0]
    return (large,) if isinstance(inputs, tuple) else large
