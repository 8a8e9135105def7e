"""Options that several checks take, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

from pytest_saliency_sanity.statistics import FIGURES


def check_thresholds(**thresholds: float) -> None:
    """Raise ValueError unless every threshold is a number between 0 and 1."""
    for label, value in thresholds.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < 1:
            raise ValueError(f"{label} must lie between 0 and 1, not {value!r}")


def figure_names(similarities: Sequence[str] | str) -> tuple[str, ...]:
    """The paper's figures that were asked for, one name or several.

    Raises:
        ValueError: for an unknown one, listing the choices.
    """
    names = (similarities,) if isinstance(similarities, str) else tuple(similarities)
    for name in names:
        if name not in FIGURES:
            raise ValueError(f"unknown similarity {name!r}; choose from {', '.join(FIGURES)}")
    return names
