"""Where an image is varied: a mask as it is given, or what an explainer's map holds relevant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.statistics.hulls import TOP_SHARE, hulls, important


def regions(given: Tensor, inputs: Tensor, share: float | None, fraction: float | None, hull: bool) -> Tensor:
    """(N, H, W) bool on the device of the inputs, neither empty nor full: see `acceptable_variations`."""
    _check_map(given, inputs)
    given = given.detach()
    if given.dtype == torch.bool:
        if share is not None or fraction is not None:
            raise ValueError(
                "share and fraction choose from maps of numbers, but map is a boolean mask: leave them out, "
                f"got share={share!r} and fraction={fraction!r}."
            )
        masks, why = given[:, 0] if given.dim() == 4 else given, "its mask has no pixel"
    else:
        maps = given.sum(1) if given.dim() == 4 else given
        share = TOP_SHARE if share is None and fraction is None else share
        masks = (hulls if hull else important)(maps, share=share, fraction=fraction)
        why = "its map is constant, or nowhere positive"
    _check_regions(masks, why)
    return masks.to(inputs.device)


def _check_map(given: Any, inputs: Tensor) -> None:
    if not isinstance(given, Tensor) or not (given.is_floating_point() or given.dtype == torch.bool):
        kind = given.dtype if isinstance(given, Tensor) else type(given).__name__
        raise TypeError(f"map must be a tensor of floating-point maps or of boolean masks, got {kind}.")
    n, channels, height, width = inputs.shape
    allowed = [(n, height, width), (n, 1, height, width)]
    allowed += [] if given.dtype == torch.bool else [(n, channels, height, width)]
    if tuple(given.shape) not in allowed:
        listed = " or ".join(map(str, dict.fromkeys(allowed)))
        raise ValueError(f"map must be {listed} for inputs {tuple(inputs.shape)}, got {tuple(given.shape)}.")
    broken = ~given.flatten(1).isfinite().all(1)
    if broken.any():
        raise ValueError(f"The map of image {_first(broken)} is not finite.")


def _check_regions(masks: Tensor, why: str) -> None:
    flat = masks.flatten(1)
    empty, full = ~flat.any(1), flat.all(1)
    if empty.any():
        raise ValueError(f"The region of image {_first(empty)} is empty: {why}; leave such images out.")
    if full.any():
        raise ValueError(
            f"The region of image {_first(full)} covers all its {flat.shape[1]} pixels: nothing around it is left to "
            "fit; take a smaller share of the map."
        )


def _first(chosen: Tensor) -> int:
    return int(chosen.nonzero()[0])
