"""The region that a map points at, and what hiding it does (GAD: Rodrigues, Boutry and Najman).

A map's important pixels, less those that lie apart, are closed to their convex hull. The paper's two figures, RC
(equation 1) and RS (equation 2), are computed as printed; RS divides by the area while a drop saturates, so a verdict
rests on placing the same shape elsewhere in the same image instead (`placements`).
"""

from __future__ import annotations

from numbers import Real

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.statistics.similarity import is_constant
from pytest_saliency_sanity.text import shown

TOP_SHARE = 0.05  # the hull of more pixels that lie scattered is the whole frame, whatever the map
PAPER_SHARE = 0.5  # the paper's experiments: the top half of the pixels
PAPER_FRACTION = 0.1  # the paper's figure 4: a tenth of the maximum
SMALLEST = 0.25  # of the largest component; smaller ones are stripped before the hull is drawn
_HALVINGS = 12  # down to one pixel in 4,000
_NEAR = 0.02  # of the area that is looked for: near enough to end the search
_SIMILAR = 0.1  # near enough to be called the same
PLACEMENTS = 39  # with the shape's own place 40: the best of them has a p-value of .025


def hulls(maps: Tensor, *, share: float | None = None, fraction: float | None = None) -> Tensor:
    """(n, H, W) bool, the convex hull of each map's important pixels without the isolated ones.

    Takes what `important` takes. The hull of a map that points at nothing is empty.
    """
    return convex_hulls(without_isolated(important(maps, share=share, fraction=fraction)))


def region_like(one: Tensor, region: Tensor, share: float = TOP_SHARE) -> Tensor:
    """(H, W) bool, where a map points with a region of (nearly) the area of another: its own hull, or that shape moved.

    The hull of more of the map's highest pixels is larger, but in steps, and leaps where a component joins it. Where
    no share gives an area within a tenth of the wanted one, as in pictures of a few flat shapes, it is the shape of
    `region` at the place where it covers most of the map.

    Args:
        one: (H, W), a map of values of 0 or more.
        region: (H, W) bool, not empty.
        share: of the pixels, tried first.
    """
    wanted = int(region.sum())
    hull = _hull_of_area(one, wanted, share)
    return hull if abs(int(hull.sum()) - wanted) <= _SIMILAR * wanted else _moved_to_most(one, region)


def _hull_of_area(one: Tensor, wanted: int, share: float) -> Tensor:
    """Of the hulls that halving the share's interval meets, the one whose area is nearest to `wanted` pixels."""
    low, high, best = 0.0, 1.0, torch.zeros_like(one, dtype=torch.bool)
    for _ in range(_HALVINGS):
        hull = hulls(one[None], share=share)[0]
        pixels = int(hull.sum())
        if abs(pixels - wanted) < abs(int(best.sum()) - wanted):
            best = hull
        if abs(pixels - wanted) <= _NEAR * wanted:
            break
        low, high = (share, high) if pixels < wanted else (low, share)
        share = (low + high) / 2
    return best


def _moved_to_most(one: Tensor, region: Tensor) -> Tensor:
    shape, _ = _cropped(_on_cpu(region))
    kernel = torch.from_numpy(np.ascontiguousarray(shape)).to(one.device, torch.float64)
    covered = torch.nn.functional.conv2d(one.double()[None, None], kernel[None, None])[0, 0]
    top, left = divmod(int(covered.argmax()), covered.shape[1])
    return _stacked([_framed(shape, top, left, region.shape)], region)[0]


def important(maps: Tensor, *, share: float | None = None, fraction: float | None = None) -> Tensor:
    """(n, H, W) bool, the pixels of the largest values: exactly one of the two thresholds is given.

    Pixels of equal value are taken or left together. With `share`, those at the cut are taken when that brings the
    count nearer to `share` than leaving them, or when nothing lies above them; a map's smallest value is never
    important, so that a sparse map may have less. A constant map (up to rounding) has no important pixels.

    Args:
        maps: (n, H, W), finite, larger is more important: the absolute values, where the sign does not matter.
        share: take this share of the pixels; the paper's experiments take the top half.
        fraction: take the pixels of at least this fraction of the map's maximum, none where the maximum is not
            positive; a tenth in the paper's figure 4.

    Raises:
        ValueError: unless exactly one threshold is given, above 0 and at most 1; for maps that are not (n, H, W).
    """
    flat = _checked_maps(maps).flatten(1)
    name, threshold = _threshold(share, fraction)
    chosen = _top(flat, threshold) if name == "share" else _near_the_maximum(flat, threshold)
    return (chosen & ~is_constant(flat).unsqueeze(1)).view(maps.shape)


def without_isolated(mask: Tensor, smallest: float = SMALLEST) -> Tensor:
    """(n, H, W) bool `mask` without connected components below `smallest` times its largest one.

    Pixels that touch by a corner are connected. The components are found on the CPU.
    """
    kept = [_large_components(one, smallest) for one in _on_cpu(mask)]
    return _stacked(kept, mask)


def convex_hulls(mask: Tensor) -> Tensor:
    """(n, H, W) bool, scikit-image's convex hull of each mask (n, H, W), on the CPU; empty for an empty one.

    The hull is that of the four edge midpoints of each pixel, so that one pixel, or pixels in a row, have one too.
    """
    return _stacked([_hull(one) for one in _on_cpu(mask)], mask)


