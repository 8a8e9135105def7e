"""Does the model's score follow the pixels that a map calls relevant?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.checks import gates
from pytest_saliency_sanity.checks.contract import Examination
from pytest_saliency_sanity.checks.course import Measured, explained, verdict_by
from pytest_saliency_sanity.checks.explanation import Meter
from pytest_saliency_sanity.checks.looks import ALPHA_FAIL, ALPHA_PASS
from pytest_saliency_sanity.checks.options import check_demands, check_images, reached
from pytest_saliency_sanity.checks.subject import Subject, subject
from pytest_saliency_sanity.errors import raise_unless_passed
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.outputs import Forward
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.insertion import (
    MODES,
    RISE,
    Curves,
    area_between,
    least_first,
    perturbation_curves,
    ranked,
    smooth_random_maps,
)
from pytest_saliency_sanity.statistics.sign_flips import sign_flip_bounds, sign_flip_p
from pytest_saliency_sanity.verdict import Claim, Stage, Verdict

CLAIM = Claim(
    fails="does not rank the pixels that the score depends on",
    measures="is",
    columns=("measure", "how", "value"),
    code="irrelevant",
    passed="relevant",
)
RELATIVE_STEPS = 28
_REFERENCES: Mapping[str, Callable[..., Any]] = {
    "Sobel": controls.sobel,
    "the center": controls.center_prior,
    "|x − mean|": lambda model, inputs, targets: (inputs - inputs.flatten(2).mean(2)[..., None, None]).abs(),
}


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    Attributes:
        lines: mode -> the area that is needed, or may not be exceeded; None where nothing is demanded.
        steps, infill: of the curves; None means the defaults.
    """

    lines: Mapping[str, float | None]
    steps: int | None
    infill: Any


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
    labels: Any = None,
    name: str | None = None,
    seed: int | None = None,
    profile: str | None = None,
    max_seconds: float | None = None,
    forward: Forward | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Verdict:
    """Whether the score falls as the most relevant pixels are deleted, and rises as they are inserted.

    Without thresholds the claim is relative: the area between the deletion curves of the least and of the most
    relevant pixels first is larger than that of a random map of the same smoothness, image by image (sign-flip test,
    28 steps). With `min_insertion` or `max_deletion` it is RISE's protocol, 224 steps where there are so many pixels:
    the mean area under the curve is held against the threshold.

    A large area does not make an explanation faithful: image × Sobel beats honest gradients on it. That an explainer
    is no better than Sobel, a centered disc or |x − mean| is a note.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network; given back as it was.
        inputs: (N, C, H, W) floating point, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64; None means the model's own prediction.
        min_insertion: mean area under the insertion curve that is needed, of the softmax score, from 0 to 1.
        max_deletion: mean area under the deletion curve that may not be exceeded, from 0 to 1.
        steps: of the curves; None means as above.
        infill: "zero", "blur", "noisy_linear" or a tensor; None means zero for deletion and blur for insertion.
        labels, name, seed, profile, max_seconds, forward, input_shape: as in `check_model_sensitivity`.

    Returns:
        The verdict; `evidence["curves"]` holds each image's curves, `evidence["auc"]` raw and normalized areas.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Petsiuk, Das and Saenko 2018 (RISE), section 4.3; area between the curves: Schulz et al. 2020.
    """
    thresholds = {"min_insertion": min_insertion, "max_deletion": max_deletion}
    check_demands(**{name: value for name, value in thresholds.items() if value is not None})
    asked = Asked({"insertion": min_insertion, "deletion": max_deletion}, steps, infill)
    began = time.monotonic()
    audited = subject(
        explainer, model, inputs, targets, labels=labels, name=name, seed=seed, profile=profile,
        max_seconds=max_seconds, forward=forward, input_shape=input_shape,
    )  # fmt: skip
    check_images(audited, "pixels are deleted from images")

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        maps = torch.cat([chunk[0] for chunk in explained(kept, meter, kept.amounts.images)])
        relative = all(line is None for line in asked.lines.values())
        return (_relative if relative else _absolute)(kept, meter, maps, asked)

    early = gates.accuracy_findings(audited)
    return verdict_by(
        "insertion_deletion", CLAIM, audited, began, measure, early=early, caveats=gates.caveats(audited)
    )


def assert_insertion_deletion(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    **options: Any,
) -> Verdict:
    """`check_insertion_deletion`, raising unless it passes.

    Raises:
        SanityCheckFailed, SanityCheckInconclusive, ExplainerContractError: by the verdict's outcome.
        TypeError, ValueError: for bad arguments.
    """
    __tracebackhide__ = True
    return raise_unless_passed(check_insertion_deletion(explainer, model, inputs, targets, **options))


