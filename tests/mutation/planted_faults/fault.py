"""What a planted fault is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Explainer = Callable[..., Any]


@dataclass(frozen=True)
class Fault:
    """A faulty explainer.

    Attributes:
        name: in tables.
        wrong: what is wrong, in one line.
        base: the right explainer that it is made from, by its name in `right.RIGHT`; it claims that one's axioms.
        make: gives a fresh explainer, for some keep a state.
        scene: what it is tried on: "images", or "pairs" of images for a network with two inputs.
    """

    name: str
    wrong: str
    base: str
    make: Callable[[], Explainer]
    scene: str = "images"


def stateless(wrong: str, base: str, explainer: Explainer, scene: str = "images") -> Fault:
    """A fault that keeps no state, by its function's name."""
    return Fault(explainer.__name__, wrong, base, lambda: explainer, scene)
