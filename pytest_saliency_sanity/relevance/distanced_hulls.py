"""How hiding GAD's hull and the rest of the original hull changes the logit: by image, and counted by class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.examination.explanation import check_scores
from pytest_saliency_sanity.outputs import Forward
from pytest_saliency_sanity.perturbations.occlusion import occluded_logits
from pytest_saliency_sanity.statistics.hulls import area, relative_change_of_area, relative_sensitivity


@dataclass(frozen=True)
class Narrowed:
    """Both hulls of one image.

    Attributes:
        image: its number.
        target: the class that is explained.
        original, gad, rest: areas of the original's hull, of GAD's, and of the supplementary region: what the
            original's has beyond GAD's. In pixels.
        change: RC, GAD's area divided by the original's (equation 1).
        own, supplementary: RS of GAD's hull and of the supplementary region, logits per pixel (equation 2); 0 where
            there is none.
    """

    image: int
    target: int
    original: int
    gad: int
    rest: int
    change: float
    own: float
    supplementary: float

    @property
    def area(self) -> str:
        """One of `AREAS`."""
        if not self.gad:
            return "emptied" if self.original else "neither"
        if not self.original:
            return "infinite"
        return "smaller" if self.change < 1 else "larger" if self.change > 1 else "equal"

    @property
    def sensitivity(self) -> str:
        """One of `SENSITIVITIES`."""
        if not self.gad:
            return "no hull"
        if not self.rest:
            return "no rest"
        return "more" if self.own > self.supplementary else "not more"

    @property
    def has_both_hulls(self) -> bool:
        """Whether RC compares two hulls."""
        return self.gad > 0 and self.original > 0

    @property
    def has_both_regions(self) -> bool:
        """Whether RS compares two regions."""
        return self.gad > 0 and self.rest > 0


AREAS = ("smaller", "equal", "larger", "infinite", "emptied", "neither")
SENSITIVITIES = ("more", "not more", "no rest", "no hull")


@dataclass(frozen=True)
class Counts:
    """One class's row of the paper's tables 1 and 2; every image is in one number of each table.

    Attributes:
        target: the class.
        images: of that class.
        areas: RC < 1, = 1 and > 1 ("smaller", "equal", "larger"), and apart from these where the original has no
            hull ("infinite"), where GAD has none ("emptied", RC = 0), and where there is none at all ("neither").
        sensitivities: RS of GAD's hull above that of the supplementary region ("more") or not, and apart from these
            where that region or the hull is empty.
        change: mean RC of the images that have both hulls; None where there is none.
        own, supplementary: mean RS of the images that have both regions; None where there is none.
    """

    target: int
    images: int
    areas: dict[str, int]
    sensitivities: dict[str, int]
    change: float | None
    own: float | None
    supplementary: float | None


def narrowed(
    model: Any,
    images: Tensor,
    targets: Tensor,
    scores: Tensor,
    hulls: tuple[Tensor, Tensor],
    fill: Tensor,
    *,
    forward: Forward | None = None,
    before: Callable[[], None] = lambda: None,
) -> tuple[Narrowed, ...]:
    """What hiding GAD's hull, and what the original's has beyond it, does to each target's logit.

    Args:
        images: (N, C, H, W).
        targets: (N,) int64.
        scores: (N, K) logits of the images.
        hulls: the original's and GAD's, (N, H, W) bool each.
        fill: (N, C, H, W), see `perturbations.occlusion.filling`.
        forward, before: as in `perturbations.occlusion.occluded_logits`.
    """
    original, gad = (hull.cpu() for hull in hulls)
    rest, targets, owners = original & ~gad, targets.cpu(), torch.arange(len(images))
    logit = scores.cpu().double().gather(1, targets[:, None])[:, 0]

    def sensitivity(masks: Tensor) -> Tensor:
        hidden = occluded_logits(model, images, owners, masks, fill, forward=forward, before=before)
        check_scores(hidden, "with a region hidden")
        return relative_sensitivity(logit, hidden.double().gather(1, targets[:, None])[:, 0], area(masks))

    columns = (
        owners, targets, area(original), area(gad), area(rest),
        relative_change_of_area(gad, original).double(), sensitivity(gad), sensitivity(rest),
    )  # fmt: skip
    return tuple(Narrowed(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


def counted(found: Sequence[Narrowed], classes: Sequence[int]) -> tuple[Counts, ...]:
    """A row of the tables for each class."""
    return tuple(_counts([one for one in found if one.target == k], k) for k in classes)


def _counts(found: list[Narrowed], target: int) -> Counts:
    both = [one for one in found if one.has_both_hulls]
    compared = [one for one in found if one.has_both_regions]
    return Counts(
        target=target,
        images=len(found),
        areas={name: sum(one.area == name for one in found) for name in AREAS},
        sensitivities={name: sum(one.sensitivity == name for one in found) for name in SENSITIVITIES},
        change=_mean([one.change for one in both]),
        own=_mean([one.own for one in compared]),
        supplementary=_mean([one.supplementary for one in compared]),
    )


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
