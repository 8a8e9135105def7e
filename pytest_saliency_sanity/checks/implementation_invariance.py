"""Do two networks of the same function get the same map?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.arguments import check_model
from pytest_saliency_sanity.audited.conditions import OfAxioms, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.axioms.changed import OTHER, other_function, unbound
from pytest_saliency_sanity.axioms.deviations import TOLERANCE, again, distances, largest, repetition
from pytest_saliency_sanity.axioms.rewriting import rewritten as written_anew
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import image_caveats
from pytest_saliency_sanity.examination.first_maps import FIRST, Examination
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, verdict_by
from pytest_saliency_sanity.perturbations import evaluating, preserved
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CLAIM = Claim(
    fails="depends on how the network is written",
    measures="is",
    columns=("compared", "written", "distance"),
    code="implementation",
    passed="invariant",
)


@takes(OfAxioms)
def check_implementation_invariance(
    explainer: Callable[..., Any], model: nn.Module, inputs: Any = None, targets: Any = None,
    *, rewritten: nn.Module | None = None, tolerance: float = TOLERANCE, **conditions: Unpack[OfAxioms],
) -> Verdict:  # fmt: skip
    """Whether two networks that compute the same function get the same map.

    The second network is `rewritten`, or a copy of the model in which each `nn.ReLU` is a choice between x and 0, and
    each linear layer and convolution has twice its weights and half its output: the same numbers to the last bit. The
    statistic is the distance of the two maps, relative to the longer one. At most 8 images are used, and the worst
    counts. An explainer that draws random numbers draws them from the same stream, and what its own noise does to a
    replay is allowed for.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S). It is called
            with both networks, so it must not be bound to a model.
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        rewritten: another network of the same function; None means that one is made.
        tolerance: the distance that is allowed, from 0 to 1.
        **conditions: see `OfAxioms`.

    Returns:
        The verdict, with one stage. It is inconclusive where the networks compute different logits, and where the model
        has no layer that could be written in another way.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Sundararajan, Taly and Yan, ICML 2017, section 2.2.
    """
    check_demands(tolerance=tolerance)
    if rewritten is not None:
        check_model(rewritten)
    began = time.monotonic()
    called = unbound(explainer, "implementation invariance")
    audited = subject(called, model, inputs, targets, limit=FIRST, **conditions)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        other, how = _other(kept, rewritten)
        with preserved(other), evaluating(other):
            asked = replace(kept, model=other)
            if differing := other_function(kept, asked, first.index, how):
                return Measured(findings=differing)
            maps = again(asked, meter, first)
        observation.some_maps(kept, first.index, "written anew", maps)
        sentence = "the largest distance between the maps of two networks of the same function"
        noise = repetition(kept, meter, first)
        return Measured(
            (largest("maps", how, sentence, distances(first.maps, maps), tolerance, error=noise),)
        )

    return verdict_by(
        "implementation_invariance",
        CLAIM,
        audited,
        began,
        measure,
        caveats=image_caveats(audited),
        load=Load(2 * audited.images, 3 * audited.images),
    )


assert_implementation_invariant = asserting(
    check_implementation_invariance, "assert_implementation_invariant"
)


def _other(kept: Subject, given: nn.Module | None) -> tuple[nn.Module, str]:
    """The second network, and what a message calls it.

    Raises:
        Stopped: where none can be made.
    """
    if given is not None:
        return given, "the network of rewritten="
    try:
        made, layers = written_anew(kept.model)
    except Exception as error:
        if is_interruption(error):
            raise
        raise Stopped(_unwritten(f"{kept.model_name} cannot be copied ({type(error).__name__})")) from error
    if not layers:
        raise Stopped(_unwritten(f"{kept.model_name} has no layer that could be written in another way"))
    return made, f"a copy with {layers} modules replaced"


def _unwritten(why: str) -> Finding:
    return Finding(OTHER, "inconclusive", f"{why}; pass rewritten=, another network of the same function")
