"""What a model returns for images with hidden regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, logits
from pytest_saliency_sanity.perturbations.infills import Infill, as_infill, broadcast, named

__all__ = ["INFILLS", "Infill", "filling", "occluded_logits"]
INFILLS = ("zero", "blur", "mean")
BATCH = 64  # images per call of the model


def filling(images: Tensor, infill: Infill) -> Tensor:
    """(N, C, H, W): the values that replace hidden pixels.

    Args:
        images: (N, C, H, W).
        infill: "zero", 0 in the space of the model's inputs, as in the paper of GAD; "blur", the image itself
            without its details; "mean", the mean of each channel over all the images; or a number, or a tensor or
            an array that broadcasts to the images.

    Raises:
        ValueError: for something else, with the choices; for a shape that does not fit, and values that are not finite.
    """
    chosen = as_infill(infill, INFILLS)
    return broadcast(chosen, images) if isinstance(chosen, Tensor) else named(images, chosen)


def occluded_logits(
    model: Any,
    images: Tensor,
    owners: Tensor,
    masks: Tensor,
    fill: Tensor,
    *,
    forward: Forward | None = None,
    batch_size: int = BATCH,
    before: Callable[[], None] = lambda: None,
) -> Tensor:
    """(M, K) logits, on the CPU, of images whose pixels in a mask have the fill's values.

    Several regions of several images share the calls of the model. The model is taken as it is, in the mode it has.

    Args:
        images: (N, C, H, W).
        owners: (M,) int64, whose region a mask is.
        masks: (M, H, W) bool, the pixels to hide in all channels; nothing is hidden by an empty mask.
        fill: (N, C, H, W), see `filling`.
        before: called before each batch; what it raises ends the work.
    """
    found = []
    with entered(torch.no_grad()):
        calls = zip(torch.split(owners, batch_size), torch.split(masks, batch_size), strict=True)
        for which, hidden in calls:
            before()
            which, hidden = which.to(images.device), hidden.to(images.device)
            shown = torch.where(hidden[:, None], fill[which], images[which])
            found.append(logits(model, shown, forward).cpu())
    return torch.cat(found)
