"""Control explainers that have to pass on this model and these images: the second if the first cannot be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_saliency_sanity.examination.maps import CANCELLED
from pytest_saliency_sanity.examination.meter import Stopped
from pytest_saliency_sanity.explainers import gradient, occlusion
from pytest_saliency_sanity.sensitivity.gates import no_control
from pytest_saliency_sanity.verdict import Finding

HONEST = (gradient, occlusion)
Control = Callable[..., Any]


def asked(judge: Callable[[Control], tuple[Finding, ...]]) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """The findings on the plain gradient, or else on occlusion, which needs no gradient; and a note on the reason.

    Args:
        judge: returns the findings against a control; raises `Stopped` if it cannot be computed.
    """
    refused: list[str] = []
    for control in HONEST:
        try:
            found = judge(control)
        except Stopped as stopped:
            refused.append(
                f"{called(control)} cannot be computed here: {stopped.finding.sentence.rstrip('.')}"
            )
            if not (stopped.raised or stopped.finding.reason == CANCELLED):
                break
        else:
            # What follows the first semicolon is advice for authors of such explainers.
            return found, tuple(
                f"the control explainer is {called(control)}: {why.partition('; ')[0]}" for why in refused
            )
    return (no_control(", and ".join(refused)),), ()


def called(control: Control) -> str:
    """A control's name in a sentence."""
    return "the plain gradient" if control is gradient else control.__name__
