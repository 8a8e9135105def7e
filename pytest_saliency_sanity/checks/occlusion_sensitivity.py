"""Does hiding what a map points at lower the score, more than hiding other places and more than hiding edges?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import OfImages, takes
from pytest_saliency_sanity.audited.options import (
    check_classes,
    check_flags,
    check_images,
    of_chosen,
    of_images,
)
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.caveats import batch_findings, caveats
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.examination.liveness import flat_findings, still_findings
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.examination.trial import IMAGES, few_of, seconds_of
from pytest_saliency_sanity.perturbations.occlusion import Infill, filling
from pytest_saliency_sanity.relevance.hidden_regions import (
    FEWEST_PLACES,
    RIVALS,
    WIDEST,
    Cut,
    Hidden,
    Hiding,
    Sample,
    cut_at,
    hidden_regions,
)
from pytest_saliency_sanity.statistics.hulls import TOP_SHARE
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim(
    fails="does not point at what the score depends on",
    measures="is",
    columns=("measure", "how", "value"),
    code="beside_the_point",
    passed="to_the_point",
)
CHANCE = 0.5  # mean percentile of a region placed without knowledge of the image
LEAD = 0.1  # the lead that is needed, as a share of 1 minus the rival's percentile
# A rival's percentile from which losing to it is no evidence: photographs have their object in the center.
UNBEATABLE: Mapping[str, float] = {"the center": 0.75}
# One from which to be no better is no evidence, if it is not shown to be worse: edges may be what matters.
EQUALED: Mapping[str, float] = {"Sobel": 0.85}
_LINES: Mapping[str, float] = {**UNBEATABLE, **EQUALED}
_WHAT: Mapping[str, str] = {"the center": "losing to", "Sobel": "being no better than"}
_NEEDED: Mapping[str, str] = {  # which images are needed then
    "the center": "what matters lies elsewhere",
    "Sobel": "things other than what matters have edges",
}
_NO_DIFFERENCE = 1e-9  # of two percentiles, which are sums of some hundred numbers
PER_PIXELS = 1000  # RS is shown per so many
_USABLE = 0.5  # share of the images whose region can be placed elsewhere
_VACANT = 0.5  # share of a region's pixels from which the infill is said to be at fault
# A rival's percentile that leaves little room for a lead, and what the images lack then.
_HARD: Mapping[str, tuple[float, str]] = {
    "the center": (UNBEATABLE["the center"], "whose object lies elsewhere"),
    "Sobel": (0.85, "in which things other than what matters have edges"),
}
_ALIKE = 0.8  # mean intersection over union from which two regions are said to be the same


@takes(OfImages)
def check_occlusion_sensitivity(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    share: float | None = None,
    fraction: float | None = None,
    infill: Infill = "zero",
    classes: Sequence[int] | int | None = None,
    absolute: bool = False,
    **conditions: Unpack[OfImages],
) -> Verdict:
    """Whether hiding the region that a map points at lowers the target's logit, and more than without the model.

    The region is the convex hull of the map's most important pixels, without the isolated ones. Two things have to
    hold.

    Hiding the region has to lower the logit further than hiding the same shape elsewhere in the same image (39 places:
    shifts and mirror images; mid-rank percentile P above .5).

    And P has to lead the percentiles R of two rivals that do not use the model, with regions of the same area in the
    same image: where Sobel's filter points, and a disc in the center. Strong edges and the center alone beat random
    places. P − R has to be above a tenth of 1 − R.

    An explainer that loses to the center only, where the center reaches .75 as on most photographs, is inconclusive:
    nothing can be shown there. So is one that is no better than Sobel, but not worse, where Sobel reaches .85: where
    edges are the answer, a right map has them.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network; it is restored afterwards.
        inputs: (N, C, H, W) floating point, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        share: share of the pixels that are important; .05 by default, .5 in the paper's experiments.
        fraction: instead of `share`, the fraction of the map's maximum from which pixels are important; .1 in the
            paper's figure 4.
        infill: "zero", as in the paper, "blur", "mean" (of each channel over the images), a number, or a tensor that
            broadcasts to the images.
        classes: one or several classes whose RS is shown; None means the target's.
        absolute: use the absolute values of the map, for explainers whose sign does not mean "for the class".
        **conditions: see `OfImages`.

    Returns:
        The verdict. RS = |N_a(I) − N_a(I × (1 − M))| / ΣM is shown per 1,000 pixels. It decides nothing, because it
        divides by an area while the drop saturates. `evidence["regions"]` has area, drop, percentile and RS of every
        image.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Rodrigues, Boutry and Najman (Gradient Artificial Distancing), equation 2, for RS and the hull.
    """
    cut = cut_at(share, fraction)
    check_flags(absolute=absolute)
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)
    check_images(audited, "this check hides regions of images")
    infill = of_chosen(infill, audited, inputs)
    filling(audited.inputs[0], infill)
    how = Hiding(infill, check_classes(classes, audited.classes), share or TOP_SHARE)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        return _measured(kept, meter, cut, how, absolute)

    return verdict_by(
        "occlusion_sensitivity", CLAIM, audited, began, measure,
        early=flat_findings(audited) or batch_findings(audited) or accuracy_findings(audited),
        caveats=caveats(audited),
        load=Load(_first_look(audited), beside=lambda kept: _seconds_beside(kept, how)),
    )  # fmt: skip


assert_occlusion_sensitive = asserting(check_occlusion_sensitivity, "assert_occlusion_sensitive")


def _measured(kept: Subject, meter: Meter, cut: Cut, how: Hiding, absolute: bool) -> Measured:
    """The profile's images, and all there are when these leave the question open."""
    sizes = sorted({_first_look(kept), kept.images})
    sample = Sample()
    stages: tuple[Stage, ...] = ()
    for begin, end in pairwise([0, *sizes]):
        maps = torch.cat([chunk[0] for chunk in explained(kept, meter, end, begin=begin)])
        regions = cut.regions(maps.abs() if absolute else maps)
        if begin == 0:
            observation.regions(kept, "hidden", [regions])
        sample += hidden_regions(kept, meter, regions, begin, how)
        stages = judged_stages(sample, len(sizes))
        if _settled(stages) and not _unbeatable_findings(sample, stages):
            break
    found = judgment(kept, sample, stages)
    return replace(found, stages=(*found.stages, *_shown(sample, how.classes)))


