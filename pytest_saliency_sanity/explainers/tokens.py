"""Explainers that take gradients or filter their inputs: of token ids, they explain the embeddings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from pytest_saliency_sanity.embedding import current_embed, embeddings, from_embeddings, using_embed
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.outputs import Inputs, using_forward

Explainer = TypeVar("Explainer", bound=Callable[..., Any])


def of_tokens(explainer: Explainer) -> Explainer:
    """The explainer, for token ids too, where `using_embed` says which layer embeds them: its map is (N, L, D)."""

    @functools.wraps(explainer)
    def of_any_input(model: Any, inputs: Inputs, targets: Any, **options: Any) -> Any:
        layer = current_embed()
        if layer is None or _are_floating(inputs):
            return explainer(model, inputs, targets, **options)
        embedded = embeddings(model, inputs, layer)
        with (
            using_forward(from_embeddings(inputs, layer)),
            using_channel_axis(-1),
            using_embed(None),
        ):
            return explainer(model, embedded, targets, **options)

    return of_any_input  # type: ignore[return-value]  # pyright: ignore  # it takes what the explainer takes


def _are_floating(inputs: Inputs) -> bool:
    parts = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    return all(not isinstance(part, Tensor) or part.is_floating_point() for part in parts)
