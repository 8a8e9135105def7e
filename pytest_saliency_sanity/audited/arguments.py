"""The user's arguments: which are valid, and how they are converted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.audited import integer_inputs, stand_ins
from pytest_saliency_sanity.layout import check_channel_axis, space_of
from pytest_saliency_sanity.outputs import check_targets, unreadable
from pytest_saliency_sanity.text import shown


def checked_name(name: Any) -> str | None:
    """The name, if it is a string or None."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string (it names the explainer in messages), not {shown(name)}")
    return name


def check_model(model: Any) -> None:
    """Raise TypeError unless it is a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"the model must be a torch.nn.Module, not {type(model).__name__}: {shown(model)}")


def read_images(
    model: nn.Module, inputs: Any, input_shape: tuple[int, ...] | None, channel_axis: Any
) -> tuple[bool, tuple[Tensor, ...], tuple[str, ...]]:
    """Whether they are packed in a tuple, the images by input, and what a reader has to know about them.

    Raises:
        TypeError, ValueError: in one sentence, which shows what was given.
    """
    if inputs is None:
        if channel_axis not in (None, 1):
            raise ValueError(
                f"channel_axis={shown(channel_axis)} needs inputs=: stand-in photographs are (N, C, H, W)"
            )
        photographs, note = stand_ins.photographs(model, input_shape)
        return False, (photographs,), (note,)
    packed = _is_packed(inputs)
    parts = tuple(_floating(part, model) for part in (inputs if packed else [inputs]))
    _check_images(parts, channel_axis)
    return packed, parts, ()


def _is_packed(inputs: Any) -> bool:
    """Whether these are a tensor for each input of the model."""
    return isinstance(inputs, (tuple, list)) and all(
        isinstance(part, (Tensor, np.ndarray)) for part in inputs
    )


def read_tokens(
    inputs: Any, embed: Any, channel_axis: Any
) -> tuple[bool, tuple[Tensor, ...], tuple[str, ...]]:
    """As `read_images`, for token ids (N, L), alone or with what belongs to them, such as a mask (N, L).

    Raises:
        TypeError, ValueError: in one sentence, which shows what was given.
    """
    if inputs is None:
        raise ValueError(
            f"embed={shown(embed)} needs inputs=: token ids (N, L), or a tuple such as (ids, mask)"
        )
    if channel_axis not in (None, -1):
        raise ValueError(
            f"channel_axis={shown(channel_axis)} does not go with embed=: the embeddings are (N, L, D), their channels "
            f"on the last axis"
        )
    packed = _is_packed(inputs)
    parts = tuple(
        as_tensor(part, "inputs must be token ids (N, L), or a tuple of tensors")
        for part in (inputs if packed else [inputs])
    )
    _check_tokens(parts)
    return packed, parts, ()


def _check_tokens(parts: tuple[Tensor, ...]) -> None:
    if not parts:
        raise ValueError("inputs is an empty tuple; pass token ids (N, L), or a tuple such as (ids, mask)")
    shapes = ", ".join(str(tuple(part.shape)) for part in parts)
    if any(part.ndim < 1 for part in parts) or len({len(part) for part in parts}) > 1:
        raise ValueError(
            f"the inputs have the shapes {shapes}; each must hold the same number of texts, (N, L)"
        )
    if len(parts[0]) < 2:
        raise ValueError(
            f"inputs hold {len(parts[0])} texts, shape {shapes}; at least 2 are needed, 16 are better"
        )


def _floating(part: Any, model: nn.Module) -> Tensor:
    _check_unmasked(part, "inputs")
    if isinstance(part, np.ndarray) and part.dtype.kind not in "fiub":
        raise TypeError(f"inputs must be floating point, normalized as the model expects, not {part.dtype}")
    if isinstance(part, np.ndarray) and part.dtype.itemsize > 8:
        part = part.astype(np.float64)
    if isinstance(part, np.ndarray):  # torch takes neither negative strides nor foreign bytes
        part = np.ascontiguousarray(part, part.dtype.newbyteorder("="))
    tensor = torch.from_numpy(part) if isinstance(part, np.ndarray) else part
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"inputs must be a tensor (N, C, *S) or a tuple of tensors, not {type(part).__name__}"
        )
    if reason := unreadable(tensor):
        raise TypeError(f"inputs must be tensors (N, C, *S) of numbers; this one is {reason}")
    if not tensor.is_floating_point():
        found = integer_inputs.advice(tensor, model)
        raise TypeError(
            f"inputs must be floating point, normalized as the model expects, not {tensor.dtype}"
            f"{f'; {found}' if found else ''}"
        )
    return tensor.detach()


def _check_images(parts: tuple[Tensor, ...], channel_axis: Any = None) -> None:
    if not parts:
        raise ValueError("inputs is an empty tuple; pass a tensor (N, C, *S) or a tuple of such tensors")
    for part in parts:
        if part.ndim < 2:
            raise ValueError(
                f"inputs must have the shape (N, C, *S), with N images; this one is {tuple(part.shape)}"
            )
        if part.ndim > 2:
            check_channel_axis(channel_axis, (part,))
        if math.prod(space_of(part, channel_axis) or part.shape[1:]) == 1:
            raise ValueError(
                f"inputs of shape {tuple(part.shape)} have one value per image; a map of a single value cannot be "
                f"ranked"
            )
        if not part.numel() and len(part):
            raise ValueError(f"inputs of shape {tuple(part.shape)} hold no values")
        if not part.isfinite().all():
            raise ValueError(f"inputs hold {int((~part.isfinite()).sum())} values that are NaN or infinite")
    sizes = {len(part) for part in parts}
    if len(sizes) > 1:
        raise ValueError(
            f"the inputs of the tuple hold {sorted(sizes)} images; each must hold the same number"
        )
    if sizes == {0}:
        raise ValueError("inputs hold no images; at least 2 are needed, 16 are better")
    if sizes == {1} and len({part.shape for part in parts}) == 1 < len(parts):
        raise ValueError(
            f"inputs are {len(parts)} tensors of shape {tuple(parts[0].shape)}, which is read as one image of a "
            f"model with {len(parts)} inputs; if they are {len(parts)} images, pass torch.stack(inputs)"
        )
    if sizes == {1}:
        raise ValueError(
            f"inputs hold one image, shape {tuple(parts[0].shape)}; at least 2 are needed "
            f"(a map has to differ between images), 16 are better"
        )


def read_rows(values: Any, images: int, classes: int, order: Tensor, what: str) -> Tensor:
    """Targets of the images in their `order`, checked."""
    rows = as_tensor(values, f"{what} must be class indices or weights")
    if rows.ndim == 0:
        rows = rows.expand(images)
    if len(rows) != images:
        raise ValueError(f"{what} has {len(rows)} entries for {images} images; give one for each")
    return check_targets(rows[order], len(order), classes)


def as_tensor(values: Any, rule: str) -> Tensor:
    """Numbers of any kind as a tensor on the CPU; ValueError, beginning with `rule`, for anything else."""
    _check_unmasked(values, rule.partition(" ")[0])
    try:
        found = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values)).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{rule}, not {shown(values)}") from None
    if reason := unreadable(found):
        raise ValueError(f"{rule}; this tensor is {reason}")
    return found.cpu()


def _check_unmasked(values: Any, what: str) -> None:
    hidden = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(
            f"{what} is a masked array with {hidden} of {values.size} values masked; pass .filled(...)"
        )
