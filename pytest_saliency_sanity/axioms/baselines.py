"""The baseline of an explainer, and the difference of the outputs that it implies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.axioms.changed import logits_of
from pytest_saliency_sanity.explainers.inputs import baseline_like
from pytest_saliency_sanity.text import shown


def read_baseline(baseline: Any, audited: Subject, name: str = "baseline") -> tuple[Tensor, ...]:
    """One baseline for all images, the argument `name`: (1, C, *S) for each input.

    Raises:
        TypeError, ValueError: for what does not broadcast to one image, in one sentence.
    """
    count = len(audited.inputs)
    given = tuple(baseline) if isinstance(baseline, (tuple, list)) else (baseline,) * count
    if len(given) != count:
        raise ValueError(f"{name} has {len(given)} entries for {count} inputs of the model")
    return tuple(_read(one, part[:1], name) for one, part in zip(given, audited.inputs, strict=True))


def _read(baseline: Any, image: Tensor, name: str) -> Tensor:
    try:
        values = baseline_like(image, baseline)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(
            f"{name} must be None (zero), a number or a tensor that broadcasts to one image "
            f"{tuple(image.shape)}, not {shown(baseline)}"
        ) from None
    if not values.isfinite().all():
        raise ValueError(f"{name} holds values that are NaN or infinite")
    return values


def difference(kept: Subject, index: Tensor, baseline: tuple[Tensor, ...]) -> np.ndarray:
    """(n,) score of each image's target less that of the baseline."""
    there = replace(
        kept, inputs=tuple(one.expand_as(part) for one, part in zip(baseline, kept.inputs, strict=True))
    )
    apart = logits_of(kept, index) - logits_of(there, index)
    rows = kept.targets[index.to(kept.targets.device)].cpu()
    scores = (apart * rows).sum(1) if rows.ndim == 2 else apart.gather(1, rows[:, None]).squeeze(1)
    return np.asarray(scores)


def less_baseline(inputs: tuple[Tensor, ...], baseline: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What each value adds to the baseline."""
    return tuple(part - one for part, one in zip(inputs, baseline, strict=True))
