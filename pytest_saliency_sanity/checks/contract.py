"""The contract of an explainer: what has to hold before its maps can be judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.audited import model_batches
from pytest_saliency_sanity.audited.conditions import OfContract, takes
from pytest_saliency_sanity.audited.subject import held, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.first_maps import (
    FIRST,
    constant_findings,
    described,
    examine,
    notes_of,
    same_for_every_image,
)
from pytest_saliency_sanity.examination.image_dependence import (
    duplicate_findings,
)
from pytest_saliency_sanity.examination.leaks import check_leaks, watched
from pytest_saliency_sanity.examination.liveness import alike_findings, hint_of_gate
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.examination.planning import plan_instead
from pytest_saliency_sanity.examination.saturation import hint_of_saturation
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict

CLAIM = Claim("breaks its contract", "", ("stage", "detail", "statistic"), "contract")


@takes(OfContract)
def check_contract(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    **conditions: Unpack[OfContract],
) -> Verdict:
    """Whether an explainer keeps its contract: finite maps of the right shape, each image's own, and no changes.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network; it is restored afterwards.
        inputs: (N, C, *S) or a tuple of such tensors; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's prediction.
        **conditions: see `OfContract`.

    Returns:
        The verdict. It is an error if the contract is broken, or the explainer leaves hooks outside the model, or more
        memory with every call; and a fail for constant maps and for maps that are the same for every image. It is
        inconclusive if all images are the same, if the images or the model make any map constant, and if the explainer
        raises `NotApplicable`. Otherwise it is a pass.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    audited = subject(explainer, model, inputs, targets, limit=FIRST, **conditions)
    began, meter = time.monotonic(), Meter()
    plan_instead("contract", audited, began)
    caveats = model_batches.caveat(audited.batch_effect)
    findings = _kept(caveats)
    exception: BaseException | None = None
    evidence: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    try:
        with held(audited) as kept, watched(kept) as watch:
            examination = examine(watch.subject, meter)
            of_model = check_leaks(watch, examination)
        findings = (
            duplicate_findings(audited)
            or alike_findings(audited)
            or constant_findings(examination)
            or same_for_every_image(examination)
            or findings
        )
        evidence, notes = described(examination), (*notes_of(examination), *of_model)
    except Stopped as stopped:
        findings, exception, evidence = (stopped.finding,), stopped.cause, dict(stopped.evidence)
    return concluded(
        Verdict(
            check="contract",
            explainer=audited.name,
            model=audited.model_name,
            claim=CLAIM,
            seed=audited.seed,
            findings=findings,
            hint=hint_of_gate(audited.model, findings) or hint_of_saturation(audited, findings),
            notes=(*audited.notes, *notes),
            caveats=caveats,
            evidence={**evidence, "cost": meter.evidence(time.monotonic() - began)},
            exception=exception,
        )
    )


assert_contract = asserting(check_contract, "assert_contract")


def _kept(caveats: tuple[str, ...]) -> tuple[Finding, ...]:
    beside = f" [{'; '.join(caveats)}]" if caveats else ""
    return (Finding("contract", "pass", f"keeps its contract{beside}"),)