def _first_look(kept: Subject) -> int:
    """How many images it takes."""
    return min(kept.amounts.images, kept.images)


def _seconds_beside(kept: Subject, how: Hiding) -> float:
    """What hiding regions of the first look's images takes, by a square of the share that counts, in two images."""
    height, width = kept.inputs[0].shape[2:]
    rows, columns = (max(1, round(side * how.share**0.5)) for side in (height, width))
    square = torch.zeros(IMAGES, height, width, dtype=torch.bool)
    square[:, :rows, :columns] = True
    how = replace(how, infill=of_images(how.infill, torch.arange(IMAGES), kept.images))
    each = seconds_of(lambda: hidden_regions(few_of(kept), Meter(), square, 0, how)) / IMAGES
    return each * _first_look(kept)


def judgment(kept: Subject, sample: Sample, stages: Sequence[Stage]) -> Measured:
    """The stages, and what keeps them from deciding; a stage that is no evidence is only shown."""
    return Measured(
        tuple(replace(stage, judged=not _unbeatable(sample, stage)) for stage in stages),
        _region_findings(sample) or _still_findings(kept, sample) or _unbeatable_findings(sample, stages),
        hint=_hint(sample, stages),
        notes=(*_left_out(sample), *_excused(sample, stages)),
        evidence={"regions": asdict(sample)},
    )


def _settled(stages: Sequence[Stage]) -> bool:
    outcomes = {stage.outcome for stage in stages}
    return "fail" in outcomes or outcomes == {"pass"}


# The stages.


def judged_stages(sample: Sample, looks: int = 1) -> tuple[Stage, ...]:
    """The percentile, and its lead over each rival's; the error rates are shared out over stages and looks."""
    if len(sample.hidden) < 2:
        return ()
    levels = ALPHA_FAIL / looks / (1 + len(RIVALS)), ALPHA_PASS / looks
    return _percentile_stage(sample, levels), *(_lead(sample, name, levels) for name in RIVALS)


def _percentile_stage(sample: Sample, levels: tuple[float, float]) -> Stage:
    """Whether hiding the regions hurts more than hiding the same shape elsewhere, at levels (fail, pass)."""
    places = max(one.places for one in sample.hidden)
    return mean_stage(
        "percentile",
        f"of the logit's drop, among {places} places of the same shape",
        "the percentile of the logit's drop when its region is hidden, compared with the same shape elsewhere in "
        "the image",
        sample.values(lambda one: one.percentile), CHANCE, levels=levels, limits=(0.0, 1.0),
    )  # fmt: skip


def _lead(sample: Sample, name: str, levels: tuple[float, float]) -> Stage:
    """P − R of the percentiles P of the explainer and R of a rival, compared with a share of 1 − R.

    Both sides vary from image to image: what is tested is the mean of (P − R) − LEAD (1 − R), shown as far from the
    mean line as it is from 0.
    """
    own, theirs = sample.values(lambda one: one.percentile), sample.values(lambda one: one.rivals[name])
    excess, line = own - theirs - LEAD * (1 - theirs), LEAD * float((1 - theirs).mean())
    reached = f"a region of the same area by {name} reaches {theirs.mean():.2f}"
    return mean_stage(
        _lead_name(name), reached, f"the lead of its percentile over {name}: {reached}", excess + line, line,
        levels=levels, limits=(-1.0, 1.0),
    )  # fmt: skip


def _lead_name(rival: str) -> str:
    return f"lead over {rival}"


