"""White noise, each image's from its own stream, and random maps of a given smoothness made from it."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.restoring.streams import stream


def smooth_random_maps(maps: Tensor, seed: int) -> Tensor:
    """Random maps (n, *S), each with the power spectrum, and so the smoothness, of one of `maps` (n, *S).

    Theiler et al. 1992, section 2.4.1: the Fourier transform's amplitudes stay and its phases are drawn, here as
    those of white noise, which are uniform and have the symmetry of a real signal. A map and its negative are
    equally likely, up to their means. The values become about Gaussian; only their order is meant to be used.
    The result is in at least single precision; a constant map has no smoothness to share and no usable result.
    """
    widened, space = wide(maps.detach()), tuple(range(1, maps.ndim))
    noise = white_noise(widened, seed, "smooth random maps")
    phases = torch.fft.rfftn(noise, dim=space).angle()
    spectrum = torch.polar(torch.fft.rfftn(widened, dim=space).abs(), phases)
    randomized: Tensor = torch.fft.irfftn(spectrum, s=maps.shape[1:], dim=space)
    return randomized


def white_noise(like: Tensor, seed: int, purpose: str) -> Tensor:
    """White noise of the shape of `like`; an image's does not depend on how many others there are."""
    draws = [torch.randn(like.shape[1:], generator=stream(seed, purpose, i)) for i in range(len(like))]
    return torch.stack(draws).to(like)


def wide(values: Tensor) -> Tensor:
    """`values` in at least single precision."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
