"""Outputs that a sigmoid or a softmax has driven to 0 and 1: they move with nothing, and so do their explanations."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pytest_saliency_sanity.checks.subject import Subject
from pytest_saliency_sanity.predictions import in_unit_range
from pytest_saliency_sanity.verdict import Finding

SATURATED = 1e-6  # distance from 0 or 1 at which a probability has all but no derivative
_BY_THEM = (
    "constant",
    "contract.finite",
    "gate.constant_copies",
    "gate.constant_maps",
    "gate.controls",
    "gate.images",
    "gate.randomization",
    "input_independent",
)


def hint_of_saturation(subject: Subject, findings: Sequence[Finding]) -> str:
    """Which outputs to explain instead, where saturated ones are why nothing can be seen; else ""."""
    if not any(finding.reason in _BY_THEM for finding in findings):
        return ""
    count = _saturated(subject)
    if 2 * count < subject.images:
        return ""
    return (
        f"the model returns probabilities, which are 0 or 1 but for {SATURATED:g} on {count} of {subject.images} "
        f"images, where they have no derivative left: explain the logits, with forward= that returns what goes into "
        f"the sigmoid or softmax, such as forward=lambda model, inputs: model[:-1](inputs)"
    )


def _saturated(subject: Subject) -> int:
    """How many images have outputs that all are at 0 or 1; none where they may be logits that are 0."""
    outputs = subject.scores
    if not in_unit_range(outputs) or float(outputs.max()) < 0.5:
        return 0
    return int((torch.minimum(outputs, 1 - outputs) <= SATURATED).all(1).sum())
