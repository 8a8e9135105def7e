"""Do the values of a map sum to the difference of the outputs?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.adapters import adapted
from pytest_saliency_sanity.adapters.quadrature import FINER, FINEST, quadrature_of
from pytest_saliency_sanity.audited.conditions import OfAxioms, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.axioms.baselines import difference, read_baseline
from pytest_saliency_sanity.axioms.deviations import TOLERANCE, again, largest
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import batch_findings, image_caveats
from pytest_saliency_sanity.examination.first_maps import FIRST, Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, verdict_by
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim(
    fails="is not complete",
    measures="is",
    columns=("deviation", "how", "relative"),
    code="incomplete",
    passed="complete",
)
QUADRATURE = 0.05  # what the steps may cost before a note tells of it
# A ReLU network has kinks, so the error of a rule falls unevenly: `python -m tests.calibration.quadrature` prints by
# how much it exceeds what this allows.
_SAFE = 2.0
_SCALED = 0.1  # deviation that is left when the sums are multiplied by one number: that number is the mistake


@dataclass(frozen=True)
class Finer:
    """The same explainer with a better quadrature, and how many times as many steps it takes at least."""

    explainer: Callable[..., Any]
    times: float
    detail: str


@dataclass(frozen=True)
class Sums:
    """What the maps sum to, and what they should: (n,) each, beside what deviations are relative to."""

    found: np.ndarray
    wanted: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """(n,) the difference of the outputs, but no less than it is on average: it may be 0 on an image."""
        sizes = np.abs(self.wanted)
        return np.asarray(np.maximum(sizes, sizes.mean()))

    @property
    def deviations(self) -> np.ndarray:
        """(n,) how far the sums are from what they should be."""
        return np.asarray(np.abs(self.found - self.wanted) / self.scale)


@takes(OfAxioms)
def check_completeness(
    explainer: Callable[..., Any], model: torch.nn.Module, inputs: Any = None, targets: Any = None,
    *, baseline: Any = None, tolerance: float = TOLERANCE, finer: Callable[..., Any] | None = None,
    quadrature_tolerance: float | None = None, **conditions: Unpack[OfAxioms],
) -> Verdict:  # fmt: skip
    """Whether the values of each map sum to the score of the image less that of the baseline.

    Deviations are relative to that difference, but to no less than its mean over the images. A method that integrates
    along a path does so in steps. What that costs is measured apart: the map is made a second time with eight times as
    many steps (at least 128), where the explainer is known to take `steps` or `n_steps`, or with `finer`. The sum of
    the finer map is held against `tolerance`, and fails only by more than its own steps may still cost; the distance
    between the two sums is shown, and held against `quadrature_tolerance` where that is given. At most 8 images are
    used, and the worst counts.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        baseline: the explainer's: None for zero, a number, a tensor that broadcasts to one image, or a tuple of these.
        tolerance: the relative deviation that is allowed, from 0 to 1.
        finer: the same explainer with at least twice as many steps; None means that it is made, if it can be.
        quadrature_tolerance: the relative deviation that the steps may cost, from 0 to 1; None means that it is shown
            and decides nothing, since a coarse quadrature is no fault of the method.
        **conditions: see `OfAxioms`.

    Returns:
        The verdict: a stage "sum", and "quadrature" where there are steps.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, ICML 2017, section 3, proposition 1.
    """
    steps = {} if quadrature_tolerance is None else {"quadrature_tolerance": quadrature_tolerance}
    check_demands(tolerance=tolerance, **steps)
    began = time.monotonic()
    better = _finer(explainer, finer)
    audited = subject(explainer, model, inputs, targets, limit=FIRST, **conditions)
    base = read_baseline(baseline, audited)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        wanted = difference(kept, first.index, base)
        if not np.abs(wanted).max() > 0:
            return Measured(findings=_no_difference(len(wanted)))
        coarse = Sums(_sums(first.maps), wanted)
        if better is None:
            stage = _sum_stage(coarse, tolerance, "as it is")
            return Measured((stage,), hint=_hint(coarse, (stage,)))
        maps = again(kept.by(better.explainer, kept.name), meter, first)
        fine = Sums(_sums(maps), wanted)
        stages = _with_steps(coarse, fine, better, tolerance, quadrature_tolerance)
        return Measured(stages, hint=_hint(fine, stages), notes=_notes(stages[1]))

    return verdict_by(
        "completeness", CLAIM, audited, began, measure,
        early=batch_findings(audited), caveats=image_caveats(audited), load=_load(audited, better),
    )  # fmt: skip


assert_complete = asserting(check_completeness, "assert_complete")


def _load(audited: Subject, better: Finer | None) -> Load:
    return Load() if better is None else Load(audited.images, slower=better.times)


def _finer(explainer: Any, given: Any) -> Finer | None:
    if given is not None:
        return Finer(adapted(given), 2.0, "with finer=")
    found = quadrature_of(adapted(explainer))
    if found is None:
        return None
    steps = max(FINER * found.steps, FINEST)
    return Finer(found.with_steps(steps), FINER, f"{steps} steps instead of {found.steps}")


def _sums(maps: Maps) -> np.ndarray:
    parts = [part.double().flatten(1).sum(1).cpu().numpy() for part in maps]
    return np.asarray(np.sum(parts, axis=0))


def _sum_stage(sums: Sums, tolerance: float, detail: str, error: np.ndarray | None = None) -> Stage:
    sentence = "the largest deviation of a map's sum from the difference of the outputs"
    return largest("sum", detail, sentence, sums.deviations, tolerance, error=error)


def _with_steps(
    coarse: Sums, fine: Sums, better: Finer, tolerance: float, quadrature_tolerance: float | None
) -> tuple[Stage, ...]:
    """A rule of first order, with r times the steps, is still wrong by 1/(r - 1) of what that has changed.

    What an image's sum changes by may be small by chance, so the largest change counts for all, twice.
    """
    change = np.abs(coarse.found - fine.found) / coarse.scale
    still = np.full_like(change, _SAFE * change.max() / (better.times - 1))
    return (
        _sum_stage(fine, tolerance, better.detail, still),
        largest(
            "quadrature", better.detail, "what the steps cost, the largest change of a map's sum",
            change, QUADRATURE if quadrature_tolerance is None else quadrature_tolerance,
            judged=quadrature_tolerance is not None,
        ),
    )  # fmt: skip


def _no_difference(images: int) -> tuple[Finding, ...]:
    sentence = f"the outputs of all {images} images are those of the baseline: there is nothing to sum to"
    return (Finding("gate.baseline", "inconclusive", sentence),)


def _hint(sums: Sums, stages: tuple[Stage, ...]) -> str:
    if stages[0].outcome == "fail":
        return _mistake(sums)
    if stages[-1].judged and stages[-1].outcome == "fail":
        right = "with more steps the sums are right: " if stages[0].outcome == "pass" else ""
        return f"{right}raise the number of steps"
    return ""


def _notes(steps: Stage) -> tuple[str, ...]:
    if steps.judged or steps.outcome == "pass":
        return ()
    return (
        f"the steps cost up to {steps.statistic:.2g} of a map's sum: raise their number for maps that sum to what they "
        f"should; with quadrature_tolerance= this decides",
    )


def _mistake(sums: Sums) -> str:
    """One number by which all sums are off, if there is one."""
    times = float(sums.found @ sums.wanted / (sums.wanted @ sums.wanted))
    scaled = Sums(sums.found, times * sums.wanted)
    if times == 0 or scaled.deviations.max() > _SCALED:
        return "if the explainer has another baseline than zero, pass it as baseline="
    if times < 0:
        return f"the sums are {times:.2g} times what they should be: the sign is wrong"
    return f"the sums are {times:.2g} times what they should be on every image"
