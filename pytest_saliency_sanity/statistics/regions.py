"""Where in an image something is: boxes and masks, and how far a map or a mask agrees with them.

A pixel in row i and column j covers [j, j + 1) × [i, i + 1), so that (0, 0, W, H) is the whole image, and it belongs to
a box that holds its center. Boxes with inclusive ends, such as torchvision's `masks_to_boxes` gives, lack a last row
and column: add 1 to x2 and y2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.text import shown

Edges: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom

_SLACK = 0.5  # pixels that a box may stick out: it adds no pixel's center, and rounding moves edges


def as_masks(
    regions: Tensor | Sequence[Tensor], shape: tuple[int, int, int], *, box_format: str = "xyxy"
) -> Tensor:
    """(n, H, W) bool, True where an image's region is.

    Args:
        regions: boolean masks (n, H, W), taken as they are; or boxes (n, 4), in pixels; or for each of n images its
            boxes (k, 4), k at least 1, whose union counts.
        shape: (n, H, W) of the images.
        box_format: as in torchvision: "xyxy" (left, top, right, bottom), "xywh" (left, top, width, height) or
            "cxcywh" (center, width, height).

    Raises:
        ValueError: for regions of another shape, number or dtype; for an unknown format; for a box that is
            inverted, empty, not finite, or leaves the image; for an image without a region.
        TypeError: for regions that are neither a tensor nor a list of tensors.
    """
    if isinstance(regions, Tensor) and regions.dim() == 3:
        return _checked_masks(regions, shape)
    if box_format not in _CORNERS:
        raise ValueError(f"unknown box_format {box_format!r}; choose from {', '.join(_CORNERS)}")
    boxes = _boxes_by_image(regions)
    if len(boxes) != shape[0]:
        raise ValueError(f"got boxes for {len(boxes)} images, but there are {shape[0]} images")
    return torch.stack([_union(of_one, i, box_format, shape[1:]) for i, of_one in enumerate(boxes)])


def intersection_over_union(left: Tensor, right: Tensor) -> Tensor:
    """(n,) |left ∩ right| / |left ∪ right| of masks (n, H, W); 1 where both are empty, which are equal.

    For a box take its mask (`as_masks`).
    """
    union = (left | right).flatten(1).sum(1)
    shared = (left & right).flatten(1).sum(1)
    return torch.where(union > 0, shared / union.clamp_min(1), 1.0)


def bounding_boxes(masks: Tensor) -> Tensor:
    """(n, H, W) bool, each mask's (n, H, W) smallest box of rows and columns, filled; empty for an empty mask."""
    rows, columns = _spanned(masks.any(2)), _spanned(masks.any(1))
    return rows[:, :, None] & columns[:, None, :]


def mass_inside(maps: Tensor, mask: Tensor) -> Tensor:
    """(n,) the share of the positive values of maps (n, H, W) that lies inside masks (n, H, W).

    The relevance mass accuracy of Arras, Osman and Samek 2022 (CLEVR-XAI). 0 for a map that is nowhere positive;
    pass absolute values where the sign does not matter.
    """
    positive = maps.clamp_min(0).flatten(1)
    positive = positive / positive.amax(1, keepdim=True).clamp_min(
        torch.finfo(maps.dtype).tiny
    )  # no overflow
    total = positive.sum(1)
    inside = (positive * mask.flatten(1)).sum(1)
    return torch.where(total > 0, inside / total.clamp_min(torch.finfo(maps.dtype).tiny), 0)


