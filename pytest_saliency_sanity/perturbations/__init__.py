"""Changes of the model, the labels or the images, all of which are undone."""

from __future__ import annotations

from pytest_saliency_sanity.perturbations.restoring.modes import evaluating
from pytest_saliency_sanity.perturbations.restoring.preservation import Snapshot, changes, preserved
from pytest_saliency_sanity.perturbations.restoring.streams import replayed
from pytest_saliency_sanity.perturbations.weights.blocks import Block, find_blocks
from pytest_saliency_sanity.perturbations.weights.coverage import Coverage, coverage
from pytest_saliency_sanity.perturbations.weights.randomization import (
    Step,
    bottom_up,
    cascading,
    independent,
    negated_head,
    randomized,
)

__all__ = [
    "Block",
    "Coverage",
    "Snapshot",
    "Step",
    "bottom_up",
    "cascading",
    "changes",
    "coverage",
    "evaluating",
    "find_blocks",
    "independent",
    "negated_head",
    "preserved",
    "randomized",
    "replayed",
]
