"""Do two runs of an explainer that draws random numbers give the same map?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import OfRuns, takes
from pytest_saliency_sanity.audited.options import check_demands, reached
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import image_caveats
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.forecast import foretell
from pytest_saliency_sanity.examination.liveness import alike_findings
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.metrics.reported import metric_names, reported
from pytest_saliency_sanity.metrics.request import Request
from pytest_saliency_sanity.statistics import Ranks, is_one_sided, matched_similarity, rank, top_overlap
from pytest_saliency_sanity.statistics.contrast import pseudo_values
from pytest_saliency_sanity.verdict import Claim, Stage, Verdict

CLAIM = Claim(
    fails="disagrees with itself",
    measures="is",
    columns=("agreement", "of", "value"),
    code="inconsistent",
    passed="consistent",
)
MIN_AGREEMENT = 0.5  # a convention: below it two runs have less than a quarter of their variance in common
TOP = 0.05  # share of the pixels that count as the top ones
Similarity = Callable[[Ranks, Ranks], torch.Tensor]
Run = tuple[tuple[Ranks, ...], ...]  # for each chunk of images, each input of the model


@dataclass(frozen=True)
class Runs:
    """Several runs on the same images, each on random streams of its own.

    Attributes:
        ranks: of each run.
    """

    ranks: tuple[Run, ...]

    def agreement(self, similarity: Similarity, runs: Sequence[int]) -> np.ndarray:
        """(n,) mean similarity of an image's maps over the pairs of some runs."""
        pairs = combinations(runs, 2)
        found = [self._of_pair(similarity, self.ranks[a], self.ranks[b]) for a, b in pairs]
        return np.asarray(np.mean(found, axis=0))

    def _of_pair(self, similarity: Similarity, left: Run, right: Run) -> np.ndarray:
        chunks = zip(left, right, strict=True)
        return np.concatenate([_of_chunk(similarity, a, b) for a, b in chunks])


@takes(OfRuns)
def check_consistency(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    min_agreement: float = MIN_AGREEMENT,
    metrics: Sequence[str] = (),
    **conditions: Unpack[OfRuns],
) -> Verdict:
    """Whether two runs of an explainer on the same model and images agree, each with random numbers of its own.

    The check makes as many runs as the profile has draws, and compares them pair by pair. Images and runs both count as
    random samples: the bounds are those of a two-way random-effects mean over the runs' jackknife pseudo-values. A
    deterministic explainer passes with 1.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        min_agreement: the mean rank correlation of two runs (with its sign) that is needed, from 0 to 1. With 1, only
            maps that are the same in all runs pass.
        metrics: figures that the field reports, which decide nothing: "max_sensitivity", "sparseness".
        **conditions: see `OfRuns`.

    Returns:
        The verdict. The stage "rank correlation" decides; "top 5 %", the intersection over union of the 5 % highest
        pixels, is shown.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: consistency over runs, Thakur and Fischmeister, on mask estimation and RISE.
    """
    check_demands(min_agreement=min_agreement)
    metrics = metric_names(metrics, "consistency")
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        stages = _stages(_runs(kept, meter, first), min_agreement)
        return Measured(stages, hint=_hint(stages, min_agreement))

    return verdict_by(
        "consistency", CLAIM, audited, began, measure,
        early=alike_findings(audited), caveats=image_caveats(audited),
        beside=lambda kept, meter: reported(Request(kept, meter), metrics),
        load=Load(if_random=_count(audited) * min(audited.amounts.images, audited.images)),
    )  # fmt: skip


assert_consistent = asserting(check_consistency, "assert_consistent")


def _runs(kept: Subject, meter: Meter, first: Examination) -> Runs:
    """The runs; of a deterministic explainer the first images, twice."""
    one_sided = all(is_one_sided(part) for part in first.maps)
    if first.deterministic:
        known = tuple(rank(part, one_sided=one_sided) for part in first.maps)
        for run in range(2):
            observation.some_maps(kept, first.index, f"run {run + 1}", first.maps)
        return Runs(((known,), (known,)))
    runs = range(_count(kept))
    foretell(kept, meter, len(runs) * min(kept.amounts.images, kept.images))
    return Runs(tuple(_ranked(kept, meter, run, one_sided) for run in runs))


def _count(audited: Subject) -> int:
    """How many runs an explainer gets that draws random numbers."""
    return max(audited.amounts.draws, 3)


def _ranked(kept: Subject, meter: Meter, run: int, one_sided: bool) -> Run:
    chunks = explained(kept, meter, kept.amounts.images, ("free", run))
    if run < 2:
        observation.some_maps(kept, torch.arange(len(chunks[0][0])), f"run {run + 1}", chunks[0])
    return tuple(tuple(rank(part, one_sided=one_sided) for part in maps) for maps in chunks)


def _of_chunk(similarity: Similarity, left: tuple[Ranks, ...], right: tuple[Ranks, ...]) -> np.ndarray:
    parts = [similarity(a, b).cpu().double().numpy() for a, b in zip(left, right, strict=True)]
    return np.asarray(np.mean(parts, axis=0))


def _stages(runs: Runs, min_agreement: float) -> tuple[Stage, ...]:
    deciding = _stage(runs, "rank correlation", matched_similarity, min_agreement, judged=True)
    return deciding, _stage(runs, "top 5 %", lambda a, b: top_overlap(a, b, TOP), min_agreement, judged=False)


def _stage(runs: Runs, name: str, similarity: Similarity, line: float, judged: bool) -> Stage:
    count = len(runs.ranks)
    if count < 3:  # deterministic
        values = runs.agreement(similarity, range(count))[:, None]
    else:
        values = pseudo_values(lambda chosen: runs.agreement(similarity, chosen), count)
    stage = mean_stage(
        name,
        f"two runs on the same images ({count} runs)",
        f"the {name} of two runs on the same images",
        values, line, judged=judged, draws="runs", limits=(-1.0, 1.0),
    )  # fmt: skip
    return replace(stage, draws=count, pass_above=reached(line))


def _hint(stages: tuple[Stage, ...], wanted: float) -> str:
    """Spearman and Brown: the mean of m runs agrees with another such mean by m r / (1 + (m - 1) r)."""
    if not stages or not 0.02 < stages[0].statistic < wanted < 1:
        return ""
    present = stages[0].statistic
    times = wanted * (1 - present) / (present * (1 - wanted))
    return (
        f"with about {times:.1f} times as many samples, two runs would agree by {wanted:g} (Spearman-Brown "
        f"formula, for a map that is a mean over samples)"
    )
