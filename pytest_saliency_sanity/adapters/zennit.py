"""zennit: attributors, and composites with its gradient attributor; hooks and canonizers are given back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.lending import lent_to, one_tensor
from pytest_saliency_sanity.adapters.models import as_weights, returning_logits
from pytest_saliency_sanity.adapters.options import divided, parameters
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.loans import lent, loan
from pytest_saliency_sanity.text import name_of, shown

PLACES = ("zennit.attribution", "zennit.composites")
_CANONIZERS = ("zennit.canonizers", "zennit.torchvision")
_FILLED = frozenset({"model", "attr_output", "composite"})


def from_class(kind: type, options: Mapping[str, Any]) -> Adapted:
    """An attributor, which may have the option `composite`; or a composite, used with zennit's Gradient."""
    attribution = import_module("zennit.attribution")
    name = name_of(functools.partial(kind, **options)) if options else kind.__name__
    if _is_composite(kind):
        return _adapted(name, attribution.Gradient, kind, options)
    if not issubclass(kind, attribution.Attributor) or inspect.isabstract(kind):
        raise UnusableExplainer(
            f"zennit's {kind.__name__} explains nothing by itself; pass an attributor such as "
            f"zennit.attribution.Gradient, or a composite such as zennit.composites.EpsilonPlusFlat"
        )
    rest = {option: value for option, value in options.items() if option != "composite"}
    return _adapted(name, kind, _composite(options.get("composite")), rest)


def from_object(owner: Any, options: Mapping[str, Any], explainer: Any) -> Adapted:
    """An attributor, on the model that it holds; or a composite, used with zennit's Gradient on the model at hand."""
    attribution = import_module("zennit.attribution")
    name = type(owner).__name__
    if _is_composite(type(owner)):
        return _adapted(name, attribution.Gradient, owner, options)
    if not isinstance(owner, attribution.Attributor):
        return from_class(type(owner), options)
    divided(name, options)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        with lent_to("zennit", owner.model), _registered(owner.composite, owner.model):
            return explainer(one_tensor(inputs, name), _output(owner, targets))[1]

    factory = f"{type(owner).__module__}.{name}"
    return Adapted(explain, name, bound=True, holds=(owner.model,), factory=factory)


def _adapted(name: str, attributor: type, composite: Any, options: Mapping[str, Any]) -> Adapted:
    """The attributor with a composite: a class, which is built at each call, an object, or None."""
    classes = (attributor, composite) if isinstance(composite, type) else (attributor,)
    own, *of_composite = divided(name, _plain(options), *classes, taken=_FILLED)

    def explain(model: nn.Module, inputs: Any, targets: Any) -> Any:
        copied = one_tensor(inputs, name)
        made = _made(name, composite, of_composite[0], copied) if of_composite else composite
        with lent_to("zennit", model), _registered(made, model, fresh=True):
            found = _call(name, attributor, returning_logits(model, inputs), made, **own)
            return found(copied, _output(found, targets))[1]

    return Adapted(explain, name)


def _output(attributor: Any, targets: Any) -> Callable[[Tensor], Tensor]:
    """What the attributor takes of the logits: one-hot rows of the targets, or weights; Occlusion sums it up."""
    if isinstance(attributor, import_module("zennit.attribution").Occlusion):
        return lambda outputs: as_weights(targets, outputs) * outputs
    return lambda outputs: as_weights(targets, outputs)


@loan
def _registered(composite: Any, model: nn.Module, fresh: bool = False) -> Iterator[None]:
    """The composite's hooks on the model, and away again; those that its user has registered stay.

    Args:
        fresh: whether what is registered already can be on another model.
    """
    if composite is None or (composite.handles and not fresh):
        yield
        return
    if composite.handles:
        raise UnusableExplainer(
            f"the composite {type(composite).__name__} is registered to a model at present; leave its context or "
            f"call its remove() first, or pass its class"
        )
    with lent(lambda: _register(composite, model), composite.remove):
        yield


def _register(composite: Any, model: nn.Module) -> None:
    composite.register(model)
    hooks = import_module("zennit.core").RemovableHandleList
    if not any(isinstance(handle, hooks) for handle in composite.handles):  # the others are canonizers
        raise NotApplicable(
            f"zennit's {type(composite).__name__} finds no layer in the model that it has a rule for, and would be "
            f"the plain gradient; it looks for modules such as nn.ReLU and nn.Conv2d, and not for functions"
        )


def _is_composite(kind: type) -> bool:
    return issubclass(kind, import_module("zennit.core").Composite)


def _composite(given: Any) -> Any:
    return _found(given, ("zennit.composites",), "composite") if isinstance(given, str) else given


def _made(name: str, kind: type, options: Mapping[str, Any], inputs: Tensor) -> Any:
    """A composite; where its box has no bounds, those are each image's own lowest and highest value."""
    options = dict(options)
    sides = tuple(range(1, inputs.ndim))
    for bound, least in (("low", True), ("high", False)):
        if bound in parameters(kind) and bound not in options:
            options[bound] = inputs.amin(sides, keepdim=True) if least else inputs.amax(sides, keepdim=True)
    return _call(name, kind, **options)


def _call(name: str, kind: type, *arguments: Any, **options: Any) -> Any:
    try:
        return kind(*arguments, **options)
    except TypeError as error:
        raise UnusableExplainer(f"{name}: {error}") from error


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as zennit takes them: canonizers as objects, windows and strides as tuples."""
    found = {
        option: tuple(value) if isinstance(value, list) and option in ("window", "stride") else value
        for option, value in options.items()
    }
    if found.get("canonizers"):
        given = found["canonizers"]
        found["canonizers"] = [
            _canonizer(one) for one in (given if isinstance(given, (list, tuple)) else [given])
        ]
    return found


def _canonizer(given: Any) -> Any:
    kind = _found(given, _CANONIZERS, "canonizer") if isinstance(given, str) else given
    return kind() if isinstance(kind, type) else kind


def _found(name: str, places: tuple[str, ...], what: str) -> type:
    homes = [import_module(place) for place in places]
    for home in homes:
        if isinstance(found := getattr(home, name, None), type):
            return found
    known = [one for home in homes for one, value in vars(home).items() if _is_own(value, home.__name__)]
    raise UnusableExplainer(f"zennit has no {what} {shown(name)}; choose from {', '.join(sorted(known))}")


def _is_own(value: Any, home: str) -> bool:
    return isinstance(value, type) and value.__module__ == home
