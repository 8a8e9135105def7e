"""How a sample grows, and how each look at it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS, settlement
from pytest_saliency_sanity.sensitivity.survey import Sample
from pytest_saliency_sanity.settings import Profile
from pytest_saliency_sanity.statistics import holm_levels, retained_fraction
from pytest_saliency_sanity.statistics.contrast import Contrast, settled_by
from pytest_saliency_sanity.verdict import Stage

EARLY = (8, 3)  # images and draws of the early look


@dataclass(frozen=True)
class Look:
    """One look at the data.

    Attributes:
        images, draws: the sample it wants.
        may_pass: False for the early look, which may fail an explainer but not pass it.
        alpha_fail, alpha_pass: this look's share of the error rates.
    """

    images: int
    draws: int
    may_pass: bool
    alpha_fail: float
    alpha_pass: float


@dataclass(frozen=True)
class Measure:
    """A stage that is to be measured.

    Attributes:
        name, detail, sentence, judged: as in Stage.
        blocks: how many blocks are re-initialized, from the top.
    """

    name: str
    detail: str
    sentence: str
    judged: bool
    blocks: int = 0


@dataclass(frozen=True)
class Thresholds:
    """fail_above and pass_below of the retained fraction."""

    fail_above: float
    pass_below: float


def looks(amounts: Profile, images: int, most_draws: int | None = None) -> tuple[Look, ...]:
    """The early look, the profile's, and two larger ones, for as many images as there are.

    The error rates are shared out evenly (Bonferroni), so that looking often does not raise them.

    Args:
        most_draws: more cannot be had; None means any number can.
    """
    n, k = amounts.images, amounts.draws
    enough = min(n, images)
    early = [(EARLY[0], min(EARLY[1], k))] if enough > EARLY[0] else []
    wanted = [*early, (n, k), (2 * n, 2 * k), (2 * n, 4 * k)]
    sizes = list(
        dict.fromkeys((min(size, images), min(draws, most_draws or draws)) for size, draws in wanted)
    )
    passing = sum(size >= enough for size, _ in sizes)
    return tuple(
        Look(size, draws, size >= enough, ALPHA_FAIL / len(sizes), ALPHA_PASS / passing)
        for size, draws in sizes
    )


def ends(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The shallowest and the deepest of the measures that decide, which are listed shallow to deep."""
    deciding = [measure for measure in measures if measure.judged]
    return tuple(dict.fromkeys((*deciding[:1], *deciding[-1:])))


def judged(
    samples: Mapping[str, Sample],
    measures: Sequence[Measure],
    limits: Thresholds,
    alpha_fail: float,
    alpha_pass: float,
) -> tuple[Stage, ...]:
    """A stage for each measure; Holm's correction over those that are judged.

    Args:
        samples: by the measure's name; measures without one are left out.
    """
    present = [measure for measure in measures if measure.name in samples]
    names = [measure.name for measure in present if measure.judged]
    p_values = [_contrast(samples[name], limits, alpha_fail, alpha_pass).p_value for name in names]
    levels = dict(zip(names, holm_levels(p_values, alpha_fail), strict=True))
    return tuple(
        stage_at(measure, samples[measure.name], limits, levels.get(measure.name, alpha_fail), alpha_pass)
        for measure in present
    )


def stage_at(
    measure: Measure, sample: Sample, limits: Thresholds, alpha_fail: float, alpha_pass: float
) -> Stage:
    """The stage of one measure."""
    contrast = _contrast(sample, limits, alpha_fail, alpha_pass)
    return Stage(
        name=measure.name,
        detail=measure.detail,
        sentence=measure.sentence,
        judged=measure.judged,
        statistic=contrast.statistic,
        lower=contrast.lower,
        upper=contrast.upper,
        fail_above=limits.fail_above,
        pass_below=limits.pass_below,
        alpha_fail=alpha_fail,
        alpha_pass=alpha_pass,
        images=contrast.images,
        draws=contrast.draws,
        evidence={
            "matched": float(np.mean(sample.matched)),
            "mismatched": float(np.mean(sample.mismatched)),
            "repeated": float(np.mean(sample.repeated)),
            "settled_by": _settlement(sample, limits, alpha_fail, alpha_pass),
        },
    )


def _contrast(sample: Sample, limits: Thresholds, alpha_fail: float, alpha_pass: float) -> Contrast:
    return retained_fraction(
        sample.matched, sample.mismatched, sample.repeated,
        threshold=limits.fail_above, alpha_fail=alpha_fail, alpha_pass=alpha_pass,
    )  # fmt: skip


def _settlement(sample: Sample, limits: Thresholds, alpha_fail: float, alpha_pass: float) -> str:
    found = settled_by(
        sample.matched, sample.mismatched, sample.repeated,
        pass_below=limits.pass_below, fail_above=limits.fail_above, alpha_fail=alpha_fail, alpha_pass=alpha_pass,
    )  # fmt: skip
    return settlement(found, sample.matched.shape)
