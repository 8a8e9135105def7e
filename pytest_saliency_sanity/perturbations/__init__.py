"""What is done to the model, and taken back: its weights re-initialized, block by block."""

from __future__ import annotations

from .blocks import Block, find_blocks
from .modes import evaluating
from .preservation import Snapshot, changes, preserved
from .randomization import (
    Coverage,
    Step,
    bottom_up,
    cascading,
    coverage,
    independent,
    negated_head,
    randomized,
)
from .streams import replayed

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
