"""True labels of the images: one label per image, or several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.arguments import (
    as_tensor,
)


def read_labels(labels: Any, images: int, classes: int, order: Tensor) -> Tensor:
    """(n,) int64, or (n, K) of 0 and 1 for a model of several labels."""
    rows = as_tensor(labels, "labels must be (N,) integers")
    if rows.ndim == 2:
        return _multi_hot(rows, images, classes)[order]
    if rows.ndim != 1 or rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        advice = "; pass labels.long()" if rows.ndim == 1 and not rows.is_complex() else ""
        raise ValueError(
            f"labels must be (N,) integers, not {rows.dtype} of shape {tuple(rows.shape)}{advice}"
        )
    if len(rows) != images:
        raise ValueError(f"labels has {len(rows)} entries for {images} images; give one for each")
    wrong = rows[(rows < 0) | (rows >= max(classes, 2))]
    if len(wrong):
        raise ValueError(
            f"label {int(wrong[0])} is out of range; the model has the classes 0 to {max(classes, 2) - 1}"
        )
    return rows[order].long()


def _multi_hot(rows: Tensor, images: int, classes: int) -> Tensor:
    """Labels (N, K) of 0 and 1; (N,) classes where each row holds a single 1, or where the model has one output."""
    if rows.shape != (images, classes):
        raise ValueError(
            f"labels must be (N,) integers, not {rows.dtype} of shape {tuple(rows.shape)}; for several labels per "
            f"image they must be ({images}, {classes}) of 0 and 1, a column for each output of the model"
        )
    wrong = rows[(rows != 0) & (rows != 1)]
    if len(wrong):
        raise ValueError(
            f"labels of two dimensions must be 0 or 1, not {wrong[0].item()}: a 1 for each label that an image has"
        )
    if classes == 1:
        return rows[:, 0].long()
    return rows.argmax(1) if bool((rows.sum(1) == 1).all()) else rows.long()
