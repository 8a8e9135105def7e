"""What is done to the model, and taken back: its weights re-initialized, block by block."""

from __future__ import annotations

from pytest_saliency_sanity.perturbations.blocks import Block, find_blocks
from pytest_saliency_sanity.perturbations.modes import evaluating
from pytest_saliency_sanity.perturbations.preservation import Snapshot, changes, preserved
from pytest_saliency_sanity.perturbations.randomization import (
    Coverage,
    Step,
    bottom_up,
    cascading,
    coverage,
    independent,
    negated_head,
    randomized,
)
from pytest_saliency_sanity.perturbations.streams import replayed

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
