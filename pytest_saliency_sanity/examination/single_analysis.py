"""The steps of a check that explains the unchanged model: contract, maps, measurement, verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from pytest_saliency_sanity.audited.subject import Subject, held
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.first_maps import (
    Examination,
    blind_findings,
    described,
    examine,
    notes_of,
    unless_blind,
)
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.liveness import alike_findings, hint_of_gate, model_findings
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.examination.planning import Load, plan_instead
from pytest_saliency_sanity.examination.saturation import hint_of_saturation
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

_CHUNK = 8


@dataclass(frozen=True)
class Measured:
    """What a check has found out; see `Verdict`. `first` is how the explainer behaved at first."""

    stages: tuple[Stage, ...] = ()
    findings: tuple[Finding, ...] = ()
    hint: str = ""
    notes: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    exception: BaseException | None = None
    first: Examination | None = None


Measure = Callable[[Subject, Meter, Examination], Measured]
Beside = Callable[[Subject, Meter], dict[str, Any]]


def verdict_by(
    check: str,
    claim: Claim,
    audited: Subject,
    began: float,
    measure: Measure,
    *,
    early: tuple[Finding, ...] = (),
    caveats: tuple[str, ...] = (),
    beside: Beside | None = None,
    load: Load = Load(),  # noqa: B008 - frozen
) -> Verdict:
    """The verdict of a check, recorded.

    Args:
        check: its name.
        claim: its words.
        audited: what is audited.
        began: `time.monotonic()` at which the check began.
        measure: called with the held subject once the explainer has kept its contract.
        early: findings that are known before the explainer is called; it then is not.
        caveats: for the end of the summary.
        beside: further evidence, computed with a meter of its own once the verdict stands.
        load: what the check takes beside the first maps, for a plan.

    Raises:
        Planned: where checks only plan.
    """
    meter = Meter(began + audited.amounts.max_seconds)
    early = duplicate_findings(audited) or early
    plan_instead(check, audited, began, load, settled=bool(early))
    found = Measured(findings=early) if early else _measured(audited, meter, measure, beside)
    verdict = Verdict(
        check=check,
        explainer=audited.name,
        model=audited.model_name,
        claim=claim,
        seed=audited.seed,
        stages=found.stages,
        findings=found.findings,
        hint=(
            hint_of_gate(audited.model, found.findings)
            or found.hint
            or hint_of_saturation(audited, found.findings)
        ),
        notes=(*audited.notes, *found.notes),
        caveats=caveats,
        evidence={**found.evidence, "cost": meter.evidence(time.monotonic() - began)},
        exception=found.exception,
    )
    return concluded(unless_blind(verdict, found.first))


def explained(
    kept: Subject, meter: Meter, images: int, run: tuple[int | str, ...] = ("images",), begin: int = 0
) -> list[Maps]:
    """The maps of the images from `begin` up to `images`, by chunks, on the random streams that `run` names."""
    chunks = torch.arange(begin, min(images, kept.images)).split(_CHUNK)
    return [explain(kept, meter, index, stream_of(kept.seed, *run, int(index[0]))) for index in chunks]


def _measured(audited: Subject, meter: Meter, measure: Measure, beside: Beside | None) -> Measured:
    try:
        with held(audited) as kept:
            first = examine(kept, meter)
            known = {"explainer": described(first)}
            if blind := blind_findings(first):
                further = _further(beside, first.applied(kept), meter)
                evidence = {**known, **further}
                return Measured(findings=blind, notes=notes_of(first), evidence=evidence, first=first)
            found = _unless_dead(measure(first.applied(kept), meter, first), kept, meter)
            further = _further(beside, first.applied(kept), meter)
        return replace(
            found,
            notes=(*notes_of(first), *found.notes),
            evidence={**known, **found.evidence, **further},
            first=first,
        )
    except Stopped as stopped:
        return Measured(findings=(stopped.finding,), exception=stopped.cause)
    except OutOfBudget:
        return Measured(findings=(_out_of_budget(audited, meter),))


def _further(beside: Beside | None, kept: Subject, meter: Meter) -> dict[str, Any]:
    return beside(kept, Meter(meter.deadline)) if beside else {}


def _unless_dead(found: Measured, kept: Subject, meter: Meter) -> Measured:
    """What was found; if it is no pass, but images or model can show nothing, that instead."""
    outcomes = {one.outcome for one in found.findings or [stage for stage in found.stages if stage.judged]}
    if outcomes == {"pass"}:
        return found
    dead = alike_findings(kept) or (model_findings(kept, meter.deadline) if "fail" in outcomes else ())
    return replace(found, findings=dead) if dead else found


def _out_of_budget(audited: Subject, meter: Meter) -> Finding:
    seconds = audited.amounts.max_seconds
    sentence = f"the budget of {seconds:g} s was used up after {meter.images} maps; raise max_seconds"
    return Finding("budget", "inconclusive", sentence)
