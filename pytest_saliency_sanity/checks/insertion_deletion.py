"""Does the model's score follow the pixels that a map calls relevant?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import OfImages, takes
from pytest_saliency_sanity.audited.options import (
    check_demands,
    check_flags,
    check_images,
    fitted,
    kept_to,
    of_chosen,
    of_images,
    reached,
)
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.caveats import batch_findings, caveats
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.examination.liveness import flat_findings, still_findings
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.examination.trial import IMAGES, few_of, seconds_of
from pytest_saliency_sanity.metrics.reported import metric_names, reported
from pytest_saliency_sanity.metrics.request import Request
from pytest_saliency_sanity.perturbations.infills import chosen_infills
from pytest_saliency_sanity.perturbations.insertion import MODES, RISE
from pytest_saliency_sanity.perturbations.options import pixel_counts
from pytest_saliency_sanity.relevance.deletion_curves import (
    RANDOM,
    REFERENCES,
    RELATIVE_STEPS,
    Asked,
    Found,
    against_lines,
    as_evidence,
    beside_rivals,
    joined,
    moved,
)
from pytest_saliency_sanity.statistics.sign_flips import fewest_values, sign_flip_bounds, sign_flip_p
from pytest_saliency_sanity.verdict import Claim, Stage, Verdict

CLAIM = Claim(
    fails="does not rank the pixels that the score depends on",
    measures="is",
    columns=("measure", "how", "value"),
    code="irrelevant",
    passed="relevant",
)


_BRIEF = 6  # steps of the curves by which all of them are foretold


@dataclass(frozen=True)
class Levels:
    """One-sided error rates of one look, and the seed of the flips."""

    failing: float
    passing: float
    seed: int


@takes(OfImages)
def check_insertion_deletion(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    min_insertion: float | None = None,
    max_deletion: float | None = None,
    steps: int | None = None,
    infill: Any = None,
    absolute: bool = False,
    metrics: Sequence[str] = (),
    **conditions: Unpack[OfImages],
) -> Verdict:
    """Whether the score falls as the most relevant pixels are deleted, and rises as they are inserted.

    Without thresholds the claim is relative. The target's logit is followed along two deletion curves of 28 steps: the
    least relevant pixels first, and the most relevant ones first. The area between the curves has to be larger than
    that of a random map of the same smoothness, image by image (sign-flip test). The softmax score would not do: it
    saturates after one step, whichever pixels are deleted.

    With `min_insertion` or `max_deletion` the check follows RISE's protocol, with 224 steps, or one for each pixel if
    there are fewer. The mean area under the curve of the softmax score is compared with the threshold. For a model with
    a single logit, this score is the logit's sigmoid, even where it is below .5, because the logit is what is
    explained. Targets of weights (N, 1), -1 for the images on the other side, ask for the probability of that side.

    Fewer than 5 images cannot pass, and fewer than 7 cannot fail, whatever their areas: the signs of so few images can
    be flipped in too few ways, and a bound is infinite.

    A large area does not make an explanation faithful: image × Sobel beats honest gradients on it. A note says if an
    explainer is not shown to be better than Sobel, a centered disc or |x − mean|.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network; it is restored afterwards.
        inputs: (N, C, H, W) floating point, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64; None means the model's own prediction.
        min_insertion: the least mean area under the insertion curve of the softmax score (for a single logit, of the
            sigmoid), from 0 to 1.
        max_deletion: the largest mean area under the deletion curve of the same score, from 0 to 1.
        steps: steps of the curves; None means as above.
        infill: "zero", "blur", "mean" (of each channel over the images), "noisy_linear", a number, or a tensor or an
            array that broadcasts to the inputs; or a mapping of the modes "insertion" and "deletion" to one of
            these. None means zero for deletion and blur for insertion.
        absolute: rank by the absolute values of the map, for explainers whose sign does not mean "for the class".
            Deleting pixels that speak against the class can also break up the object. A signed map may then stay
            inconclusive where its absolute values do not. Decide before you look, not by which of the two passes.
        metrics: figures that the field reports, which decide nothing: "road", "srg", "infidelity", "sparseness".
        **conditions: see `OfImages`.

    Returns:
        The verdict; `evidence["curves"]` holds each image's curves, `evidence["areas"]` the areas, and with thresholds
        `evidence["normalized"]` those of the curves scaled from 0 to 1.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Petsiuk, Das and Saenko 2018 (RISE), section 4.3; area between the curves: Schulz et al. 2020.
    """
    thresholds = {"min_insertion": min_insertion, "max_deletion": max_deletion}
    check_demands(**{name: value for name, value in thresholds.items() if value is not None})
    asked = Asked(
        {"insertion": min_insertion, "deletion": max_deletion},
        steps,
        RISE if infill is None else infill,
        absolute,
    )
    modes = ("deletion",) if asked.relative else MODES
    asked = replace(asked, infill=chosen_infills(asked.infill, modes))
    check_flags(absolute=absolute)
    metrics = metric_names(metrics, "insertion_deletion")
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)
    check_images(audited, "this check deletes pixels of images")
    infills = of_chosen(asked.infill, audited, inputs)
    asked = replace(asked, infill=fitted(infills, audited.inputs[0]))
    pixel_counts(audited.inputs[0][0, 0].numel(), steps)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        return _measured(kept, meter, asked)

    def beside(kept: Subject, meter: Meter) -> dict[str, Any]:
        return reported(_request(kept, meter, asked), metrics)

    early = flat_findings(audited) or batch_findings(audited) or accuracy_findings(audited)
    return verdict_by(
        "insertion_deletion", CLAIM, audited, began, measure, early=early, caveats=caveats(audited),
        beside=beside,
        load=Load(_first_look(audited), beside=lambda kept: _seconds_beside(kept, asked)),
    )  # fmt: skip


assert_insertion_deletion = asserting(check_insertion_deletion, "assert_insertion_deletion")


def _measured(kept: Subject, meter: Meter, asked: Asked) -> Measured:
    """The profile's images, and all there are when these leave the question open; both looks share the error rates."""
    sizes = sorted({_first_look(kept), kept.images})
    look, stages_of = (beside_rivals, _advantages) if asked.relative else (against_lines, _area_stages)
    levels = shared_levels(len(sizes), kept.seed)
    found: Found = {}
    stages: tuple[Stage, ...] = ()
    for begin, end in pairwise([0, *sizes]):
        maps = torch.cat([chunk[0] for chunk in explained(kept, meter, end, begin=begin)])
        maps = maps.abs() if asked.absolute else maps
        if begin == 0 and observation.is_observed():
            observation.regions(kept, "top 10 %", [_top(maps)], "deleted first")
        part = look(kept, meter, maps, begin, asked)
        found = joined(found, part)
        stages = stages_of(found, asked, levels)
        if "inconclusive" not in {stage.outcome for stage in stages if stage.judged}:
            break
    notes = _warnings(stages[1:]) if asked.relative else ()
    fails = any(stage.outcome == "fail" for stage in stages if stage.judged)
    still = still_findings(kept, moved(found), "deleting pixels") if asked.relative or fails else ()
    return Measured(stages, still, notes=notes, evidence=as_evidence(found))


