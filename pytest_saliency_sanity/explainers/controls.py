"""Explainers with a known verdict: each ignores the model, the image, or both, in its own way.

They take what every explainer takes and work for inputs (N, C, *S) with one or more spatial dimensions, or
a tuple of such inputs (then they return a tuple). `CONTROLS` gives a fresh instance of each by name.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pytest_saliency_sanity.explainers.gradients import gradient
from pytest_saliency_sanity.explainers.inputs import Parts, as_given, tensors
from pytest_saliency_sanity.explainers.spatial import spatial
from pytest_saliency_sanity.explainers.tokens import of_tokens
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Inputs, as_targets
from pytest_saliency_sanity.text import shown

Explainer: TypeAlias = Callable[..., Any]


@spatial
def sobel(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The magnitude of the Sobel filter in each channel: an edge detector that does not use the model."""
    return _each(_sobel, inputs)


@spatial
def laplacian(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The Laplace filter (second differences) in each channel, with its sign."""
    return _each(_laplacian, inputs)


@spatial
def local_deviation(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The standard deviation among each pixel and its direct neighbors, in each channel."""
    return _each(_local_deviation, inputs)


@of_tokens
def input_copy(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The input itself."""
    return _each(torch.clone, inputs)


@spatial
def input_x_sobel(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """Input times Sobel magnitude: an edge detector in the guise of input times gradient."""
    return _each(lambda part: part * _sobel(part), inputs)


@spatial
def noisy_sobel(model: Any, inputs: Inputs, targets: Any, *, noise: float = 0.5) -> Inputs:
    """Sobel magnitude plus Gaussian noise (torch's global generator) of `noise` times its deviation."""

    def noisy(part: Tensor) -> Tensor:
        edges = _sobel(part)
        return edges + noise * _deviation(edges) * torch.randn_like(edges)

    return _each(noisy, inputs)


@of_tokens
def noise(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """Gaussian noise from torch's global generator."""
    return _each(torch.randn_like, inputs)


@of_tokens
def constant(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """The value 1 everywhere."""
    return _each(torch.ones_like, inputs)


@spatial
def center_prior(model: Any, inputs: Inputs, targets: Any) -> Inputs:
    """A Gaussian around the center, a quarter of each side wide: (N, 1, *S), the same for every image."""
    return _each(_center_prior, inputs)


@spatial
def gradient_sobel_mixture(model: Any, inputs: Inputs, targets: Any, *, sobel: float = 0.8) -> Inputs:
    """`sobel` parts edge detector, the rest plain gradient: (N, 1, *S).

    Both are summed over channels and scaled to unit standard deviation in each image before they are mixed.
    Raises ValueError if `sobel` is not between 0 and 1.
    """
    if not 0 <= sobel <= 1:
        raise ValueError(f"sobel must be a fraction between 0 and 1, got {shown(sobel)}.")
    gradients = tensors(gradient(model, inputs, targets))
    return as_given(
        inputs,
        [
            sobel * _unit(_sobel(part.detach())) + (1 - sobel) * _unit(g)
            for part, g in zip(tensors(inputs), gradients, strict=True)
        ],
    )


def stale_model(base: Explainer = gradient) -> Explainer:
    """An explainer that copies the first model it is given, and explains that copy ever after."""
    first: list[Any] = []

    def explain(model: Any, inputs: Inputs, targets: Any) -> Any:
        if not first:
            with entered(torch.inference_mode(False)):
                first.append(copy.deepcopy(model))
        return base(first[0], inputs, targets)

    return _named("stale_model", explain)


def cached_maps(base: Explainer = gradient) -> Explainer:
    """An explainer that returns the first map it made of each image, whatever the model or target."""
    cache: dict[bytes, Parts] = {}

    def explain(model: Any, inputs: Inputs, targets: Any) -> Any:
        keys = _image_keys(tensors(inputs))
        missing = [i for i, key in enumerate(keys) if key not in cache]
        if missing:
            maps = base(model, _rows(inputs, missing), as_targets(targets, len(keys))[missing])
            cache.update(zip([keys[i] for i in missing], zip(*tensors(maps), strict=True), strict=False))
        return as_given(
            inputs, [torch.stack(rows) for rows in zip(*(cache[key] for key in keys), strict=True)]
        )

    return _named("cached_maps", explain)


def _named(name: str, explainer: Explainer) -> Explainer:
    explainer.__name__ = explainer.__qualname__ = name
    return explainer


_STATELESS = (
    sobel,
    laplacian,
    local_deviation,
    input_copy,
    input_x_sobel,
    noisy_sobel,
    noise,
    constant,
    center_prior,
    gradient_sobel_mixture,
)


def _always(control: Explainer) -> Callable[[], Explainer]:
    return lambda: control


# Name -> a function without arguments that gives a fresh instance: two of them keep a state.
CONTROLS: Mapping[str, Callable[[], Explainer]] = MappingProxyType(
    {
        **{control.__name__: _always(control) for control in _STATELESS},
        "stale_model": stale_model,
        "cached_maps": cached_maps,
    }
)


def _each(one: Callable[[Tensor], Tensor], inputs: Inputs) -> Inputs:
    with entered(torch.no_grad()):
        return as_given(inputs, [one(part.detach()) for part in tensors(inputs)])


def _axes(part: Tensor) -> range:
    return range(2, part.dim())


def _sobel(part: Tensor) -> Tensor:
    return sum((_derivative(part, axis) ** 2 for axis in _axes(part)), torch.zeros_like(part)).sqrt()


def _derivative(part: Tensor, axis: int) -> Tensor:
    """Central difference along `axis`, smoothed by 1, 2, 1 along the other spatial axes."""
    before, after = _neighbors(part, axis)
    difference = after - before
    for other in _axes(part):
        if other != axis:
            before, after = _neighbors(difference, other)
            difference = before + 2 * difference + after
    return difference


def _laplacian(part: Tensor) -> Tensor:
    total = torch.zeros_like(part)
    for axis in _axes(part):
        before, after = _neighbors(part, axis)
        total = total + (before - 2 * part + after)
    return total


def _local_deviation(part: Tensor) -> Tensor:
    count = 3 ** len(_axes(part))
    mean = sum(neighbor / count for neighbor in _neighborhood(part))
    squares = ((neighbor - mean) ** 2 / count for neighbor in _neighborhood(part))
    return sum(squares, torch.zeros_like(part)).sqrt()


def _neighborhood(part: Tensor) -> Iterator[Tensor]:
    for offsets in product((-1, 0, 1), repeat=len(_axes(part))):
        shifted = part
        for axis, offset in zip(_axes(part), offsets, strict=True):
            shifted = _neighbors(shifted, axis)[(offset + 1) // 2] if offset else shifted
        yield shifted


def _neighbors(part: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The value before and the value after each position along `axis`; the border repeats itself."""
    size = part.shape[axis]
    bordered = torch.cat([part.narrow(axis, 0, 1), part, part.narrow(axis, size - 1, 1)], axis)
    return bordered.narrow(axis, 0, size), bordered.narrow(axis, 2, size)


def _center_prior(part: Tensor) -> Tensor:
    bell = part.new_ones(len(part), 1, *part.shape[2:])
    for axis in _axes(part):
        side = part.shape[axis]
        offsets = torch.arange(side, device=part.device, dtype=part.dtype) - (side - 1) / 2
        shape = [side if other == axis else 1 for other in range(part.dim())]
        bell = bell * torch.exp(-0.5 * (offsets / (side / 4)) ** 2).view(shape)
    return bell


def _unit(part: Tensor) -> Tensor:
    """Summed over channels and scaled to unit standard deviation in each image."""
    total = part.sum(1, keepdim=True)
    return total / _deviation(total).clamp_min(torch.finfo(total.dtype).tiny)


def _deviation(part: Tensor) -> Tensor:
    return part.std(tuple(range(1, part.dim())), keepdim=True, correction=0)


def _rows(inputs: Inputs, indices: list[int]) -> Inputs:
    return as_given(inputs, [part[indices] for part in tensors(inputs)])


def _image_keys(parts: Parts) -> list[bytes]:
    return [_digest(image) for image in zip(*parts, strict=True)]


def _digest(image: Parts) -> bytes:
    digest = hashlib.sha256()
    for part in image:
        digest.update(str((part.dtype, tuple(part.shape))).encode())
        digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.digest()
