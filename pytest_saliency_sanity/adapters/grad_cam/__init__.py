"""pytorch-grad-cam: all classes of CAMs, whose maps are resized to the images."""

from __future__ import annotations

from pytest_saliency_sanity.adapters.grad_cam.adapter import PLACES, from_class, from_object

__all__ = ["PLACES", "from_class", "from_object"]
