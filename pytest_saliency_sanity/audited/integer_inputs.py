"""What to do about inputs of integers: pixels become numbers, token ids become embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.weights.addresses import unwrapped
from pytest_saliency_sanity.signals import is_interruption


def advice(inputs: Tensor, model: nn.Module) -> str:
    """The way out for inputs that are not floating point, by their shape, their values and the model's embedding."""
    if inputs.is_complex():
        return "pass the real and imaginary parts as channels"
    ids = inputs.dtype not in (torch.bool, torch.uint8)
    name = _embedding(unwrapped(model))
    if ids and name is not None and inputs.ndim <= 3:
        return f"token ids have no derivative, so say which layer's output is to be explained: embed={name!r}"
    if ids and inputs.ndim <= 2:
        return (
            "for a table of numbers pass inputs.float(); token ids have no derivative, so say which layer's output is "
            "to be explained: embed='the name of the layer'"
        )
    return "for images of 0 to 255 pass inputs.float() / 255" if _are_bytes(inputs) else "pass inputs.float()"


def _are_bytes(inputs: Tensor) -> bool:
    if inputs.dtype == torch.uint8:
        return True
    return inputs.ndim > 3 and inputs.numel() > 0 and int(inputs.min()) >= 0 and 1 < int(inputs.max()) <= 255


def _embedding(model: nn.Module) -> str | None:
    """The name of the layer that embeds tokens, or None where there is none."""
    own = _of_tokens(model)
    named = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    return next((name for name, module in named if name and own in (None, module)), None)


def _of_tokens(model: nn.Module) -> object:
    """What transformers' models name their embedding; some raise NotImplementedError."""
    method: Any = getattr(model, "get_input_embeddings", None)
    try:
        return method()
    except Exception as error:
        if is_interruption(error):
            raise
        return None