def area(mask: Tensor) -> Tensor:
    """(n,) int64, the pixels in each mask (n, H, W)."""
    return mask.flatten(1).sum(1)


def relative_sensitivity(score_before: Tensor, score_after: Tensor, area: Tensor) -> Tensor:
    """(n,) RS = |N_a(I) − N_a(I × (1 − M))| / ΣM, logits per pixel (equation 2); 0 by definition for an empty mask.

    Args:
        score_before: (n,) the target's logit for the image.
        score_after: (n,) the same with the mask's pixels set to zero.
        area: (n,) pixels in the mask.
    """
    return torch.where(area > 0, (score_before - score_after).abs() / area.clamp_min(1), 0)


def relative_change_of_area(gad: Tensor, original: Tensor) -> Tensor:
    """(n,) RC = area of GAD's hull / area of the original's hull (equation 1), for masks (n, H, W).

    An original without a hull leaves nothing to change: RC is 1 where GAD's is empty as well, else infinite.
    """
    before, after = area(original), area(gad)
    undefined = torch.where(after > 0, torch.inf, 1.0)
    return torch.where(before > 0, after / before.clamp_min(1), undefined)


def placements(mask: Tensor, count: int = PLACEMENTS, seed: int = 0) -> Tensor:
    """(k, H, W) bool, the shape of `mask` (H, W) in `count` other places of the frame, drawn without replacement.

    A place is a shift of the shape or of its mirror images (left-right, top-bottom, both), wholly inside the frame.
    All differ from one another and from `mask`, and all have its area. Where the frame has room for fewer than
    `count`, all there are come back: k = 0 for a full frame, and for an empty mask, which has no place.
    """
    if not mask.any():
        return _stacked([], mask)
    shape, corner = _cropped(_on_cpu(mask))
    looks = _mirrored(shape)
    room = [side - extent + 1 for side, extent in zip(mask.shape, shape.shape, strict=True)]
    grid = (len(looks), *room)
    others = np.delete(np.arange(np.prod(grid)), np.ravel_multi_index((0, *corner), grid))
    drawn = np.random.default_rng(seed).permutation(others)[:count]
    places = zip(*np.unravel_index(drawn, grid), strict=True)
    return _stacked([_framed(looks[look], top, left, mask.shape) for look, top, left in places], mask)


def _checked_maps(maps: Tensor) -> Tensor:
    if maps.dim() != 3:
        raise ValueError(
            f"maps must have the shape (n, H, W), got {tuple(maps.shape)}; sum over channels first"
        )
    return maps if maps.dtype in (torch.float32, torch.float64) else maps.float()


def _threshold(share: float | None, fraction: float | None) -> tuple[str, float]:
    given = [(name, value) for name, value in (("share", share), ("fraction", fraction)) if value is not None]
    if len(given) != 1:
        raise ValueError(
            "give exactly one of share (of the pixels) and fraction (of the maximum), "
            f"got share={share!r} and fraction={fraction!r}"
        )
    name, value = given[0]
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, got {shown(value)}")
    return name, value


def _top(flat: Tensor, share: float) -> Tensor:
    wanted = max(1, round(share * flat.shape[1]))
    cut = flat.kthvalue(flat.shape[1] - wanted + 1, dim=1, keepdim=True).values
    above, upwards = flat > cut, flat >= cut
    fewer, more = (chosen.sum(1, keepdim=True) for chosen in (above, upwards))
    take_ties = (fewer == 0) | (more - wanted < wanted - fewer)
    return torch.where(take_ties, upwards, above) & (flat > flat.amin(1, keepdim=True))


def _near_the_maximum(flat: Tensor, fraction: float) -> Tensor:
    peak = flat.amax(1, keepdim=True)
    return (flat >= fraction * peak) & (peak > 0)


def _large_components(mask: np.ndarray, smallest: float) -> np.ndarray:
    from scipy.ndimage import label

    components, _ = label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    kept: np.ndarray = mask & (sizes >= smallest * sizes.max())[components]
    return kept


def _hull(mask: np.ndarray) -> np.ndarray:
    from skimage.morphology import convex_hull_image

    if not mask.any():
        return mask
    hull: np.ndarray = convex_hull_image(mask)
    return hull


def _cropped(mask: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The rows and columns of a mask (H, W) from the first to the last that it touches, and where they begin."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return mask[top : rows[-1] + 1, left : columns[-1] + 1], (top, left)


def _mirrored(shape: np.ndarray) -> list[np.ndarray]:
    """A shape and those of its three mirror images that differ from it and one another; itself comes first."""
    looks: list[np.ndarray] = []
    for look in (shape, shape[:, ::-1], shape[::-1], shape[::-1, ::-1]):
        if not any(np.array_equal(look, other) for other in looks):
            looks.append(look)
    return looks


def _framed(shape: np.ndarray, top: int, left: int, frame: torch.Size) -> np.ndarray:
    placed = np.zeros(frame, dtype=bool)
    placed[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return placed


def _on_cpu(mask: Tensor) -> np.ndarray:
    return mask.cpu().numpy()


def _stacked(masks: list[np.ndarray], like: Tensor) -> Tensor:
    """(k, H, W) bool on the device of `like` (…, H, W), k = 0 included."""
    if not masks:
        return like.new_zeros((0, *like.shape[-2:]), dtype=torch.bool)
    return torch.from_numpy(np.stack(masks)).to(like.device)
