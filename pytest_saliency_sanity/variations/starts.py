"""Where the descent starts, and whether what is generated there is in the units of the inputs."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations.inpainting import (
    Descent,
    Generator,
    generated_images,
    named_failures,
)
from pytest_saliency_sanity.perturbations.restoring.streams import stream
from pytest_saliency_sanity.text import shown

OUTSIDE = 0.5  # of the inputs' range: generated images that leave it by more are in other units
NARROW = 1 / 3  # of the inputs' range: as for images from 0 to 1 beside normalized ones


def starting_latents(starts: Any, latent: Any, inputs: Tensor, seed: int) -> Tensor:
    """(S, N, *latent) on the device and in the dtype of the inputs: see `acceptable_variations`."""
    if isinstance(starts, int) and not isinstance(starts, bool):
        if starts < 1:
            raise ValueError(f"starts must be at least 1, got {shown(starts)}.")
        shape = (starts, *_latent_shape(latent))
        found = torch.randn(shape, generator=stream(seed, "starts"), dtype=torch.float32)
        return _for_every_image(found, inputs)
    if latent is not None:
        raise ValueError(
            f"latent= is only for starts that are drawn: leave it out with starts=, got {shown(latent)}."
        )
    if isinstance(starts, Tensor):
        return _for_every_image(_checked(starts, "(S, *latent)", 2), inputs)
    if not callable(starts):
        raise TypeError(
            f"starts must be a number of starts, a tensor (S, *latent) or a function, got {shown(starts)}."
        )
    with entered(torch.no_grad()), named_failures("starts", starts, "images", inputs):
        found = _checked(starts(inputs), "(S, N, *latent)", 3)
    if found.shape[1] != len(inputs):
        raise ValueError(f"starts must return (S, {len(inputs)}, *latent), got {tuple(found.shape)}.")
    return found.to(inputs)


def _latent_shape(latent: Any) -> tuple[int, ...]:
    shape = (latent,) if isinstance(latent, int) else latent
    whole = isinstance(shape, (tuple, list)) and all(type(side) is int and side > 0 for side in shape)
    if not whole or not shape:
        raise ValueError(
            f"latent must be how many numbers the generator takes, or their shape, such as 64 or (64, 1, 1), got "
            f"{shown(latent)}."
        )
    return tuple(shape)


def _for_every_image(latents: Tensor, inputs: Tensor) -> Tensor:
    shape = (len(latents), len(inputs), *latents.shape[1:])
    return latents.to(inputs).unsqueeze(1).expand(shape)


def _checked(latents: Any, shape: str, least: int) -> Tensor:
    if not isinstance(latents, Tensor) or not latents.is_floating_point():
        kind = latents.dtype if isinstance(latents, Tensor) else type(latents).__name__
        raise TypeError(f"starts must be floating-point latents {shape}, got {kind}.")
    if latents.dim() < least or not latents.numel():
        raise ValueError(f"starts must be latents {shape}, got {tuple(latents.shape)}.")
    broken = ~latents.isfinite()
    if broken.any():
        raise ValueError(
            f"starts must be finite latents {shape}, got {latents[broken][0].item()} among them."
        )
    return latents.detach()


def check_generated(
    descent: Descent, starts: Tensor, inputs: Tensor, value_range: tuple[float, float] | None
) -> None:
    """ValueError if what the generator makes of the starts is of another shape, not finite, or clearly in other units.

    Units differ where the images leave the inputs' range, or `value_range`, by more than half of it; and, unless
    `value_range` is given, where they span less than a third of it.
    """
    low, high = _range(inputs) if value_range is None else _checked_range(value_range)
    bottom, top = _generated_range(descent, starts, inputs)
    width = high - low
    outside = max(low - bottom, top - high) > OUTSIDE * width
    narrow = value_range is None and top - bottom < NARROW * width
    if width > 0 and (outside or narrow):
        whose = "inputs" if value_range is None else "value_range"
        raise ValueError(
            f"generator makes images from {bottom:.3g} to {top:.3g}, but the {whose} reach from {low:.3g} to "
            f"{high:.3g}: convert its images to the units of the inputs, such as generator=lambda z: (decoder(z) + "
            f"1) / 2 for a tanh, or pass the range of valid images as value_range=."
        )


def _generated_range(descent: Descent, starts: Tensor, inputs: Tensor) -> tuple[float, float]:
    ranges = []
    variants = torch.arange(starts.shape[:2].numel(), device=inputs.device)
    with entered(torch.no_grad()):
        for job in torch.split(variants, descent.per_call):
            latents = starts.flatten(0, 1)[job]
            ranges.append(_finite_range(descent.generator, latents, inputs[job % len(inputs)]))
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _finite_range(generator: Generator, latents: Tensor, images: Tensor) -> tuple[float, float]:
    low, high = _range(generated_images(generator, latents, images))
    if not math.isfinite(low) or not math.isfinite(high):
        raise ValueError(
            f"generator makes images from {low} to {high} of the starts: it must return finite numbers."
        )
    return low, high


def _range(images: Tensor) -> tuple[float, float]:
    low, high = images.aminmax()
    return low.item(), high.item()


def _checked_range(value_range: Any) -> tuple[float, float]:
    pair = (
        isinstance(value_range, (tuple, list)) and len(value_range) == 2 and all(map(_is_number, value_range))
    )
    if not pair or not value_range[0] < value_range[1]:
        raise ValueError(
            f"value_range must be two numbers (lowest, highest), or None, got {shown(value_range)}."
        )
    return float(value_range[0]), float(value_range[1])


def _is_number(value: Any) -> bool:
    """Also what `inputs.min()` returns."""
    real = isinstance(value, Real) or (isinstance(value, Tensor) and value.dim() == 0)
    return real and not isinstance(value, bool)
