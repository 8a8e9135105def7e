"""Does a map point at the region that it should point at, better than a map that does not use the model?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import WithLabels, takes
from pytest_saliency_sanity.audited.options import check_demands, check_flags, reached
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.caveats import caveats
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.forecast import foretell
from pytest_saliency_sanity.examination.liveness import alike_findings, flat_findings
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.relevance.deletion_curves import REFERENCES
from pytest_saliency_sanity.statistics.hulls import without_isolated
from pytest_saliency_sanity.statistics.regions import (
    as_masks,
    bounding_boxes,
    intersection_over_union,
    mass_inside,
    maximum_inside,
)
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim(
    fails="does not point at the region",
    measures="is",
    columns=("measure", "beside it", "value"),
    code="misplaced",
    passed="localized",
)
RANDOM_BOXES = 39
CENTER, BOXES = "the center", "a random box"
# Which images are needed where a rival that does not use the model points at the regions.
_NEEDED = {
    "Sobel": "things other than the regions have edges",
    CENTER: "the regions lie elsewhere",
    "|x − mean|": "things other than the regions stand out",
}
WIDEST = 0.4  # share of the image from which a region is too large to be missed
CENTERED = 0.25  # mean IoU of the center with the regions from which losing to it is no evidence


@dataclass(frozen=True)
class Pointing:
    """How well maps point at regions, image by image.

    Attributes:
        iou: (n,) of the map's highest pixels, as many as the region has, or of their box, with the region.
        inside: (n,) 1 where the maximum is in the region.
        mass: (n,) the share of the positive values in it.
    """

    iou: np.ndarray
    inside: np.ndarray
    mass: np.ndarray


@takes(WithLabels)
def check_localization(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    regions: Any = None,
    box_format: str = "xyxy",
    min_iou: float | None = None,
    box: bool = False,
    absolute: bool = False,
    **conditions: Unpack[WithLabels],
) -> Verdict:
    """Whether an explainer's highest pixels lie in given regions.

    Each map's highest pixels are taken, as many as the image's region has. Their intersection over union (IoU) with the
    region is compared, image by image, with that of a centered disc and of random boxes of the same area. Without
    `min_iou` the map has to beat both; with it, the mean IoU has to reach `min_iou`.

    In either case the map also has to lead the best of three rivals that do not use the model: the disc, Sobel's
    filter, and contrast, |x − mean|. If one of them points at the regions as well, nothing is shown: the verdict is
    inconclusive and names the rival. So it is where a map beats random boxes and loses to the disc, and the disc has a
    mean IoU above .25: losing to the center is no evidence where all regions are there.

    With `box`, the bounding box of these pixels is compared instead, and that of the rivals' pixels. Isolated pixels
    are
    left out first: connected components of less than a quarter of the largest.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network; it is restored afterwards.
        inputs: (N, C, H, W) floating point, N >= 2.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        regions: boolean masks (N, H, W), or boxes (N, 4) in pixels, or for each image a tensor (k, 4) of boxes.
        box_format: as in torchvision: "xyxy", "xywh" or "cxcywh".
        min_iou: the mean intersection over union that is needed, from 0 to 1; None means better than the references.
        box: compare the bounding box of the highest pixels, for regions that are boxes around objects.
        absolute: use the absolute values of the map, for explainers whose sign does not mean "for the class".
        **conditions: see `WithLabels`.

    Returns:
        The verdict. The pointing game (Zhang et al. 2016) and the mass inside (Arras et al. 2022) are shown as well.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    if min_iou is not None:
        check_demands(min_iou=min_iou)
    _check_given(inputs, regions)
    check_flags(absolute=absolute)
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)
    masks = as_masks(regions, (len(inputs), *inputs.shape[2:]), box_format=box_format)[audited.order]

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        foretell(kept, meter, kept.images)
        maps = torch.cat([chunk[0] for chunk in explained(kept, meter, kept.images)]).float()
        observation.regions(kept, "region", [masks])
        rivals = {name: _of_rival(made, kept, masks, box) for name, made in REFERENCES.items()}
        found = pointing(maps.abs() if absolute else maps, masks, box)
        stages, centered = _excused(_stages(kept, found, rivals, masks, min_iou, box), rivals[CENTER])
        return Measured(
            stages,
            centered or _rival_findings(stages, found, rivals),
            evidence={
                "share_of_the_image": float(masks.float().mean()),
                "rivals": {name: float(one.iou.mean()) for name, one in rivals.items()},
            },
        )

    early = (
        alike_findings(audited)
        or flat_findings(audited)
        or accuracy_findings(audited)
        or _size_findings(masks)
    )
    return verdict_by(
        "localization", CLAIM, audited, began, measure,
        early=early, caveats=caveats(audited), load=Load(audited.images),
    )  # fmt: skip


