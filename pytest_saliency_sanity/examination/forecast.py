"""What the first maps foretell: whether a check can be done within its budget."""

from __future__ import annotations

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.meter import Meter


def foretell(audited: Subject, meter: Meter, needed: int) -> None:
    """Say so where a check will run out of its budget, and how it is made cheaper.

    Args:
        audited: what is audited.
        meter: of the first maps.
        needed: how many maps the check takes at least to pass.
    """
    tell = settings.current().tell
    if tell is None or not meter.images:
        return
    each, budget = meter.seconds / meter.images, audited.amounts.max_seconds
    if each * needed > budget:
        tell(
            f"{audited.name} takes {each:.2g} s a map; {needed} maps take about {each * needed:.0f} s, and the budget "
            f"is {budget:g} s. Cheaper: fewer steps or samples of the explainer, smaller images, a profile with less; "
            f"or raise max_seconds"
        )
