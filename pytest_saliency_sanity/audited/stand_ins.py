"""scikit-image's photographs, fitted to a model's input: for users who pass no images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.text import shown

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
_SIDES = (224, 28, 32, 64, 96, 48, 128, 160, 192, 227, 240, 256, 288, 299, 300, 320, 331, 384, 448, 512)
_SMALL_SIDES = (28, 32, 64, 8, 16, 48, 96, 128, 224)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def photographs(model: nn.Module, shape: tuple[int, ...] | None = None) -> tuple[Tensor, str]:
    """Four photographs (4, *shape) and the note that names them.

    Args:
        model: a network of two-dimensional images.
        shape: (C, H, W); None finds one by trying sizes that are in use.

    Raises:
        ValueError: when no shape fits.
    """
    shape = _tried(model) if shape is None else _checked(shape)
    names = ", ".join(PHOTOGRAPHS)
    size = "×".join(map(str, shape))
    note = (
        f"no inputs were given: used four stand-in photographs from scikit-image ({names}), cropped and resized "
        f"to {size}"
    )
    return _fitted(shape), note


def _checked(shape: tuple[int, ...]) -> tuple[int, ...]:
    numbers = isinstance(shape, Sequence) and all(isinstance(extent, Integral) for extent in shape)
    if not numbers or len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"input_shape must be (C, H, W), such as (3, 224, 224), not {shown(shape)}")
    return tuple(int(extent) for extent in shape)


def _tried(model: nn.Module) -> tuple[int, ...]:
    for shape in _candidates(model):
        if _takes(model, shape):
            return shape
    raise ValueError(
        f"no input shape was found that {type(model).__name__} accepts; pass inputs= of shape (N, C, *S), or "
        f"input_shape=(C, H, W) for stand-in photographs"
    )


def _candidates(model: nn.Module) -> Iterator[tuple[int, ...]]:
    """Shapes by the first convolution's channels, else by the first linear layer's features, with sides in use."""
    convolution = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    linear = next((m for m in model.modules() if isinstance(m, nn.Linear)), None)
    if convolution is not None:
        yield from _square(convolution.in_channels)
    elif linear is not None:
        yield from _of_size(linear.in_features)
    else:
        yield from (*_square(3), *_square(1))


def _square(channels: int) -> Iterator[tuple[int, ...]]:
    for side in _SIDES if channels == 3 else (*_SMALL_SIDES, *_SIDES):
        yield channels, side, side


def _of_size(features: int) -> Iterator[tuple[int, ...]]:
    for channels in (1, 3):
        side = round((features / channels) ** 0.5)
        if channels * side * side == features:
            yield channels, side, side
    yield from (*_square(3), *_square(1))


def _takes(model: nn.Module, shape: tuple[int, ...]) -> bool:
    reference = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    try:
        with entered(torch.no_grad()):
            scores = logits(model, torch.zeros(2, *shape, device=reference.device, dtype=reference.dtype))
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:  # transformers assert their size
        if is_interruption(error):
            raise
        return False
    except TypeError as error:
        # Of the model's forward, which takes more than one input.
        if "positional argument" in str(error) and not is_interruption(error):
            return False
        raise
    return len(scores) == 2


def _fitted(shape: tuple[int, ...]) -> Tensor:
    images = np.stack([_fit(name, shape) for name in PHOTOGRAPHS])
    return torch.from_numpy(images).float()


def _fit(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A photograph cropped to a square, resized to (C, H, W) and normalized."""
    from skimage import data
    from skimage.color import rgb2gray
    from skimage.transform import resize

    photograph = getattr(data, name)()[..., :3] / 255.0
    side = min(photograph.shape[:2])
    top, left = ((extent - side) // 2 for extent in photograph.shape[:2])
    square = resize(photograph[top : top + side, left : left + side], shape[1:], anti_aliasing=True)
    if shape[0] == 3:
        return np.moveaxis((square - _IMAGENET[0]) / _IMAGENET[1], -1, 0)
    return np.repeat(rgb2gray(square)[None], shape[0], axis=0)