assert_localized = asserting(check_localization, "assert_localized")


def _check_given(inputs: Any, regions: Any) -> None:
    if regions is None:
        raise TypeError(
            "there are no regions: pass regions= (boxes or boolean masks), or define the fixture saliency_regions "
            "in conftest.py"
        )
    if not isinstance(inputs, Tensor) or inputs.ndim != 4:
        shape = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"regions belong to images: inputs must be a tensor (N, C, H, W), not {shape}")


def _size_findings(masks: Tensor) -> tuple[Finding, ...]:
    share = float(masks.float().mean())
    if share <= WIDEST:
        return ()
    sentence = (
        f"the regions cover {share:.0%} of the images; above {WIDEST:.0%} a map can hardly miss them, and a hit "
        f"shows nothing"
    )
    return (Finding("gate.regions", "inconclusive", sentence),)


def pointing(maps: Tensor, masks: Tensor, box: bool = False) -> Pointing:
    """How well maps (n, H, W), or the boxes of their highest pixels, point at regions (n, H, W) bool."""
    chosen = torch.stack([_highest(one, int(mask.sum())) for one, mask in zip(maps, masks, strict=True)])
    chosen = bounding_boxes(without_isolated(chosen)) if box else chosen
    measures = (
        intersection_over_union(chosen, masks),
        maximum_inside(maps, masks),
        mass_inside(maps, masks),
    )
    return Pointing(*(measure.double().numpy() for measure in measures))


def _highest(one: Tensor, count: int) -> Tensor:
    """(H, W) bool: the `count` highest pixels; of equal ones the first in reading order."""
    order = one.flatten().sort(descending=True, stable=True).indices[:count]
    return torch.zeros(one.numel(), dtype=torch.bool).index_fill_(0, order, True).view(one.shape)


def random_boxes_iou(masks: Tensor, seed: int) -> np.ndarray:
    """(n,) mean intersection over union of a region with square boxes of its area, placed uniformly."""
    height, width = masks.shape[1:]
    values = []
    for number, mask in enumerate(masks):
        random = np.random.default_rng([seed, number])
        side = max(round(float(mask.sum()) ** 0.5), 1)
        rows, columns = min(side, height), min(side, width)
        boxes = torch.zeros(RANDOM_BOXES, height, width, dtype=torch.bool)
        for box in boxes:
            top, left = random.integers(height - rows + 1), random.integers(width - columns + 1)
            box[top : top + rows, left : left + columns] = True
        values.append(float(intersection_over_union(boxes, mask.expand_as(boxes)).mean()))
    return np.array(values)


def _of_rival(made: Callable[..., Any], audited: Subject, masks: Tensor, box: bool) -> Pointing:
    """How well a map that does not use the model points at the regions."""
    return pointing(_summed(made(audited.model, audited.inputs[0], audited.targets)), masks, box)


