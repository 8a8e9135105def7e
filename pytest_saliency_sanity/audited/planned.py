"""What a check returns that was only planned: no verdict on the explainer, and nothing that is recorded as one."""

from __future__ import annotations

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.plan import PLANNED, Plan
from pytest_saliency_sanity.verdict import Claim, Finding, Verdict


def planned_only(plan: Plan) -> Verdict:
    """The plan, told where plans are gathered, in place of a verdict: inconclusive, and an assertion lets it pass."""
    present = settings.current()
    if present.planning is not None:
        present.planning.told(plan)
    return Verdict(
        check=plan.check,
        explainer=plan.explainer,
        model=plan.model,
        claim=Claim("was only planned", "", ("", "", "")),
        seed=present.seed,
        findings=(Finding(PLANNED, "inconclusive", "was only planned, not run"),),
    )
