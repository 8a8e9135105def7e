"""What replaces hidden pixels: zeros, a blur, means, noisy linear imputation, or the user's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from pytest_saliency_sanity.perturbations.noise import white_noise, wide

Infill: TypeAlias = "str | float | np.ndarray | Tensor"

INFILLS = ("zero", "blur", "mean", "noisy_linear")
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


def fillings(images: Tensor, infills: Mapping[str, str | Tensor], seed: int) -> Fillings:
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


def chosen_infills(infill: Infill | Mapping[str, Infill], modes: Sequence[str]) -> dict[str, str | Tensor]:
    """mode -> a name or a tensor. Raises ValueError, with the choices, for another infill and a mode without one."""
    if not isinstance(infill, Mapping):
        return dict.fromkeys(modes, as_infill(infill))
    for mode in modes:
        if mode not in infill:
            raise ValueError(
                f"infill must have an entry for {mode}, got {', '.join(map(str, infill)) or 'none'}."
            )
    return {mode: as_infill(infill[mode]) for mode in modes}


def as_infill(infill: Any, names: Sequence[str] = INFILLS) -> str | Tensor:
    """One of `names` as it is; a number, an array or a tensor as a tensor.

    Raises ValueError for anything else, with the choices.
    """
    if isinstance(infill, str) and infill in names:
        return infill
    values = as_values(infill)
    if values is None:
        raise ValueError(
            f"infill must be one of {', '.join(names)}, a number or a tensor, not {_shown(infill)}"
        )
    return values


def as_values(infill: Any) -> Tensor | None:
    """A number, an array or a tensor as a tensor; None for what is none of these."""
    if isinstance(infill, Tensor):
        return None if infill.is_complex() else infill.detach()
    if isinstance(infill, np.ndarray):
        # torch takes native bytes and widths only
        return torch.from_numpy(infill.astype(np.float64)) if infill.dtype.kind in "fiu" else None
    if isinstance(infill, Real) and not isinstance(infill, bool):
        return torch.tensor(float(infill), dtype=torch.float64)
    return None


def broadcast(values: Tensor, images: Tensor) -> Tensor:
    """(n, C, *S) values broadcast to images (n, C, *S), on their device and in their dtype.

    Raises ValueError for a shape that does not fit, and for values that are not finite in that dtype.
    """
    check_fits(values, tuple(images.shape))
    cast = values.detach().to(images)
    broken = ~cast.isfinite()
    if broken.any():
        places = f"NaN or infinite values in {int(broken.sum())} of {cast.numel()} places"
        shown = repr(values.item()) if values.dim() == 0 else f"{places} of the shape {tuple(values.shape)}"
        raise ValueError(f"infill must be finite in {cast.dtype}, got {shown}")
    return cast.expand_as(images)


def check_fits(values: Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the values broadcast to images of a shape (n, C, *S)."""
    try:
        values.expand(shape)
    except RuntimeError:
        raise ValueError(
            f"the infill of shape {tuple(values.shape)} does not broadcast to the images {shape}"
        ) from None


def named(images: Tensor, infill: str) -> Tensor:
    """(n, C, *S) what "zero", "blur" and "mean" put in the place of images (n, C, *S).

    "mean" is that of each channel over all the images.
    """
    if infill == "blur":
        return blurred(images)
    if infill == "mean":
        axes = (0, *range(2, images.ndim))
        return wide(images).mean(axes, keepdim=True).to(images.dtype).expand_as(images)
    return torch.zeros_like(images)


def blurred(inputs: Tensor) -> Tensor:
    """`inputs` (n, C, *S) blurred as in RISE's program: 11 pixels per side, σ = 5, zeros beyond the border.

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


def _distinct(infills: Iterable[str | Tensor]) -> list[str | Tensor]:
    found: list[str | Tensor] = []
    for infill in infills:
        if not _places(infill, found):
            found.append(infill)
    return found


def _places(infill: str | Tensor, infills: Sequence[str | Tensor]) -> list[int]:
    # Tensors by identity: == would compare their elements.
    same = (infill is other if isinstance(infill, Tensor) else _is(other, infill) for other in infills)
    return [place for place, found in enumerate(same) if found]


def _is(infill: str | Tensor, name: str) -> bool:
    return isinstance(infill, str) and infill == name


def _whole(infill: str | Tensor, images: Tensor, noise: Tensor) -> Tensor:
    """(n, C, *S) what is left of the images when all is hidden."""
    if isinstance(infill, Tensor):
        return broadcast(infill, images)
    return _channel_means(images, noise) if infill == "noisy_linear" else named(images, infill)


def _channel_means(images: Tensor, noise: Tensor) -> Tensor:
    if images.ndim != 4:
        raise ValueError(f'infill "noisy_linear" needs images (n, C, H, W), got {tuple(images.shape)}.')
    return wide(images).mean((2, 3), keepdim=True).to(images.dtype) + noise


def _shown(infill: Any) -> str:
    """What was given in place of an infill, never an array or a list as a whole."""
    if isinstance(infill, (np.ndarray, Tensor)):
        return f"an array of {infill.dtype} of the shape {tuple(infill.shape)}"
    return repr(infill) if infill is None or isinstance(infill, (str, bool)) else f"a {type(infill).__name__}"


def _kernel() -> Tensor:
    impulse = np.zeros(BLUR_SIZE)
    impulse[BLUR_SIZE // 2] = 1
    return torch.from_numpy(gaussian_filter1d(impulse, BLUR_SIGMA))  # mode="reflect", as in RISE's gkern


def _convolved(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    last = values.movedim(axis, -1)
    rows = last.reshape(-1, 1, last.shape[-1])
    rows = torch.nn.functional.conv1d(rows, kernel[None, None], padding=len(kernel) // 2)
    return rows.view(last.shape).movedim(-1, axis)