def _stages(
    audited: Subject,
    found: Pointing,
    rivals: Mapping[str, Pointing],
    masks: Tensor,
    min_iou: float | None,
    box: bool,
) -> tuple[Stage, ...]:
    center, boxes = rivals[CENTER], random_boxes_iou(masks, audited.seed)
    references = {CENTER: center.iou, BOXES: boxes}
    detail = ", ".join(f"{name} {values.mean():.2f}" for name, values in references.items())
    what = "the box of its highest pixels" if box else "its highest pixels"
    others = {name: one.iou for name, one in rivals.items() if name != CENTER}
    return (
        _stage("IoU", detail, f"the mean IoU of {what} with the region", found.iou, min_iou),
        *(_beats(name, what, found.iou, values, min_iou is None) for name, values in references.items()),
        *(_beats(name, what, found.iou, values, False) for name, values in others.items()),
        _shown("pointing game", center.inside, found.inside),
        _shown("mass inside", center.mass, found.mass),
    )


def _excused(stages: tuple[Stage, ...], center: Pointing) -> tuple[tuple[Stage, ...], tuple[Finding, ...]]:
    """The stages, that of the center only shown where losing to it is no evidence, and what is said then.

    That is where the regions are so central that a disc has a large part of them, and the map does beat random boxes.
    """
    reached, failing = float(center.iou.mean()), [one.name for one in stages if _fails(one)]
    chance = next(stage for stage in stages if stage.name == _lead(BOXES))
    if reached <= CENTERED or failing != [_lead(CENTER)] or chance.outcome != "pass":
        return stages, ()
    sentence = (
        f"{CENTER} can hardly be beaten on these images: its mean IoU with the regions is {reached:.2f} (above "
        f"{CENTERED:.2f}), and the map does beat random boxes; use images in which {_NEEDED[CENTER]}"
    )
    shown = tuple(replace(one, judged=one.judged and one.name != failing[0]) for one in stages)
    return shown, (Finding("gate.rivals", "inconclusive", sentence),)


def _fails(stage: Stage) -> bool:
    return stage.judged and stage.outcome == "fail"


def _rival_findings(
    stages: Sequence[Stage], found: Pointing, rivals: Mapping[str, Pointing]
) -> tuple[Finding, ...]:
    """Inconclusive where a map that would pass does not lead the best rival that does not use the model."""
    best = max(rivals, key=lambda name: rivals[name].iou.mean())
    lead = next(stage for stage in stages if stage.name == _lead(best))
    if lead.outcome == "pass" or {stage.outcome for stage in stages if stage.judged} != {"pass"}:
        return ()
    sentence = (
        f"it is not shown to be better than {best}, which does not use the model and points at the regions as "
        f"well: their highest pixels have a mean IoU of {found.iou.mean():.2f} and {rivals[best].iou.mean():.2f} "
        f"with the regions (95 % lower bound of the difference {lead.lower:.2f}; it must be above 0.00); use "
        f"images in which {_NEEDED[best]}"
    )
    return (Finding("gate.rivals", "inconclusive", sentence),)


def _lead(name: str) -> str:
    return f"IoU − {name}"


def _beats(name: str, what: str, iou: np.ndarray, reference: np.ndarray, judged: bool) -> Stage:
    sentence = f"the IoU of {what} minus that of {name}"
    return _stage(_lead(name), "on the same images", sentence, iou - reference, 0.0, judged)


def _shown(name: str, center: np.ndarray, values: np.ndarray) -> Stage:
    return _stage(name, f"the center {center.mean():.2f}", name, values, float(center.mean()), False)


def _stage(
    name: str, detail: str, sentence: str, values: np.ndarray, line: float | None, judged: bool = True
) -> Stage:
    """A mean over images; without a line it is shown."""
    stage = mean_stage(name, detail, sentence, values, line or 0.0, judged=judged and line is not None)
    return replace(stage, pass_above=reached(line or 0.0))


def _summed(maps: Tensor) -> Tensor:
    return (maps.sum(1) if maps.ndim == 4 else maps).float().cpu()
