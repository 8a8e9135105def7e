"""Numbers only: how similar two maps are, and what a two-way sample of such similarities shows."""

from __future__ import annotations

from pytest_saliency_sanity.statistics.contrast import Contrast, holm_levels, retained_fraction
from pytest_saliency_sanity.statistics.figures import FIGURES, figure
from pytest_saliency_sanity.statistics.similarity import (
    Ranks,
    is_constant,
    is_one_sided,
    matched_and_mismatched,
    matched_similarity,
    mismatched_similarity,
    pearson,
    rank,
    top_overlap,
    without,
)
from pytest_saliency_sanity.statistics.supports import few

__all__ = [
    "FIGURES",
    "Contrast",
    "Ranks",
    "few",
    "figure",
    "holm_levels",
    "is_constant",
    "is_one_sided",
    "matched_and_mismatched",
    "matched_similarity",
    "mismatched_similarity",
    "pearson",
    "rank",
    "retained_fraction",
    "top_overlap",
    "without",
]
