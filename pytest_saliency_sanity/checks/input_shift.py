"""Does a shift of the inputs that the network takes back leave the map as it is?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import OfAxioms, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.axioms.baselines import read_baseline
from pytest_saliency_sanity.axioms.changed import other_function, shifted, unbound
from pytest_saliency_sanity.axioms.deviations import TOLERANCE, again, distances, largest, repetition
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import image_caveats
from pytest_saliency_sanity.examination.first_maps import FIRST, Examination
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, verdict_by
from pytest_saliency_sanity.verdict import Claim, Verdict

CLAIM = Claim(
    fails="changes with a shift of the inputs that the network takes back",
    measures="is",
    columns=("compared", "shifted by", "distance"),
    code="shifts",
    passed="shift_invariant",
)


@takes(OfAxioms)
def check_input_shift(
    explainer: Callable[..., Any], model: torch.nn.Module, inputs: Any = None, targets: Any = None,
    *, shift: Any = None, tolerance: float = TOLERANCE, **conditions: Unpack[OfAxioms],
) -> Verdict:  # fmt: skip
    """Whether the map stays as it is when a constant is added to the inputs and the network takes it back.

    f(x) and g(x + m) = f(x + m - m) are the same function of the image. A gradient is the same for both; what is
    multiplied by the input, or measured from a baseline that does not move with it, is not. The statistic is the
    distance of the two maps, relative to the longer one. At most 8 images are used, and the worst counts.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S). It is called
            with both networks, so it must not be bound to a model.
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        shift: m: a number, a tensor that broadcasts to one image, or a tuple of these; None means the power of two
            that is next to the range of the inputs.
        tolerance: the distance that is allowed, from 0 to 1.
        **conditions: see `OfAxioms`.

    Returns:
        The verdict, with one stage.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Kindermans et al., The (Un)reliability of Saliency Methods, 2019, section 2 (input invariance).
    """
    check_demands(tolerance=tolerance)
    began = time.monotonic()
    audited = subject(unbound(explainer, "input shift"), model, inputs, targets, limit=FIRST, **conditions)
    shifts = tuple(map(_range, audited.inputs)) if shift is None else read_baseline(shift, audited, "shift")

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        still, moved = shifted(kept, shifts)
        if differing := other_function(still, moved, first.index, "the network that takes the shift back"):
            return Measured(findings=differing)
        before, after = again(still, meter, first), again(moved, meter, first)
        observation.some_maps(kept, first.index, "shifted", after)
        sentence = "the largest distance between the maps with and without the shift"
        values, noise = distances(before, after), repetition(kept, meter, first)
        return Measured((largest("maps", _detail(shifts), sentence, values, tolerance, error=noise),))

    return verdict_by(
        "input_shift",
        CLAIM,
        audited,
        began,
        measure,
        caveats=image_caveats(audited),
        load=Load(2 * audited.images, 3 * audited.images),
    )


assert_input_shift_invariant = asserting(check_input_shift, "assert_input_shift_invariant")


def _range(part: Tensor) -> Tensor:
    extent = float(part.max() - part.min()) or 1.0
    return torch.full_like(part[:1], 2.0 ** round(math.log2(extent)))


def _detail(shifts: tuple[Tensor, ...]) -> str:
    ends = [(float(one.min()), float(one.max())) for one in shifts]
    return ", ".join(f"{low:g}" if low == high else f"{low:g} … {high:g}" for low, high in ends)
