"""A stage that is a mean over images (and draws), where more is better."""

from __future__ import annotations

import math

import numpy as np

from pytest_saliency_sanity.examination.levels import ALPHA_FAIL, ALPHA_PASS, settlement
from pytest_saliency_sanity.statistics.contrast import enough, mean_bounds
from pytest_saliency_sanity.verdict import Stage


def mean_stage(
    name: str,
    detail: str,
    sentence: str,
    values: np.ndarray,
    line: float,
    *,
    judged: bool = True,
    levels: tuple[float, float] = (ALPHA_FAIL, ALPHA_PASS),
    draws: str = "draws",
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Stage:
    """The stage that passes where the mean is above a line and fails where it is below.

    Args:
        name, detail, sentence, judged: as in Stage.
        values: (n,) one value per image, or (n, k) for k draws: both are samples then.
        line: the threshold that the statistic is compared with.
        levels: alpha_fail and alpha_pass, one-sided.
        draws: what the columns are called.
        limits: the least and the largest mean there can be, beyond which no bound is shown.
    """
    sample = values.reshape(len(values), -1)
    alpha_fail, alpha_pass = levels
    mean, lower, upper = mean_bounds(sample, alpha_pass, alpha_fail)
    needed = enough(sample - line, alpha_pass if mean > line else alpha_fail)
    return Stage(
        name=name,
        detail=detail,
        sentence=sentence,
        judged=judged,
        statistic=mean,
        lower=max(lower, limits[0]),
        upper=min(upper, limits[1]),
        fail_below=line,
        pass_above=line,
        alpha_fail=alpha_fail,
        alpha_pass=alpha_pass,
        images=sample.shape[0],
        draws=sample.shape[1],
        evidence={"settled_by": settlement(needed, sample.shape, draws)},
    )
