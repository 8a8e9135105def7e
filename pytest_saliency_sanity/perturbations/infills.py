"""What takes the place of hidden pixels: zeros, a blur, noisy linear imputation, or the user's tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .noise import white_noise, wide
from .options import check_choice

Infill: TypeAlias = "str | Tensor"

INFILLS = ("zero", "blur", "noisy_linear")
BLUR_SIZE, BLUR_SIGMA = 11, 5.0  # pixels
NOISE = 0.01  # standard deviation that ROAD's program adds to imputed pixels, in units of the inputs


@dataclass(frozen=True, eq=False)
class Fillings:
    """What F distinct infills put in the place of n images, and which of them each mode takes.

    Attributes:
        whole: (F, n, C, *S) what is left of the images when all is hidden.
        of_mode: mode -> the number of its infill.
        linear: the number of the infill that is solved for at every step, or None.
        noise: (n, C, *S) what is added to it; else zeros.
    """

    whole: Tensor
    of_mode: Mapping[str, int]
    linear: int | None
    noise: Tensor


def fillings(images: Tensor, infills: Mapping[str, Infill], seed: int) -> Fillings:
    """The fillings of images (n, C, *S) by mode -> infill, as `chosen_infills` gives them.

    Raises ValueError for an infill that does not fit the images.
    """
    distinct = _distinct(infills.values())
    of_mode = {mode: _places(infill, distinct)[0] for mode, infill in infills.items()}
    linear = next(iter(_places("noisy_linear", distinct)), None)
    noise = torch.zeros_like(images) if linear is None else _noise(images, seed)
    return Fillings(
        torch.stack([_whole(infill, images, noise) for infill in distinct]), of_mode, linear, noise
    )


def chosen_infills(infill: Infill | Mapping[str, Infill], modes: Sequence[str]) -> dict[str, Infill]:
    """mode -> infill. Raises ValueError, with the choices, for an unknown one and for a mode without one."""
    given = infill if isinstance(infill, Mapping) else dict.fromkeys(modes, infill)
    for mode in modes:
        if mode not in given:
            raise ValueError(
                f"infill must have an entry for {mode}, got {', '.join(map(str, given)) or 'none'}."
            )
        if not isinstance(given[mode], Tensor):
            check_choice("infill", given[mode], INFILLS, "or a tensor")
    return {mode: given[mode] for mode in modes}


def blurred(inputs: Tensor) -> Tensor:
    """`inputs` (n, C, *S) blurred as in RISE's program: 11 pixels a side, σ = 5, zeros beyond the border.

    Its kernel is scipy's Gaussian filter of a single 1 in 11×11 pixels, which mirrors what falls outside back into
    the kernel: it is flatter than a Gaussian cut off and scaled. The zeros darken the border, in normalized space
    towards the mean of the data. Signals and volumes are blurred likewise along each of their axes.
    """
    result, kernel = wide(inputs), _kernel()
    for axis in range(2, inputs.ndim):
        result = _convolved(result, kernel.to(result), axis)
    return result.to(inputs.dtype)


def _noise(images: Tensor, seed: int) -> Tensor:
    return NOISE * white_noise(wide(images), seed, "noisy linear").to(images.dtype)


def _distinct(infills: Iterable[Infill]) -> list[Infill]:
    found: list[Infill] = []
    for infill in infills:
        if not _places(infill, found):
            found.append(infill)
    return found


def _places(infill: Infill, infills: Sequence[Infill]) -> list[int]:
    # Tensors by identity: == would compare their elements.
    same = (infill is other if isinstance(infill, Tensor) else _is(other, infill) for other in infills)
    return [place for place, found in enumerate(same) if found]


def _is(infill: Infill, name: str) -> bool:
    return isinstance(infill, str) and infill == name


def _whole(infill: Infill, images: Tensor, noise: Tensor) -> Tensor:
    """(n, C, *S) what is left of the images when all is hidden."""
    if isinstance(infill, Tensor):
        return _broadcast(infill, images)
    if infill == "zero":
        return torch.zeros_like(images)
    return blurred(images) if infill == "blur" else _channel_means(images, noise)


def _channel_means(images: Tensor, noise: Tensor) -> Tensor:
    if images.ndim != 4:
        raise ValueError(f'infill "noisy_linear" needs images (n, C, H, W), got {tuple(images.shape)}.')
    return wide(images).mean((2, 3), keepdim=True).to(images.dtype) + noise


def _broadcast(infill: Tensor, images: Tensor) -> Tensor:
    try:
        return infill.detach().to(images).expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"An infill of shape {tuple(infill.shape)} does not broadcast to inputs of shape {tuple(images.shape)}."
        ) from None


def _kernel() -> Tensor:
    impulse = np.zeros(BLUR_SIZE)
    impulse[BLUR_SIZE // 2] = 1
    return torch.from_numpy(gaussian_filter1d(impulse, BLUR_SIGMA))  # mode="reflect", as in RISE's gkern


def _convolved(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    last = values.movedim(axis, -1)
    rows = last.reshape(-1, 1, last.shape[-1])
    rows = torch.nn.functional.conv1d(rows, kernel[None, None], padding=len(kernel) // 2)
    return rows.view(last.shape).movedim(-1, axis)
