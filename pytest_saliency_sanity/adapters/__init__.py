"""Explainers of other libraries and in other forms, called as `(model, inputs, targets) -> map`."""

from __future__ import annotations

from pytest_saliency_sanity.adapters.adapted import Adapted, UnusableExplainer
from pytest_saliency_sanity.adapters.names import named
from pytest_saliency_sanity.adapters.recognition import adapted

__all__ = ["Adapted", "UnusableExplainer", "adapted", "named"]
