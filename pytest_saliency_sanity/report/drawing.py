"""From numbers to PNG: heat maps, photographs, regions. Small ones: a side has at most 64 pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report import colors

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

SIDE = 64
_LINES = 16  # of a signal's channels, or an embedding's
_FLAT = 8  # a strip of lines is that many times as wide as high
_CLIPPED = 99  # percentile of the absolute values at which colors end
_PHOTOGRAPH = 64  # colors
_FADED = 0.6  # of an image outside of its region


def flat(values: np.ndarray) -> np.ndarray:
    """A map (*S) of any number of axes as a small picture (H, W) float32: lines for (L,), the middle slice of more."""
    values = _sliced(values.astype("float32"), 2)
    return shrunk(values) if values.ndim == 2 else lines(values.reshape(1, -1))


def photograph(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """An input (C, *S), or (L,), as (H, W, 3) uint8 from its darkest to its lightest value, and these two."""
    values = values.astype("float32")
    if values.ndim < 3:
        small = lines(values.reshape(1, -1) if values.ndim < 2 else values)[None]
    else:
        small = shrunk_channels(_sliced(values, 3))
    return _in_bytes(small)


def lines(values: np.ndarray) -> np.ndarray:
    """(C, L) as lines, at most 16 of at most 64 pixels, thick enough to be seen."""
    import numpy as np

    small = resized(values, min(len(values), _LINES), min(values.shape[1], SIDE))
    return np.repeat(small, max(1, round(small.shape[1] / _FLAT / len(small))), axis=0)


def shrunk(values: np.ndarray) -> np.ndarray:
    """(H, W), shrunk where a side has more than 64 pixels; each is the mean of those that it stands for."""
    factor = min(1.0, SIDE / max(values.shape))
    height, width = (max(1, round(side * factor)) for side in values.shape)
    return resized(values, height, width)


def shrunk_channels(values: np.ndarray) -> np.ndarray:
    """(C, H, W) with three channels, or their mean as the only one, shrunk."""
    import numpy as np

    channels = values if len(values) == 3 else values.mean(0, keepdims=True)
    return np.stack([shrunk(one) for one in channels])


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) float32 as (height, width), by means."""
    import numpy as np
    from PIL import Image

    if values.shape == (height, width):
        return values
    whole = Image.frombytes("F", values.shape[::-1], np.ascontiguousarray(values, "<f4").tobytes())
    return np.asarray(whole.resize((width, height), Image.Resampling.BOX), dtype="float32")


def limit(values: np.ndarray) -> float:
    """The absolute value at which the colors of a map end; 0 for a map of zeros."""
    import numpy as np

    finite = np.abs(values[np.isfinite(values)])
    if not finite.size:
        return 0.0
    return float(np.percentile(finite, _CLIPPED)) or float(finite.max())


def heat(values: np.ndarray, low: float, high: float, signed: bool) -> bytes:
    """A heat map (H, W) with the colors of low … high; what is not finite is gray."""
    import numpy as np

    with np.errstate(all="ignore"):
        share = np.clip((values.astype(float) - low) / ((high - low) or 1.0), 0, 1)
    levels = np.round(share * (colors.LEVELS - 1))
    index = np.where(np.isfinite(values), np.nan_to_num(levels), colors.LEVELS).astype(np.uint8)
    return _file(_indexed(index, colors.palette(signed)))


def of_photograph(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 as a file of few colors."""
    from PIL import Image

    whole = Image.frombytes("RGB", pixels.shape[1::-1], pixels.tobytes())
    return _file(whole.quantize(_PHOTOGRAPH, method=Image.Quantize.FASTOCTREE))


def outlined(pixels: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """A photograph that is faded outside of the regions (H, W) bool, which are outlined in a color each.

    A small one is enlarged first: a line as wide as one of its pixels would fill the region.
    """
    import numpy as np

    factor = max(1, SIDE // max(pixels.shape[:2]))
    pixels = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    small = [resized(mask.astype("float32"), *pixels.shape[:2]) >= 0.5 for mask in masks]
    inside = np.any(small, axis=0)[..., None]
    faded = np.where(inside, pixels, pixels + (235.0 - pixels) * _FADED)
    for mask, color in zip(small, colors.OUTLINES, strict=False):
        faded[mask & ~_eroded(mask)] = color
    return faded.astype(np.uint8)


def _eroded(mask: np.ndarray) -> np.ndarray:
    import numpy as np

    padded = np.pad(mask, 1)
    around = [padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]]
    return np.asarray(np.logical_and.reduce([mask, *around]))


def _sliced(values: np.ndarray, axes: int) -> np.ndarray:
    """The middle slices of a volume, or a film: of the axis in front of its last two."""
    while values.ndim > axes:
        values = values.take(values.shape[-3] // 2, axis=-3)
    return values


def _in_bytes(small: np.ndarray) -> tuple[np.ndarray, float, float]:
    import numpy as np

    finite = small[np.isfinite(small)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    share = np.nan_to_num((small - low) / ((high - low) or 1.0), nan=0.5, posinf=1.0, neginf=0.0)
    pixels = np.round(255 * share).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))), low, high


def _indexed(index: np.ndarray, palette: np.ndarray) -> Image:
    from PIL import Image

    whole = Image.frombytes("P", index.shape[::-1], index.tobytes())
    whole.putpalette(palette.tobytes())
    return whole


def _file(whole: Image) -> bytes:
    stream = io.BytesIO()
    whole.save(stream, "PNG", optimize=True)
    return stream.getvalue()
