"""Token ids, which have no derivative: what is explained is the output of a layer, an embedding (N, L, D)."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pytest_saliency_sanity.loans import Loan, entered, holding, lent
from pytest_saliency_sanity.outputs import (
    Forward,
    Inputs,
    batch_size,
    called,
    current_forward,
    raw_outputs,
    using_forward,
)
from pytest_saliency_sanity.text import shown

_layer: ContextVar[str | None] = ContextVar("saliency_embed", default=None)


def using_embed(layer: str | None) -> Loan[None]:
    """Within this context, the package's own explainers explain the output of this layer of the model."""
    return holding(_layer, layer)


def current_embed() -> str | None:
    """The name of the layer that `using_embed` has set here, or None."""
    return _layer.get()


def embeddings(model: Any, inputs: Inputs, layer: str, forward: Forward | None = None) -> Tensor:
    """What the layer returns for these inputs, (N, L, D), without a graph.

    Raises:
        ValueError, TypeError: for a layer that the model does not have, does not call once, or that returns
            something else, in one sentence.
    """
    returned: list[Any] = []
    read = forward or current_forward()

    def from_the_start(model: Any, given: Inputs) -> Any:
        returned.clear()  # a model that needs gradients is called a second time
        with using_forward(read):
            return raw_outputs(model, given)

    with entered(torch.no_grad()), _hooked(found_layer(model, layer), returned.append):
        called(model, inputs, from_the_start)
    if len(returned) != 1:
        raise ValueError(
            f"embed={layer!r}: the model calls this layer {len(returned)} times in a forward pass; name one that it "
            f"calls once"
        )
    return _checked(returned[0], layer, batch_size(inputs)).detach().clone()


def from_embeddings(inputs: Inputs, layer: str) -> Forward:
    """forward(model, embeddings): the model's outputs for `inputs`, its layer's output replaced by the embeddings.

    Of embeddings (k·N, L, D), each N belong to the inputs, in their order.
    """
    otherwise = current_forward()

    def forward(model: Any, replaced: Tensor) -> Any:
        with _hooked(found_layer(model, layer), lambda _: replaced), using_forward(otherwise):
            return raw_outputs(model, _repeated(inputs, len(replaced)))

    return forward


def found_layer(model: Any, name: Any) -> nn.Module:
    """The layer of this name.

    Raises:
        TypeError, ValueError: where there is none, with the nearest names.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"embed must be the name of a layer of the model, such as 'embeddings', not {shown(name)}"
        )
    named: dict[str, nn.Module] = dict(model.named_modules())
    if name and name in named:
        return named[name]
    layers = [one for one in named if one]
    near = difflib.get_close_matches(name, layers, 3, 0.3) or layers[:3]
    raise ValueError(
        f"embed={name!r}: {type(model).__name__} has no such layer; the nearest are {', '.join(map(repr, near))}"
    )


def _hooked(layer: nn.Module, seen: Callable[[Any], Any]) -> Loan[None]:
    """Within this context what the layer returns goes through `seen`, which may return something in its place."""
    handles: list[RemovableHandle] = []

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        return seen(output)

    return lent(
        lambda: handles.append(layer.register_forward_hook(hook)),
        lambda: list(map(RemovableHandle.remove, handles)),
    )


def _checked(made: Any, layer: str, images: int) -> Tensor:
    if not isinstance(made, Tensor) or not made.is_floating_point():
        kind = made.dtype if isinstance(made, Tensor) else type(made).__name__
        raise TypeError(f"embed={layer!r}: it returns {kind}; a floating-point tensor (N, L, D) is needed")
    if made.ndim != 3 or len(made) != images:
        raise ValueError(
            f"embed={layer!r}: it returns a tensor of shape {tuple(made.shape)} for {images} inputs; (N, L, D) is "
            f"needed: L tokens, D numbers each"
        )
    return made


def _repeated(inputs: Inputs, rows: int) -> Inputs:
    times, rest = divmod(rows, batch_size(inputs))
    if rest:
        raise ValueError(
            f"{rows} embeddings do not belong to {batch_size(inputs)} inputs: it must be a multiple"
        )
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    repeated = tuple(part.repeat(times, *[1] * (part.ndim - 1)) for part in parts)
    return repeated if isinstance(inputs, (tuple, list)) else repeated[0]