def _curves(kept: Subject, meter: Meter, rankings: Tensor, modes: Sequence[str], asked: Asked) -> Curves:
    n = rankings.shape[-2]
    with replayed(kept.seed):
        return perturbation_curves(
            kept.model, kept.inputs[0][:n], rankings, kept.targets[:n],
            steps=asked.steps, infill=RISE if asked.infill is None else asked.infill, modes=modes,
            score="logit" if kept.classes == 1 else "softmax", seed=kept.seed, forward=kept.forward,
            before_call=meter.check_deadline,
        )  # fmt: skip


def _absolute(kept: Subject, meter: Meter, maps: Tensor, asked: Asked) -> Measured:
    """RISE's protocol against the user's thresholds."""
    curves = _curves(kept, meter, ranked(maps, kept.seed)[None], MODES, asked)
    areas = {mode: _numbers(values[0]) for mode, values in curves.aucs.items()}
    stages = tuple(
        _area_stage(mode, areas[mode], asked.lines[mode], curves.scores[mode].shape[-1] - 1) for mode in areas
    )
    normalized = {mode: values[0] for mode, values in curves.normalized_aucs.items()}
    evidence = {
        "curves": {mode: values[0] for mode, values in curves.scores.items()},
        "auc": {"raw": areas, "normalized": normalized},
    }
    return Measured(stages, evidence=evidence)


def _area_stage(mode: str, areas: np.ndarray, line: float | None, steps: int) -> Stage:
    shown = float(areas.mean()) if line is None else line
    more_is_better = {"fail_below": shown, "pass_above": reached(shown)}
    lines = more_is_better if mode == "insertion" else {"fail_above": shown, "pass_below": shown}
    return _stage(
        f"{mode} AUC", f"{steps} steps", f"the area under the {mode} curve", areas,
        lines, judged=line is not None,
    )  # fmt: skip


def _relative(kept: Subject, meter: Meter, maps: Tensor, asked: Asked) -> Measured:
    """The area between the curves beside that of random maps and of the references."""
    n = len(maps)
    images, targets = kept.inputs[0][:n], kept.targets[:n]
    rivals = {"a random map": smooth_random_maps(maps, kept.seed)}
    rivals |= {name: _summed(made(kept.model, images, targets)) for name, made in _REFERENCES.items()}
    orders = [ranked(one, kept.seed) for one in (maps, *rivals.values())]
    rankings = torch.stack([ranking for order in orders for ranking in (order, least_first(order))])
    steps = min(RELATIVE_STEPS, maps[0].numel()) if asked.steps is None else asked.steps
    curves = _curves(kept, meter, rankings, ("deletion",), replace(asked, steps=steps))
    scores = curves.scores["deletion"]
    own, *others = (_numbers(area_between(scores[2 * i + 1], scores[2 * i])) for i in range(len(orders)))
    beside = dict(zip(rivals, others, strict=True))
    stages = tuple(_advantage(name, own, area, kept.seed) for name, area in beside.items())
    areas = {"explainer": own, **beside}
    evidence = {"areas": areas, "curves": {"most_first": scores[0], "least_first": scores[1]}}
    return Measured(stages, notes=_warnings(stages[1:]), evidence=evidence)


def _advantage(name: str, own: np.ndarray, other: np.ndarray, seed: int) -> Stage:
    judged = name == "a random map"
    return _stage(
        f"above {name}", f"area between the curves {own.mean():.2f}, of {name} {other.mean():.2f}",
        f"its area between the deletion curves above that of {name}", own - other,
        {"fail_below": 0.0, "pass_above": 0.0}, judged=judged, seed=seed,
    )  # fmt: skip


def _warnings(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    beaten_by = [stage.name.removeprefix("above ") for stage in stages if stage.outcome != "pass"]
    if not beaten_by:
        return ()
    return (f"it is not shown to be better than {', '.join(beaten_by)}, which know no model",)


def _stage(
    name: str,
    detail: str,
    sentence: str,
    values: np.ndarray,
    lines: Mapping[str, float],
    *,
    judged: bool,
    seed: int = 0,
) -> Stage:
    more_is_better = "pass_above" in lines
    levels = (ALPHA_PASS, ALPHA_FAIL) if more_is_better else (ALPHA_FAIL, ALPHA_PASS)
    lower, upper = sign_flip_bounds(values, *levels, seed)
    line = next(iter(lines.values()))
    return Stage(
        name=name,
        detail=detail,
        sentence=sentence,
        judged=judged,
        statistic=float(values.mean()),
        lower=lower,
        upper=upper,
        alpha_fail=ALPHA_FAIL,
        alpha_pass=ALPHA_PASS,
        images=len(values),
        draws=1,
        evidence={"p_value": sign_flip_p(values - line, seed), "settled_by": "more images may tell"},
        **lines,
    )


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _summed(maps: Tensor) -> Tensor:
    return (maps.sum(1) if maps.ndim == 4 else maps).detach()
