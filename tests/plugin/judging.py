"""Verdicts made by hand, and a check that has them: tests of the plugin need no model and no torch.

Inner test runs get a copy of this file next to their tests.
"""

from __future__ import annotations

from typing import Any

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.errors import raise_unless_passed
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim("ignores the model", "of the map survives when", ("depth", "re-initialized", "retained"))
STATISTICS = {"fail": 0.8, "inconclusive": 0.3, "pass": 0.1}


def made_stage(statistic: float, **changes: Any) -> Stage:
    """A stage whose bounds are .1 to both sides of the statistic, held against .3."""
    stated: dict[str, Any] = {
        "name": "upper",
        "detail": "fc2, fc1 (2 of 5 blocks)",
        "sentence": "the upper third is re-initialized",
        "statistic": statistic,
        "lower": statistic - 0.1,
        "upper": statistic + 0.1,
        "fail_above": 0.3,
        "pass_below": 0.3,
        "alpha_fail": 0.01,
        "alpha_pass": 0.05,
        "images": 16,
        "draws": 5,
    }
    return Stage(**{**stated, **changes})


def made(outcome: str, **changes: Any) -> Verdict:
    """A verdict with this outcome, by its numbers or, for an error, by its finding."""
    stages = (made_stage(STATISTICS[outcome]),) if outcome in STATISTICS else ()
    findings = () if stages else (Finding("contract.finite", "error", "it returned NaN for 3 of 16 images"),)
    stated: dict[str, Any] = {
        "check": "model_sensitivity",
        "explainer": "sobel",
        "model": "Net",
        "claim": CLAIM,
        "seed": settings.current().seed,
        "stages": stages,
        "findings": findings,
        "replay": _replay(settings.current()),
    }
    return Verdict(**{**stated, **changes})


def _replay(present: settings.Settings) -> str:
    command, mark, remark = present.replay.partition(settings.REMARK)
    return f"{command} --saliency-seed {present.seed}{mark}{remark}"


def check(outcome: str, **changes: Any) -> Verdict:
    """What a check does: it finds a verdict and records it."""
    verdict = made(outcome, **changes)
    record = settings.current().record
    if record is not None:
        record(verdict)
    return verdict


def judge(outcome: str, **changes: Any) -> Verdict:
    """What an assertion does: it raises unless the check passes."""
    __tracebackhide__ = True
    return raise_unless_passed(check(outcome, **changes))