def _first_look(kept: Subject) -> int:
    """How many images it takes."""
    return min(kept.amounts.images, kept.images)


def _seconds_beside(kept: Subject, asked: Asked) -> float:
    """What the first look's curves take, by those of a random map of two images."""
    look = beside_rivals if asked.relative else against_lines
    few = torch.rand(IMAGES, *kept.inputs[0].shape[2:], generator=torch.Generator().manual_seed(0))
    asked = replace(asked, infill=of_images(asked.infill, torch.arange(IMAGES), kept.images))
    steps = len(pixel_counts(few[0].numel(), asked.steps)) - 1
    if asked.relative and asked.steps is None:
        steps = min(RELATIVE_STEPS, steps)
    brief, briefer = (min(number, steps) for number in (_BRIEF, 2))
    long, short = (
        seconds_of(partial(look, few_of(kept), Meter(), few, 0, replace(asked, steps=number)))
        for number in (brief, briefer)
    )
    each = max(long - short, 0.0) / max(brief - briefer, 1)
    return (long + each * (steps - brief)) * _first_look(kept) / IMAGES


def _request(kept: Subject, meter: Meter, asked: Asked) -> Request:
    """What the figures are computed from: the first look's images, deleted as in the check."""
    request = Request(kept, meter, steps=asked.steps, absolute=asked.absolute)
    infill = of_images(asked.infill, torch.arange(request.images), kept.images)
    return replace(request, infill=infill["deletion"])


