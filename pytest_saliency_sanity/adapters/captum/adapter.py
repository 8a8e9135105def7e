"""captum: its classes, built anew for each model, and its objects, called in place on the model that they hold.

What captum leaves open and a method needs is in `defaults`, with what bounds the memory; what is done for layers
and neurons is in `layers_and_neurons`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.captum import calls, layers_and_neurons
from pytest_saliency_sanity.adapters.captum.calls import Method
from pytest_saliency_sanity.adapters.models import returning_logits
from pytest_saliency_sanity.adapters.options import divided
from pytest_saliency_sanity.adapters.quadrature import quadrature
from pytest_saliency_sanity.text import shown

PLACES = ("captum.attr",)

# What the adapter passes itself, or what would make something else than a map of it.
_TAKEN = frozenset(
    "self inputs target forward_func model attribution_method additional_forward_args device_ids "  # noqa: SIM905
    "return_convergence_delta return_input_shape show_progress verbose layer_attribution interpolate_dims".split()
)
_WRAPPED = ("attribution", "attribution_method")
_REFUSED = {
    "DataLoaderAttribution": "it explains a whole data set at once, not each of its inputs",
    "LLMAttribution": "it explains prompts of a language model, not inputs",
    "LLMGradientAttribution": "it explains prompts of a language model, not inputs",
    "RemoteLLMAttribution": "it explains prompts of a language model, not inputs",
    "LimeBase": "it returns the weights of an interpretable model, and Lime is the one that makes a map of them",
}


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """A class, whose object is built anew for the model at hand.

    Raises:
        UnusableExplainer: for a class that explains no inputs, and for an option that it does not have.
    """
    _check_kind(kind)
    method = _tunnel(kind, options) if _is_tunnel(kind) else _method(kind, options)
    layers_and_neurons.check_neuron(method)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        return calls.explained(method, model, returning_logits(model, inputs), inputs, targets)

    steps = quadrature(kind.attribute, options, lambda more: from_class(kind, {**options, **more}))  # type: ignore[attr-defined]
    return Adapted(explain, _name(kind, options), factory=_factory(kind, method.kind), quadrature=steps)


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """An object that holds a model, or its `attribute`, called in place.

    Raises:
        UnusableExplainer: for what does not explain inputs, and for an option that it does not have.
    """
    _check_kind(type(owner))
    if explainer is not owner and explainer.__name__ != "attribute":
        raise UnusableExplainer(
            f"{type(owner).__name__}.{explainer.__name__} explains no inputs; pass .attribute"
        )
    inner = owner.attribution_method if _is_tunnel(type(owner)) else owner
    name = _name(type(owner), options)
    tunnel = type(owner) if inner is not owner else None
    functions = [type(owner).attribute, type(inner).attribute, *layers_and_neurons.functions(type(inner))]
    call = _options_of(name, options, *functions)
    method = Method(type(inner), name, {}, _merged(call), tunnel)
    layers_and_neurons.check_neuron(method)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        return calls.explained_in_place(method, owner, inner, model, inputs, targets)

    holds = layers_and_neurons.held(inner, name)
    steps = quadrature(
        type(owner).attribute, options, lambda more: from_object(owner, {**options, **more}, explainer)
    )
    return Adapted(
        explain, name, bound=True, holds=holds, factory=_factory(type(owner), type(inner)), quadrature=steps
    )


def _method(kind: type, options: Mapping[str, Any]) -> Method:
    name = _name(kind, options)
    functions = [kind, kind.attribute, *layers_and_neurons.functions(kind)]  # type: ignore[attr-defined]
    constructor, *call = _options_of(name, options, *functions)
    return Method(kind, name, constructor, _merged(call))


def _tunnel(kind: type, options: Mapping[str, Any]) -> Method:
    """NoiseTunnel and the class that it wraps: `attribution`, by its name, as a class or as a partial of one."""
    options = dict(options)
    given = [options.pop(name) for name in _WRAPPED if name in options]
    inner, inner_options = _wrapped(kind, given[0] if given else None)
    name = _name(kind, {"attribution": inner, **inner_options, **options})
    functions = [kind.attribute, inner, inner.attribute, *layers_and_neurons.functions(inner)]  # type: ignore[attr-defined]
    own, constructor, *call = _options_of(name, {**inner_options, **options}, *functions)
    return Method(inner, name, constructor, _merged([own, *call]), kind)


def _wrapped(kind: type, given: Any) -> tuple[Any, dict[str, Any]]:
    import captum.attr

    options = dict(getattr(given, "keywords", {}))
    inner = getattr(given, "func", given)
    inner = getattr(captum.attr, inner, inner) if isinstance(inner, str) else inner
    if not isinstance(inner, type):
        wrong = "" if given is None else f", not {shown(given)}"
        raise UnusableExplainer(
            f"{kind.__name__} wraps another class of captum: pass functools.partial(captum.attr.{kind.__name__}, "
            f'attribution=captum.attr.Saliency), or {kind.__name__}{{"attribution": "Saliency"}} by name{wrong}'
        )
    _check_kind(inner)
    return inner, options


def _check_kind(kind: type) -> None:
    import captum.attr

    name = kind.__name__
    reason = _REFUSED.get(name)
    if not issubclass(kind, captum.attr.Attribution):
        reason = "it explains no inputs"
    elif _is_base(kind):
        reason = "it is the base of other classes, and explains nothing itself"
    if reason:
        raise UnusableExplainer(
            f"{name} of captum cannot be audited: {reason}; pass a class of captum.attr such as "
            f"IntegratedGradients, or a function explainer(model, inputs, targets)"
        )


def _is_base(kind: type) -> bool:
    """Whether it has no `attribute` of its own, but the one that raises NotImplementedError or none."""
    import captum.attr

    own = getattr(kind, "attribute", None)
    return not callable(own) or own is getattr(captum.attr.Attribution, "attribute", None)


def _is_tunnel(kind: type) -> bool:
    import captum.attr

    return issubclass(kind, captum.attr.NoiseTunnel)


def _options_of(name: str, options: Mapping[str, Any], *functions: Any) -> tuple[dict[str, Any], ...]:
    options = {"neuron_selector" if key == "neuron_index" else key: value for key, value in options.items()}
    if filled := next((option for option in options if option in _TAKEN), None):
        raise UnusableExplainer(
            f"{name}: {filled!r} is no option here: the model, the inputs and the targets come from the check, and "
            f"a map is returned for each input, without a progress bar; wrap it in a function "
            f"explainer(model, inputs, targets) of your own where you need it"
        )
    return divided(name, options, *functions, taken=_TAKEN)


def _merged(options: Any) -> dict[str, Any]:
    return {key: value for one in options for key, value in one.items()}


def _name(kind: type, options: Mapping[str, Any]) -> str:
    """As `text.name_of` shows a partial; classes and layers by their names."""
    given = ", ".join(f"{key}={_shown(value)}" for key, value in options.items())
    return f"{kind.__name__}({given})" if given else kind.__name__


def _shown(value: Any) -> str:
    if isinstance(value, (type, nn.Module)):
        return getattr(value, "__name__", type(value).__name__)
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    return shown(value)


def _factory(kind: type, inner: type) -> str:
    import captum.attr

    if kind is not inner:
        return f"functools.partial(captum.attr.{kind.__name__}, attribution=captum.attr.{inner.__name__})"
    if issubclass(kind, captum.attr._utils.attribution.InternalAttribution):
        return f"functools.partial(captum.attr.{kind.__name__}, layer='the name of the layer')"
    return f"captum.attr.{kind.__name__}"
