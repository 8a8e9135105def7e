"""Does a pixel that no weight reads get nothing?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import OfAxioms, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.axioms.changed import masks, unbound, without
from pytest_saliency_sanity.axioms.deviations import TOLERANCE, again, largest
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import image_caveats
from pytest_saliency_sanity.examination.first_maps import FIRST, Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, verdict_by
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CLAIM = Claim(
    fails="credits pixels that the model does not read",
    measures="is",
    columns=("on", "of", "share"),
    code="credits_ignored",
    passed="ignores_ignored",
)
SHARE = 0.25  # of the places that the model does not read


@takes(OfAxioms)
def check_ignored_input(
    explainer: Callable[..., Any], model: torch.nn.Module, inputs: Any = None, targets: Any = None,
    *, tolerance: float = TOLERANCE, **conditions: Unpack[OfAxioms],
) -> Verdict:  # fmt: skip
    """Whether pixels that the model does not read get nothing.

    A quarter of the places, drawn by the seed, are multiplied by 0 before the model reads them. The statistic is the
    share of a map's absolute values that lies there; a map that knows nothing of the model has a quarter. A map that is
    enlarged from a layer, or made by hiding windows of several pixels, spills over: such methods do not claim this.
    At most 8 images are used, and the worst counts.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S). It is called
            with the model behind that multiplication, so it must not be bound to a model.
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        tolerance: the share that is allowed, from 0 to 1.
        **conditions: see `OfAxioms`.

    Returns:
        The verdict, with one stage.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Sundararajan, Taly and Yan, ICML 2017, section 4, sensitivity (b); "dummy", Friedman 2004.
    """
    check_demands(tolerance=tolerance)
    began = time.monotonic()
    audited = subject(unbound(explainer, "ignored inputs"), model, inputs, targets, limit=FIRST, **conditions)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        ignored = masks(kept, SHARE)
        maps = again(without(kept, ignored), meter, first)
        observation.some_maps(kept, first.index, "a quarter ignored", maps)
        inside, total = _masses(maps, ignored)
        if not total.any():
            return Measured(findings=_nothing(len(total)))
        share = np.divide(inside, total, out=np.zeros_like(total), where=total > 0)
        sentence = f"the largest share of a map on the {SHARE:.0%} of the places that the model does not read"
        return Measured((largest("ignored places", "the absolute map", sentence, share, tolerance),))

    return verdict_by(
        "ignored_input",
        CLAIM,
        audited,
        began,
        measure,
        caveats=image_caveats(audited),
        load=Load(audited.images),
    )


assert_ignored_input = asserting(check_ignored_input, "assert_ignored_input")


def _masses(maps: Maps, ignored: tuple[Tensor, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the sum of the absolute values on the ignored places, and of all."""
    sizes = [part.double().abs() for part in maps]
    inside = [
        (size * mask.to(size.device)).flatten(1).sum(1) for size, mask in zip(sizes, ignored, strict=True)
    ]
    total = [size.flatten(1).sum(1) for size in sizes]
    return torch.stack(inside).sum(0).numpy(), torch.stack(total).sum(0).numpy()


def _nothing(images: int) -> tuple[Finding, ...]:
    sentence = f"the maps of all {images} images are 0 where the model does not read a quarter of the places"
    return (Finding("gate.zero_maps", "inconclusive", sentence),)
