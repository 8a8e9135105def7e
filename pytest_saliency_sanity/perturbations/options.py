"""What insertion and deletion curves are asked for, checked before the model is called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.text import shown

MODES = ("insertion", "deletion")
SCORES = ("softmax", "logit")
STEPS = 224
VALUES_PER_CALL = 2**21  # 13 images of 3×224×224; with more, a CPU takes longer for each
_ON_A_GPU = 2**23  # 55 of these images
IMAGES_PER_CALL = 256  # of small images: more take twice as long, and no deadline can come between them


def check_subject(model: Any, inputs: Any) -> None:
    """Raise TypeError or ValueError unless `inputs` is (n, C, *S) and the model in evaluation mode."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        kind = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be one floating-point tensor (n, C, *S), got {kind}.")
    if not 3 <= inputs.ndim <= 5 or not inputs.numel():
        raise ValueError(
            f"inputs must be (n, C, *S) with one to three spatial axes, got {tuple(inputs.shape)}."
        )
    if getattr(model, "training", False):
        raise ValueError(
            "The model is in training mode, where a score depends on its batch; call model.eval() first."
        )


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ValueError, with the choices, unless `value` is one of them."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}.")


def chosen_modes(modes: str | Sequence[str]) -> tuple[str, ...]:
    """The modes asked for, each once."""
    chosen = (modes,) if isinstance(modes, str) else tuple(dict.fromkeys(modes))
    for mode in chosen or (modes,):
        check_choice("modes", mode, MODES)
    return chosen


def pixel_counts(pixels: int, steps: int | None) -> Tensor:
    """(steps + 1,) how many pixels have been moved at each step, from none to all."""
    steps = min(STEPS, pixels) if steps is None else steps
    _check_whole("steps", steps, pixels)
    return torch.arange(steps + 1) * pixels // steps


def images_per_call(inputs: Tensor, batch_size: int | None) -> int:
    """How many images go into one call of the model."""
    if batch_size is None:
        values = VALUES_PER_CALL if inputs.device.type == "cpu" else _ON_A_GPU
        return max(1, min(IMAGES_PER_CALL, values // inputs[0].numel()))
    _check_whole("batch_size", batch_size)
    return batch_size


def _check_whole(name: str, value: Any, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most and value > most):
        limits = "of at least 1" if most is None else f"from 1 to {most}, the number of pixels"
        raise ValueError(f"{name} must be a whole number {limits}, got {shown(value)}.")
