"""One call of captum's `attribute`: quiet, with a target for each input, and a model that is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.adapters.captum import defaults, layers_and_neurons, lrp
from pytest_saliency_sanity.adapters.captum.weighted import Weighted, weighted_in_place
from pytest_saliency_sanity.adapters.lending import lent_to
from pytest_saliency_sanity.adapters.options import parameters
from pytest_saliency_sanity.errors import NotApplicable


@dataclass(frozen=True)
class Method:
    """A class of captum and its options.

    Attributes:
        kind: the class that explains.
        name: what messages call it.
        constructor: options of its constructor.
        call: options of its `attribute`, and of the NoiseTunnel's.
        tunnel: the NoiseTunnel around it, or None.
    """

    kind: Any
    name: str
    constructor: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    tunnel: Any = None

    @property
    def takes(self) -> frozenset[str]:
        """The parameters of `attribute`."""
        around = parameters(self.tunnel.attribute) if self.tunnel else []
        return frozenset([*parameters(self.kind.attribute), *around])

    def is_a(self, *names: str) -> bool:
        """Whether the class, or one that it is derived from, has one of these names."""
        return any(base.__name__ in names for base in self.kind.__mro__)


def explained(method: Method, model: nn.Module, called: nn.Module, inputs: Any, targets: Any) -> Any:
    """The maps that an object which is built for the model returns.

    Args:
        called: the model, or what returns its logits.
    """
    weights = _weights(method, targets)
    with lent_to("captum", model):
        layers_and_neurons.check_relu(method, model)
        constructor = layers_and_neurons.with_layer(method, model, inputs)
        layer = constructor.get("layer")
        if weights is None or method.is_a("LRP"):
            made = _built(method, called, constructor)
            return _attributed(method, made, layer, inputs, _target(method, targets))
        made = _built(method, Weighted(called), constructor)
        return _attributed(method, made, layer, inputs, _sum(method, weights))


def _weights(method: Method, targets: Tensor) -> Tensor | None:
    """Weights of the classes, where captum cannot be given class indices; None where it can, or takes no target."""
    indices = targets.ndim == 1 and not method.is_a(_TARGET_TWICE)
    return None if indices or "target" not in method.takes else targets


# captum 0.9.0 looks up its target among the scores of the target once more, and fails.
_TARGET_TWICE = "LayerFeaturePermutation"


def explained_in_place(
    method: Method, owner: Any, inner: Any, model: nn.Module, inputs: Any, targets: Any
) -> Any:
    """The maps that the user's own object returns.

    Args:
        inner: the object itself, or what the NoiseTunnel holds.
    """
    weights = _weights(method, targets)
    held = next(iter(layers_and_neurons.held(inner, method.name)), model)
    with lent_to("captum", held), lent_to("captum", model):
        layers_and_neurons.check_relu(method, held)
        layer = getattr(inner, "layer", None)
        if weights is None or method.is_a("LRP"):
            return _attributed(method, owner, layer, inputs, _target(method, targets))
        with weighted_in_place(owner):
            return _attributed(method, owner, layer, inputs, _sum(method, weights))


def _built(method: Method, model: nn.Module, constructor: dict[str, Any]) -> Any:
    made = method.kind(model, **constructor)
    return method.tunnel(made) if method.tunnel else made


def _target(method: Method, targets: Tensor) -> dict[str, Any]:
    return {"target": targets} if "target" in method.takes else {}


def _sum(method: Method, weights: Tensor) -> dict[str, Any]:
    """The one score of a model that is `Weighted`."""
    others = {"additional_forward_args": (weights,)}
    return others if method.is_a(_TARGET_TWICE) else {"target": 0, **others}


def _attributed(method: Method, made: Any, layer: Any, inputs: Any, target: dict[str, Any]) -> Any:
    own = _leaves(method, inputs)
    if method.is_a("FeaturePermutation") and len(own[0] if isinstance(own, tuple) else own) == 1:
        raise NotApplicable(
            f"{method.name} permutes values between the images that it is called with, and is called with one"
        )
    call = defaults.completed(method, made, layer, own, target.get("additional_forward_args"))
    mode = call.pop("interpolate_mode", None) if layers_and_neurons.is_of_layer(method.kind) else None
    weights = target.get("target")
    if isinstance(weights, Tensor) and weights.ndim == 2:  # LRP, whose relevance is linear in the target
        found = lrp.sum_of_classes(lambda one: _returned(method, made, own, {"target": one, **call}), weights)
    else:
        found = _returned(method, made, own, {**target, **call})
    if layers_and_neurons.is_of_layer(method.kind):
        return layers_and_neurons.as_map(method.name, found, inputs, mode)
    parts = found if isinstance(found, tuple) else (found,)
    if any(part.numel() == 0 for part in parts):
        raise NotApplicable(
            f"{method.name}: the map of the layer cannot be enlarged to the inputs; name another layer"
        )
    done = tuple(part.detach() for part in parts)
    return done if isinstance(found, tuple) else done[0]


def _leaves(method: Method, inputs: Any) -> Any:
    """Copies of the inputs, which require gradients where the method takes them: captum warns of others."""
    taken = not method.is_a("PerturbationAttribution")

    def leaf(part: Tensor) -> Tensor:
        return part.detach().clone().requires_grad_(taken and part.is_floating_point())

    return tuple(map(leaf, inputs)) if isinstance(inputs, tuple) else leaf(inputs)


def _returned(method: Method, made: Any, inputs: Any, options: dict[str, Any]) -> Any:
    if method.is_a("LRP"):
        lrp.give_rules(made.forward_func)
    return or_refusal(method.name, lambda: made.attribute(inputs, **options))


def or_refusal(name: str, call: Callable[[], Any]) -> Any:
    """What captum returns; what it says of a model that the method does not exist for is raised as NotApplicable."""
    try:
        return call()
    except (TypeError, RuntimeError, AssertionError) as error:
        words = " ".join(str(error).split())
        way = next((way for part, way in _WAYS_OUT.items() if part in words), None)
        if way is None:
            raise
        raise NotApplicable(f"{name}: {words} {way}".strip()) from error


# What captum says where its method does not exist for a model, and the way out.
_WAYS_OUT = {
    "has no rule defined": "That is, set `module.rule` to a rule of captum.attr._utils.lrp_rules.",
    "being used more than once": "That is, give each call a module of its own, e.g. one nn.ReLU() for each place.",
    "A problem occurred during maxpool": "",
    "Forward hook did not obtain any outputs": "The layer does not run for these inputs; name another one.",
}
