"""Data and networks with a known answer: it is known where an explanation should point, and where not."""

from __future__ import annotations

from pytest_saliency_sanity.planted.images import PlantedImages, planted_images
from pytest_saliency_sanity.planted.shapes import SHAPES
from pytest_saliency_sanity.planted.signals import WAVES, PlantedSignals, planted_signals
from pytest_saliency_sanity.planted.tables import PlantedTables, planted_tables
from pytest_saliency_sanity.planted.tasks import (
    PlantedBackgrounds,
    PlantedSuppressors,
    planted_backgrounds,
    planted_edges,
    planted_suppressors,
)
from pytest_saliency_sanity.planted.truth import BEHAVIORS, FORMS, KnownTruth, known_truth

__all__ = [
    "BEHAVIORS",
    "FORMS",
    "SHAPES",
    "WAVES",
    "KnownTruth",
    "PlantedBackgrounds",
    "PlantedImages",
    "PlantedSignals",
    "PlantedSuppressors",
    "PlantedTables",
    "known_truth",
    "planted_backgrounds",
    "planted_edges",
    "planted_images",
    "planted_signals",
    "planted_suppressors",
    "planted_tables",
]
