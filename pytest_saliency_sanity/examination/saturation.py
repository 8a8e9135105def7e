"""Saturated outputs of a sigmoid or a softmax: they no longer respond to the input, and neither do their maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.verdict import Finding

SATURATED = 1e-3  # distance of a probability from 0 or 1 at which a half-precision one has no derivative left
AT_THE_ENDS = (
    "its outputs lie at the extremes of a softmax or a sigmoid, where they no longer respond to the input: "
    "explain the logits before it, with forward="
)
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


def saturated(outputs: Tensor) -> Tensor:
    """(N,) whether outputs (N, K) are probabilities that all are at 0 or 1, or the logarithms of such.

    Nothing is found where no output is near 1: logits may be small as well.
    """
    ends = (torch.minimum(outputs.abs(), (outputs - 1).abs()) <= SATURATED).all(1)
    ends &= bool(((outputs - 1).abs() <= SATURATED).any())
    logarithms = (outputs.logsumexp(1).abs() <= SATURATED) & (outputs.amax(1).abs() <= SATURATED)
    return ends | logarithms if outputs.shape[1] > 1 else ends


def is_saturated(subject: Subject) -> bool:
    """Whether the outputs are saturated on at least half of the images."""
    return 2 * int(saturated(subject.scores).sum()) >= subject.images


def hint_of_saturation(subject: Subject, findings: Sequence[Finding]) -> str:
    """Which outputs to explain instead, where saturated ones are why nothing can be seen; else "".

    It is empty if a finding has already said it.
    """
    said = any(AT_THE_ENDS in finding.sentence for finding in findings)
    if said or not any(finding.reason in _BY_THEM for finding in findings) or not is_saturated(subject):
        return ""
    return (
        f"the model returns probabilities that are within {SATURATED:g} of 0 or 1 on "
        f"{int(saturated(subject.scores).sum())} of {subject.images} images, where they have almost no "
        f"derivative: explain the logits, with a forward= that returns the input of the sigmoid or softmax, such as "
        f"forward=lambda model, inputs: model[:-1](inputs)"
    )
