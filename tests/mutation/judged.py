"""What the kit says of an explainer: every check that its user would run, on each kind of network."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pytest_saliency_sanity import Case, audit, check_parity, settings
from pytest_saliency_sanity.suite.auditing import Result

CACHE = Path(tempfile.gettempdir()) / "pytest_saliency_sanity_networks"
CHECKS = {  # in each place the checks that are asked of every explainer
    "digits": (
        "contract", "model_sensitivity", "target_sensitivity", "data_sensitivity", "consistency",
        "insertion_deletion", "occlusion_sensitivity",
    ),
    "planted": ("contract", "occlusion_sensitivity", "localization"),
}  # fmt: skip
PARITY = "parity"
FAILED = ("fail", "error")


class Found(NamedTuple):
    """The outcome of a check, its reason, and its statistic, rounded."""

    outcome: str
    reason: str
    statistic: float | None


def judged(
    explainer: Any,
    cases: Mapping[str, Case],
    axioms: Mapping[str, Mapping[str, Any]],
    checks: Mapping[str, Sequence[str]] = CHECKS,
) -> dict[str, Found]:
    """By place and check, "digits model_sensitivity", what the kit says; an axiom is asked on the digits alone."""
    found = {}
    with settings.using(settings.Settings(progress=None, cache=CACHE)):
        for place, case in cases.items():
            claimed = axioms if place == "digits" else {}
            for one in audit(
                {"it": explainer()},
                case,
                checks[place],
                options=claimed,
                axioms={"it": list(claimed)},
                progress=False,
            ):
                found[f"{place} {one.check}"] = short(one)
    return found


def convicting(found: Mapping[str, Found], right: Mapping[str, Found]) -> list[str]:
    """The cells that fail where the right explainer does not. Parity does not count."""
    return [
        cell
        for cell, one in found.items()
        if one.outcome in FAILED and not cell.endswith(PARITY) and right[cell].outcome not in FAILED
    ]


def short(one: Result) -> Found:
    """What is stored of a result."""
    statistic = None if one.verdict is None else one.verdict.statistic
    reason = "contract" if one.verdict is None else one.verdict.reason
    return Found(one.outcome, reason, None if statistic is None else round(float(statistic), 3))


def parity(explainer: Any, right: Any, case: Case) -> Found:
    """What somebody who ports the right explainer would be told."""
    verdict = check_parity(explainer(), case.model, case.inputs, reference=right, max_seconds=600)
    return short(Result("it", PARITY, verdict))
