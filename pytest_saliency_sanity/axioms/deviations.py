"""How far maps are from what they must be: one number an image, of which the largest counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.options import kept_to
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.verdict import Stage

TOLERANCE = (
    0.01  # relative; rounding in single precision leaves less than 1e-4 of it on the networks of the tests
)


def largest(
    name: str, detail: str, sentence: str, values: np.ndarray, tolerance: float,
    *, error: np.ndarray | None = None, judged: bool = True, draws: int = 1,
) -> Stage:  # fmt: skip
    """The stage that passes where the largest deviation is within the tolerance: one image is a counterexample.

    Nothing is inferred beyond these images, so the bounds are no confidence bounds (both levels are 0).

    Args:
        name, detail, sentence, judged: as in Stage.
        values: (n,) the deviation on each image.
        tolerance: the line.
        error: (n,) by how much each may be too large for reasons that are not the map's; None means not at all.
        draws: how many networks went into it.
    """
    error = np.zeros_like(values) if error is None else error
    bounds = {
        "lower": max(float((values - error).max()), 0.0),
        "upper": float(values.max()),
        "fail_above": tolerance,
        "pass_below": kept_to(tolerance),
        "alpha_fail": 0.0,
        "alpha_pass": 0.0,
    }
    return Stage(
        name, float(values.max()), **bounds, images=len(values), draws=draws, detail=detail, sentence=sentence,
        judged=judged, evidence={"settled_by": "what the check itself leaves open reaches down to the tolerance"},
    )  # fmt: skip


def distances(maps: Maps, others: Maps) -> np.ndarray:
    """(n,) Euclidean distance of an image's maps, relative to the longer of the two; 0 where both are 0."""
    left, right = _flat(maps), _flat(others)
    scale = np.maximum(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))
    apart = np.linalg.norm(left - right, axis=1)
    return np.asarray(np.divide(apart, scale, out=np.zeros_like(apart), where=scale > 0))


def again(subject: Subject, meter: Meter, first: Examination) -> Maps:
    """The maps of the first images by a subject with another model, on the random stream of the first ones."""
    return explain(subject, meter, first.index, stream_of(subject.seed, "images", 0))


def repetition(subject: Subject, meter: Meter, first: Examination) -> np.ndarray | None:
    """(n,) how far a replay on the same random stream is from the first maps: what an explainer's own noise does."""
    return None if first.deterministic else distances(first.maps, again(subject, meter, first))


def exchanged(kept: Subject, model: torch.nn.Module, targets: Tensor | None = None) -> Subject:
    """The subject with another network, which is called as it is, without the user's forward function."""
    return replace(kept, model=model, forward=None, targets=kept.targets if targets is None else targets)


def _flat(maps: Maps) -> np.ndarray:
    values: np.ndarray = torch.cat([part.flatten(1).double().cpu() for part in maps], 1).numpy()
    return values
