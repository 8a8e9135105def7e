"""From an audit to its verdict: the notes and the evidence that every sensitivity check has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.caveats import caveats
from pytest_saliency_sanity.examination.first_maps import Examination, described, notes_of, unless_blind
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.sensitivity.measured_lines import CONTROL, HELD
from pytest_saliency_sanity.sensitivity.survey import Survey
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

WEAK_AGREEMENT = 0.5  # free runs that agree less are worth a note


@dataclass(frozen=True)
class Account:
    """What a sensitivity check has done, and how far it got.

    Attributes:
        subject: what was audited.
        thresholds: (signed, one-sided).
        began: `time.monotonic()` at which the check began.
        meter: the explainer's calls.
        control_meter: the control explainers'.
        findings, stages: as in `Verdict`.
        first: how the explainer behaved on the first images; None where it broke its contract there.
        begun: its sample; None where nothing was compared.
        gradient_maps: the plain gradient's maps of the first images; None if they were not needed.
        control_seconds: of everything done for the controls.
        exception: what the explainer raised.
    """

    subject: Subject
    thresholds: tuple[float, float]
    began: float
    meter: Meter
    control_meter: Meter
    findings: tuple[Finding, ...]
    stages: tuple[Stage, ...] = ()
    first: Examination | None = None
    begun: Survey | None = None
    gradient_maps: Maps | None = None
    control_seconds: float = 0.0
    exception: BaseException | None = None


def verdict_of(audit: Account, check: str, claim: Claim) -> Verdict:
    """The verdict of an audit, with its notes and the evidence that every check has."""
    verdict = Verdict(
        check=check,
        explainer=audit.subject.name,
        model=audit.subject.model_name,
        claim=claim,
        seed=audit.subject.seed,
        stages=audit.stages,
        findings=audit.findings,
        notes=_notes(audit),
        caveats=caveats(audit.subject),
        evidence=_evidence(audit),
        exception=audit.exception,
    )
    return unless_blind(verdict, audit.first)


def _notes(audit: Account) -> tuple[str, ...]:
    return (*audit.subject.notes, *notes_of(audit.first), *_one_sided_note(audit), *_noise_note(audit))


def _one_sided_note(audit: Account) -> tuple[str, ...]:
    if audit.begun is None or not audit.begun.one_sided:
        return ()
    return (
        "the maps have one sign: they are compared over the union of their supports, and fail only above "
        f"{audit.thresholds[1]:g}",
        *_line_notes(audit.stages),
    )


def _line_notes(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    measured = [stage for stage in stages if CONTROL in stage.evidence]
    if not measured:
        return ()
    lines = ", ".join(
        f"{stage.pass_below:.2f} at {stage.name!r} ({stage.evidence[CONTROL]:.2f} kept)" for stage in measured
    )
    named = next((stage.evidence[HELD] for stage in measured if stage.evidence[HELD]), "")
    held = f" or with {named} held constant," if named else ""
    return (
        f"they pass, as they are{',' * bool(held)}{held} below a line that is measured, from what the control keeps "
        f"without its signs: {lines}",
    )


def _noise_note(audit: Account) -> tuple[str, ...]:
    if audit.first is None or audit.first.deterministic or float(audit.first.free.mean()) > WEAK_AGREEMENT:
        return ()
    agreement = float(audit.first.free.mean())
    return (
        f"two runs on different random streams agree by only {agreement:.2f}; raise the number of samples",
    )


def _evidence(audit: Account) -> dict[str, Any]:
    return {
        "profile": audit.subject.amounts.name,
        "images": audit.subject.images,
        "one_sided": audit.begun.one_sided if audit.begun else None,
        "explainer": described(audit.first) if audit.first else {},
        "cost": audit.meter.evidence(time.monotonic() - audit.began - audit.control_seconds),
        "control_cost": audit.control_meter.evidence(audit.control_seconds),
    }