def _shown(sample: Sample, classes: Sequence[int]) -> tuple[Stage, ...]:
    """RS of the target's logit, or of those of the classes that were asked for."""
    if len(sample.hidden) < 2:
        return ()
    names: dict[str | int, str] = {k: f"RS of class {k}" for k in classes}
    names = names or {"target": "RS of the target"}
    return tuple(_sensitivity(sample, key, name) for key, name in names.items())


def _sensitivity(sample: Sample, key: str | int, name: str) -> Stage:
    own = sample.values(lambda one: PER_PIXELS * one.sensitivity[key][0])
    elsewhere = sample.values(lambda one: PER_PIXELS * one.sensitivity[key][1])
    detail = f"per {PER_PIXELS} pixels; elsewhere {elsewhere.mean():.2f}"
    return mean_stage(name, detail, name, own, float(elsewhere.mean()), judged=False)


# What keeps the stages from deciding.


def _region_findings(sample: Sample) -> tuple[Finding, ...]:
    """Inconclusive where less than half of the images have a region that can be placed elsewhere."""
    if len(sample.hidden) >= max(2, _USABLE * sample.images):
        return ()
    sentence = (
        f"only {len(sample.hidden)} of {sample.images} maps have a region that can be judged: {_lost(sample)}"
    )
    return (Finding("gate.regions", "inconclusive", sentence),)


def _still_findings(kept: Subject, sample: Sample) -> tuple[Finding, ...]:
    """Inconclusive where hiding any region, the explainer's or another, leaves the logit as it is."""
    vacant = [one.vacant for one in sample.hidden if not one.moved]
    return still_findings(
        kept,
        [one.moved for one in sample.hidden],
        "hiding a region",
        float(np.mean(vacant)) if vacant else 0.0,
    )


def _left_out(sample: Sample) -> tuple[str, ...]:
    """The note that says which images do not count."""
    return (f"{_lost(sample)}; these images are left out",) if len(sample.hidden) < sample.images else ()


def _lost(sample: Sample) -> str:
    reasons = {
        f"the hull covers more than {WIDEST:.0%} of the frame, as that of scattered pixels does": sample.wide,
        f"the hull fits in fewer than {FEWEST_PLACES} other places": sample.cramped,
        "the map points at nothing": sample.empty,
    }
    return ", ".join(f"in {len(images)} {what}" for what, images in reasons.items() if images)


def _unbeatable(sample: Sample, stage: Stage) -> str:
    """The rival that an explainer fails against at this stage, if it can hardly be beaten on these images; else ""."""
    lines = UNBEATABLE if stage.upper < -_NO_DIFFERENCE else _LINES
    names = [name for name, line in lines.items() if _reached(sample, name) > line]
    convicting = [name for name in names if stage.name == _lead_name(name) and stage.outcome == "fail"]
    return convicting[0] if convicting else ""


def _unbeatable_findings(sample: Sample, stages: Sequence[Stage]) -> tuple[Finding, ...]:
    """Inconclusive where the explainer fails only against such a rival."""
    rivals = [_unbeatable(sample, stage) for stage in stages if stage.outcome == "fail"]
    if not rivals or not all(rivals):
        return ()
    name = rivals[0]
    sentence = (
        f"{name} can hardly be beaten on these images: hiding its region of the same area has a percentile of "
        f"{_reached(sample, name):.2f} (above {_LINES[name]:.2f}); use images in which {_NEEDED[name]}"
    )
    return (Finding("gate.rivals", "inconclusive", sentence),)


def _excused(sample: Sample, stages: Sequence[Stage]) -> tuple[str, ...]:
    """The note that says why a stage that fails decides nothing."""
    names = filter(None, (_unbeatable(sample, stage) for stage in stages))
    return tuple(
        f"{_WHAT[name]} {name} is no evidence against the explainer where {name} reaches "
        f"{_reached(sample, name):.2f}"
        for name in names
    )


def _overlap(name: str, hidden: Hidden) -> float:
    return hidden.overlap[name]


def _hint(sample: Sample, stages: Sequence[Stage]) -> str:
    """What the region seems to be; "" for an explainer that passes."""
    if not stages or {stage.outcome for stage in stages} == {"pass"}:
        return ""
    for name in RIVALS:
        overlap = float(sample.values(partial(_overlap, name)).mean())
        if overlap > _ALIKE:
            return (
                f"its regions coincide with those of {name}: their intersection over union is {overlap:.2f}"
            )
    vacant = float(sample.values(lambda one: one.vacant).mean())
    if vacant > _VACANT:
        return (
            f"{vacant:.0%} of its regions' pixels have the infill's value already, and hiding them changes nothing: "
            f"another infill (blur, mean), or a map that is multiplied by the input, may tell more"
        )
    led = {stage.name for stage in stages if stage.outcome == "pass"}
    for name, (line, elsewhere) in _HARD.items():
        if _lead_name(name) not in led and (reached := _reached(sample, name)) > line:
            return f"{name} alone reaches {reached:.2f}: images {elsewhere} would show more"
    return ""


def _reached(sample: Sample, name: str) -> float:
    """The mean percentile of a rival's regions."""
    return float(sample.values(lambda one: one.rivals[name]).mean())
