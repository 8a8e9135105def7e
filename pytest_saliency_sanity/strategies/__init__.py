"""Strategies for hypothesis: small networks, images with a planted signal, targets, maps.

The repr of each says what it was built of. A failure shrinks to a plain network, plain images and the first
class, as far as it is still one.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError(
        "pytest_saliency_sanity.strategies needs hypothesis: pip install 'pytest-saliency-sanity[hypothesis]'"
    ) from error

from pytest_saliency_sanity.strategies.drawing import (
    Example,
    examples,
    maps,
    networks,
    planted,
    targets,
)
from pytest_saliency_sanity.strategies.inputs import Maps, Planted
from pytest_saliency_sanity.strategies.networks import KINDS, Network, Plan

__all__ = [
    "KINDS",
    "Example",
    "Maps",
    "Network",
    "Plan",
    "Planted",
    "examples",
    "maps",
    "networks",
    "planted",
    "targets",
]