def _top(maps: torch.Tensor) -> torch.Tensor:
    """(n, H, W) bool: a tenth of the pixels, the highest; fewer where the last of them equal most others."""
    flat = maps.flatten(1).float()
    count = max(1, flat.shape[1] // 10)
    line = flat.topk(count, dim=1).values[:, -1:]
    above, reached = flat > line, flat >= line
    many = (reached.sum(1, keepdim=True) > 2 * count) & above.any(1, keepdim=True)
    return torch.where(many, above, reached).view(maps.shape)


def shared_levels(looks: int, seed: int) -> Levels:
    """Of each of several looks at a growing sample: they share the error rates evenly (Bonferroni)."""
    return Levels(ALPHA_FAIL / looks, ALPHA_PASS / looks, seed)


def _area_stages(found: Found, asked: Asked, levels: Levels) -> tuple[Stage, ...]:
    return tuple(_area_stage(mode, found, asked.lines[mode], levels) for mode in MODES)


def _area_stage(mode: str, found: Found, line: float | None, levels: Levels) -> Stage:
    areas, steps = found["areas", mode], found["curves", mode].shape[1] - 1
    shown = float(areas.mean()) if line is None else line
    more_is_better = {"fail_below": shown, "pass_above": reached(shown)}
    lines = more_is_better if mode == "insertion" else {"fail_above": shown, "pass_below": kept_to(shown)}
    return _stage(
        f"{mode} AUC", f"{steps} steps", f"the area under the {mode} curve", areas,
        lines, levels, judged=line is not None,
    )  # fmt: skip


def _advantages(found: Found, asked: Asked, levels: Levels) -> tuple[Stage, ...]:
    own = found["areas", "explainer"]
    return tuple(_advantage(name, own, found["areas", name], levels) for name in (RANDOM, *REFERENCES))


def _advantage(name: str, own: np.ndarray, other: np.ndarray, levels: Levels) -> Stage:
    return _stage(
        f"above {name}", f"area between the curves {own.mean():.2f}, of {name} {other.mean():.2f}",
        f"its area between the deletion curves minus that of {name}", own - other,
        {"fail_below": 0.0, "pass_above": 0.0}, levels, judged=name == RANDOM,
    )  # fmt: skip


def _warnings(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    beaten_by = [stage.name.removeprefix("above ") for stage in stages if stage.outcome != "pass"]
    if not beaten_by:
        return ()
    return (f"it is not shown to be better than {', '.join(beaten_by)}, which do not use the model",)


def _stage(
    name: str,
    detail: str,
    sentence: str,
    values: np.ndarray,
    lines: Mapping[str, float],
    levels: Levels,
    *,
    judged: bool,
) -> Stage:
    more_is_better = "pass_above" in lines
    ends = (levels.passing, levels.failing) if more_is_better else (levels.failing, levels.passing)
    lower, upper = sign_flip_bounds(values, *ends, levels.seed)
    line = next(iter(lines.values()))
    return Stage(
        name=name,
        detail=detail,
        sentence=sentence,
        judged=judged,
        statistic=float(values.mean()),
        lower=lower,
        upper=upper,
        alpha_fail=levels.failing,
        alpha_pass=levels.passing,
        images=len(values),
        draws=1,
        evidence={
            "p_value": sign_flip_p(values - line, levels.seed),
            "settled_by": _settled_by(values, levels),
        },
        **lines,
    )


def _settled_by(values: np.ndarray, levels: Levels) -> str:
    fewest = fewest_values(levels.failing)
    if len(values) >= fewest:
        return "more images may settle it"
    return f"with fewer than {fewest} images the 99 % bound is infinite, and no explainer can fail"
