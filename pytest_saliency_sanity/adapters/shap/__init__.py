"""SHAP: its Gradient-, Deep- and PartitionExplainer, of each image's own target only."""

from __future__ import annotations

from pytest_saliency_sanity.adapters.shap.adapter import PLACES, from_class, from_object

__all__ = ["PLACES", "from_class", "from_object"]
