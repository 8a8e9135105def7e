"""RISE's evaluation, slow and straight from its program: one image, one step, one forward pass at a time."""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor, nn


def published_blur(image: np.ndarray) -> np.ndarray:
    """RISE's gkern(11, 5) and conv2d(x, kern, padding=5), for (C, *S)."""
    impulse = np.zeros((11,) * (image.ndim - 1))
    impulse[(5,) * (image.ndim - 1)] = 1
    kernel = scipy.ndimage.gaussian_filter(impulse, 5)
    return np.stack([scipy.ndimage.convolve(c, kernel, mode="constant", cval=0.0) for c in image])


def reference(
    model: nn.Module, image: Tensor, ranking: np.ndarray, target: int, steps: int, infill: Tensor, mode: str
) -> list[float]:
    """RISE's CausalMetric.single_run: from `start` to `finish`, some pixels at a time."""
    start, finish = (image, infill) if mode == "deletion" else (infill, image)
    current, finish = start.clone().flatten(1), finish.flatten(1)
    salient_order = np.argsort(-ranking, kind="stable")
    scores = []
    for step in range(steps + 1):
        moved = salient_order[: step * len(ranking) // steps]
        current[:, moved] = finish[:, moved]
        with torch.no_grad():
            scores.append(model(current.view(1, *image.shape)).softmax(1)[0, target].item())
    return scores


def references(
    model: nn.Module, inputs: Tensor, maps: Tensor, targets: Tensor, steps: int, infills: Tensor, mode: str
) -> np.ndarray:
    """(n, steps + 1) the reference, image after image."""
    flat = maps.flatten(1).numpy()
    return np.array(
        [
            reference(model, image, row, int(target), steps, infill, mode)
            for image, row, target, infill in zip(inputs, flat, targets, infills, strict=True)
        ]
    )
