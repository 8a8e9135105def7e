"""Explainers that have to know the spatial axes: they are called with channels first, wherever the inputs have them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from pytest_saliency_sanity.explainers.inputs import as_given
from pytest_saliency_sanity.explainers.tokens import of_tokens
from pytest_saliency_sanity.layout import (
    channels_back,
    channels_first,
    current_channel_axis,
    using_channel_axis,
)
from pytest_saliency_sanity.outputs import Inputs, current_forward, raw_outputs, using_forward

Explainer = TypeVar("Explainer", bound=Callable[..., Any])


def spatial(explainer: Explainer) -> Explainer:
    """The explainer of inputs (N, C, *S), for the layout that `using_channel_axis` says."""

    @functools.wraps(explainer)
    def of_any_layout(model: Any, inputs: Inputs, targets: Any, **options: Any) -> Inputs:
        axis = current_channel_axis()
        if axis in (None, 1):
            given: Inputs = explainer(model, inputs, targets, **options)
            return given
        forward = current_forward()

        def moved_back(model: Any, first: Inputs) -> Any:
            with using_forward(forward):
                return raw_outputs(model, _each(channels_back, first, axis))

        with using_channel_axis(1), using_forward(moved_back):
            maps: Inputs = _back(
                explainer(model, _each(channels_first, inputs, axis), targets, **options), axis
            )
        return maps

    return of_tokens(of_any_layout)  # type: ignore[return-value]  # pyright: ignore  # it takes what the explainer takes


def _back(made: Any, axis: int | None) -> Any:
    """Maps with their channels where those of the inputs are; what else an explainer returns stays."""
    if isinstance(made, (tuple, list)):
        return tuple(_back(part, axis) for part in made)
    return channels_back(made, axis) if isinstance(made, Tensor) else made


def _each(move: Callable[[Tensor, int], Tensor], inputs: Inputs, axis: int) -> Inputs:
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    return as_given(inputs, [move(part, axis) for part in parts])
