"""captum: its classes, built anew for each model, and its objects, called in place on the model that they hold."""

from __future__ import annotations

from pytest_saliency_sanity.adapters.captum.adapter import PLACES, from_class, from_object

__all__ = ["PLACES", "from_class", "from_object"]
