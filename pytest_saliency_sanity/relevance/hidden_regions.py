"""How hiding a map's region changes the logits, compared with the same shape elsewhere, with edges and the center."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import check_scores
from pytest_saliency_sanity.examination.liveness import moves
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.perturbations.occlusion import Infill, filling, occluded_logits
from pytest_saliency_sanity.statistics.hulls import (
    PLACEMENTS,
    TOP_SHARE,
    area,
    hulls,
    placements,
    region_like,
    relative_sensitivity,
)
from pytest_saliency_sanity.statistics.regions import intersection_over_union

WIDEST = 0.4  # share of the frame above which a region has no elsewhere
FEWEST_PLACES = 19  # a rank among fewer is too coarse
RIVALS: Mapping[str, Callable[..., Any]] = {"Sobel": controls.sobel, "the center": controls.center_prior}


@dataclass(frozen=True)
class Cut:
    """How a region is cut out of a map: exactly one of the two; see `statistics.hulls.important`.

    Attributes:
        share: of the pixels.
        fraction: of the map's maximum.
    """

    share: float | None = TOP_SHARE
    fraction: float | None = None

    def regions(self, maps: Tensor) -> Tensor:
        """(n, H, W) bool, the hulls of maps (n, H, W)."""
        return hulls(maps, share=self.share, fraction=self.fraction)


def cut_at(share: float | None, fraction: float | None, default: float = TOP_SHARE) -> Cut:
    """The cut that was asked for; the share `default` where none was.

    Raises:
        ValueError: for both at once, and for a number that is not above 0 and at most 1.
    """
    if share is None and fraction is None:
        return Cut(default)
    cut = Cut(share, fraction)
    cut.regions(torch.eye(2)[None])
    return cut


@dataclass(frozen=True)
class Hidden:
    """What hiding one region of an image does.

    Attributes:
        image: its number among the subject's.
        area: pixels in the region.
        frame: pixels in the image.
        score: the target's logit of the whole image.
        drop: by how much that falls when the region is hidden; below 0 where it rises.
        percentile: mid-rank of the drop among those of the same shape elsewhere in the image, 0 to 1.
        rivals: name -> mid-rank, among the same, of the drop by the rival's region of the same area.
        rival_areas: name -> pixels in that region.
        overlap: name -> intersection over union of the region with the rival's.
        places: how many other places there were.
        sensitivity: of the target, "target", and of the classes asked for, by number: RS (equation 2) of its logit
            with the region hidden, and the mean RS of the same shape elsewhere.
        vacant: the share of the region's pixels that have the infill's value as they are.
        moved: whether the target's logit is another one where one or the other of all these regions is hidden.
    """

    image: int
    area: int
    frame: int
    score: float
    drop: float
    percentile: float
    rivals: Mapping[str, float]
    rival_areas: Mapping[str, int]
    overlap: Mapping[str, float]
    places: int
    sensitivity: Mapping[str | int, tuple[float, float]]
    vacant: float
    moved: bool = True


@dataclass(frozen=True)
class Sample:
    """What has been measured of the images so far; samples of different images can be added.

    Attributes:
        hidden: of each image with a region that can be placed elsewhere.
        wide: images whose region covers more than `WIDEST` of the frame.
        cramped: images in which the region has fewer than `FEWEST_PLACES` other places.
        empty: images whose map points at nothing.
    """

    hidden: tuple[Hidden, ...] = ()
    wide: tuple[int, ...] = ()
    cramped: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()

    @property
    def images(self) -> int:
        """All that were looked at."""
        return len(self.hidden) + len(self.wide) + len(self.cramped) + len(self.empty)

    def __add__(self, other: Sample) -> Sample:
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return Sample(*(mine + theirs for mine, theirs in parts))

    def values(self, read: Callable[[Hidden], float]) -> np.ndarray:
        """(n,) a number of each image."""
        return np.array([read(one) for one in self.hidden], dtype=float)


@dataclass(frozen=True)
class Hiding:
    """How regions are hidden.

    Attributes:
        infill: takes the place of hidden pixels.
        classes: the logits of which RS is kept, beside the target's.
        share: of a rival's pixels, tried first where its region of the same area is looked for.
    """

    infill: Infill = "zero"
    classes: tuple[int, ...] = ()
    share: float = TOP_SHARE


def hidden_regions(kept: Subject, meter: Meter, regions: Tensor, begin: int, how: Hiding) -> Sample:
    """What hiding regions (n, H, W) bool of the images from number `begin` on does, the model as it is held.

    Raises:
        OutOfBudget: between two calls of the model, when the deadline has passed.
        ValueError: for an infill that does not fit.
    """
    fill = filling(kept.inputs[0], how.infill)
    found = Sample()
    for image, region in enumerate(regions.cpu(), begin):
        found += _looked_at(kept, meter, image, region, fill, how)
    return found


def _looked_at(kept: Subject, meter: Meter, image: int, region: Tensor, fill: Tensor, how: Hiding) -> Sample:
    if not region.any():
        return Sample(empty=(image,))
    if region.float().mean() > WIDEST:
        return Sample(wide=(image,))
    others = placements(region, PLACEMENTS, seed=kept.seed + image)
    if len(others) < FEWEST_PLACES:
        return Sample(cramped=(image,))
    masks = torch.cat([region[None], _rival_regions(kept, image, region, how.share), others])
    owners = torch.full((len(masks),), image)
    after = occluded_logits(
        kept.model, kept.inputs[0], owners, masks, fill, forward=kept.forward, before=meter.check_deadline
    )
    check_scores(after, "with a region hidden")
    vacant = _vacant(kept.inputs[0][image], fill[image], region)
    return Sample((_hidden(kept, image, masks, after.double(), vacant, how.classes),))


def _rival_regions(kept: Subject, image: int, region: Tensor, share: float) -> Tensor:
    """(R, H, W) where each rival would have pointed, had it pointed at as many pixels."""
    shown = kept.inputs[0][image : image + 1]
    maps = [rival(kept.model, shown, None).sum(1)[0].cpu() for rival in RIVALS.values()]
    return torch.stack([region_like(one, region, share) for one in maps])


def _hidden(
    kept: Subject, image: int, masks: Tensor, after: Tensor, vacant: float, classes: tuple[int, ...]
) -> Hidden:
    """From masks (M, H, W), the explainer's, the rivals', the same elsewhere, and the logits (M, K) without them."""
    before = kept.scores[image].double()
    one_hot = _one_hot(classes, kept.classes)
    weights: dict[str | int, Tensor] = {
        "target": _weights(kept.targets[image].cpu(), kept.classes),
        **one_hot,
    }
    drops = ((before - after) @ weights["target"]).numpy()
    own, rivals, others = drops[0], drops[1 : 1 + len(RIVALS)], drops[1 + len(RIVALS) :]
    overlap = intersection_over_union(masks[:1].expand(len(RIVALS), -1, -1), masks[1 : 1 + len(RIVALS)])
    return Hidden(
        image=image,
        area=int(masks[0].sum()),
        frame=masks[0].numel(),
        score=float(before @ weights["target"]),
        drop=float(own),
        percentile=_mid_rank(own, others),
        rivals={name: _mid_rank(drop, others) for name, drop in zip(RIVALS, rivals, strict=True)},
        rival_areas=dict(zip(RIVALS, area(masks[1 : 1 + len(RIVALS)]).tolist(), strict=True)),
        overlap=dict(zip(RIVALS, overlap.tolist(), strict=True)),
        places=len(others),
        sensitivity={
            name: _sensitivity(before @ weight, after @ weight, masks) for name, weight in weights.items()
        },
        vacant=vacant,
        moved=bool(moves((after @ weights["target"])[None])[0]),
    )


def _sensitivity(before: Tensor, after: Tensor, masks: Tensor) -> tuple[float, float]:
    """RS of the first mask, and the mean RS of those behind the rivals'."""
    values = relative_sensitivity(before.expand(len(after)), after, area(masks))
    return float(values[0]), float(values[1 + len(RIVALS) :].mean())


def _weights(target: Tensor, count: int) -> Tensor:
    """(K,) of the logits: those of a weighted target, or 1 for a class."""
    return target.double() if target.dim() else _one_hot((int(target),), count)[int(target)]


def _one_hot(classes: tuple[int, ...], count: int) -> dict[str | int, Tensor]:
    return {k: torch.eye(count, dtype=torch.double)[k] for k in classes}


def _mid_rank(drop: float, others: np.ndarray) -> float:
    return float(((others < drop) + (others == drop) / 2).mean())


def _vacant(image: Tensor, fill: Tensor, region: Tensor) -> float:
    """The share of a region's pixels that hiding does not change, up to a thousandth of the image's range."""
    change, extent = (image - fill).abs().amax(0).cpu(), (image.max() - image.min()).cpu()
    return float((change[region] <= 1e-3 * extent).double().mean())