def maximum_inside(maps: Tensor, mask: Tensor, tolerance: float = 0.0) -> Tensor:
    """(n,) 1 where the largest value of a map (n, H, W) lies inside its mask (n, H, W), else 0.

    The pointing game of Zhang et al. 2016 (excitation backprop). Where several pixels share the maximum, the share
    of them that lies inside: a constant map scores what a random pixel does.

    Args:
        maps: n maps, larger is more important.
        mask: n boolean masks.
        tolerance: pixels, from center to center, that the maximum may lie beside the mask (15 in the paper).

    Raises:
        ValueError: for a negative tolerance.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be 0 pixels or more, got {shown(tolerance)}")
    peaks = maps == maps.amax((1, 2), keepdim=True)
    near = _widened(mask, tolerance) if tolerance > 0 else mask
    return (peaks & near).flatten(1).sum(1) / peaks.flatten(1).sum(1)


def _checked_masks(masks: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if masks.dtype != torch.bool:
        raise ValueError(
            f"masks must be boolean, got {masks.dtype}; compare them with a value, as in masks > 0.5"
        )
    if tuple(masks.shape) != tuple(shape):
        raise ValueError(f"masks must have the images' shape {tuple(shape)}, got {tuple(masks.shape)}")
    empty = ~masks.flatten(1).any(1)
    if empty.any():
        raise ValueError(
            f"the mask of image {int(empty.nonzero()[0])} is empty; leave out images without a region"
        )
    return masks


def _boxes_by_image(regions: Tensor | Sequence[Tensor]) -> list[Tensor]:
    if isinstance(regions, Tensor):
        return list(_shaped(regions, "boxes").unsqueeze(1))
    if not isinstance(regions, (list, tuple)) or not all(isinstance(boxes, Tensor) for boxes in regions):
        raise TypeError(
            "regions must be boolean masks (n, H, W), boxes (n, 4) or a list of boxes (k, 4) for each image, "
            f"all of them tensors, got {_described(regions)}"
        )
    return [_shaped(boxes, f"the boxes of image {image}") for image, boxes in enumerate(regions)]


def _described(regions: object) -> str:
    if not isinstance(regions, (list, tuple)):
        return f"a {type(regions).__name__}"
    kinds = sorted({type(item).__name__ for item in regions})
    return f"a {type(regions).__name__} of {' and '.join(kinds)}"


def _shaped(boxes: Tensor, what: str) -> Tensor:
    rows = "k" if what != "boxes" else "n"
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        masks = " (masks have (n, H, W))" if what == "boxes" else ""
        raise ValueError(f"{what} must have the shape ({rows}, 4){masks}, got {tuple(boxes.shape)}")
    if boxes.dtype == torch.bool or boxes.is_complex():
        raise ValueError(f"{what} must be whole or floating-point numbers, got {boxes.dtype}")
    return boxes


def _union(boxes: Tensor, image: int, box_format: str, frame: tuple[int, int]) -> Tensor:
    if not len(boxes):
        raise ValueError(f"image {image} has no box; leave out images without a region")
    exact = boxes.cpu().double()  # no rounding moves an edge across a pixel's center
    covered = [_covered(box, _named(box, image, box_format), box_format, frame) for box in exact]
    return torch.stack(covered).any(0).to(boxes.device)


def _covered(box: Tensor, name: str, box_format: str, frame: tuple[int, int]) -> Tensor:
    """(H, W) True for the pixels whose center lies in the box."""
    left, top, right, bottom = _checked_edges(_CORNERS[box_format](*box.tolist()), name, frame)
    y, x = (torch.arange(side, dtype=torch.float64) + 0.5 for side in frame)
    inside = ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))
    if not inside.any():
        raise ValueError(
            f"{name} contains no pixel's center; boxes are in pixels, not in fractions of the image"
        )
    return inside


def _checked_edges(edges: Edges, name: str, frame: tuple[int, int]) -> Edges:
    left, top, right, bottom = edges
    reach = f"it reaches from {left:g} to {right:g} across and from {top:g} to {bottom:g} down"
    if not all(isfinite(edge) for edge in edges):
        raise ValueError(f"{name} is not finite")
    if right < left or bottom < top:
        raise ValueError(f"{name} is inverted: {reach}")
    if right == left or bottom == top:
        raise ValueError(f"{name} is empty: {reach}")
    height, width = frame
    if min(left, top) < -_SLACK or right > width + _SLACK or bottom > height + _SLACK:
        raise ValueError(f"{name} leaves the image of {width} × {height} pixels: {reach}")
    return edges


def _named(box: Tensor, image: int, box_format: str) -> str:
    values = ", ".join(f"{value:g}" for value in box.tolist())
    return f"the {box_format} box ({values}) of image {image}"


_CORNERS: Mapping[str, Callable[[float, float, float, float], Edges]] = {
    "xyxy": lambda left, top, right, bottom: (left, top, right, bottom),
    "xywh": lambda left, top, width, height: (left, top, left + width, top + height),
    "cxcywh": lambda x, y, width, height: (x - width / 2, y - height / 2, x + width / 2, y + height / 2),
}


def _spanned(touched: Tensor) -> Tensor:
    """(n, L) bool, True from the first True of each row to the last."""
    begun, left = touched.cumsum(1) > 0, touched.flip(1).cumsum(1).flip(1) > 0
    return begun & left


def _widened(mask: Tensor, tolerance: float) -> Tensor:
    """Masks (n, H, W) and all pixels within `tolerance` of them; the distances are found on the CPU."""
    near = [_distance(one) <= tolerance for one in mask.cpu().numpy()]
    return torch.from_numpy(np.stack(near)).to(mask.device)


def _distance(mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
