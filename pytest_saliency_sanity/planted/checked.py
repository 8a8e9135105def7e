"""Options of planted data that are refused, in one sentence with the value and the choices."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from pytest_saliency_sanity.text import shown

SMALLEST_SIZE = 16  # below, a ring is a square


def check_count(count: int) -> None:
    """Refuses what is no number of images."""
    check_whole("count", count, 1)


def check_size(size: int, least: int = SMALLEST_SIZE) -> None:
    """Refuses a side that is too short for an object."""
    check_whole("size", size, least, " pixels")


def check_whole(name: str, value: Any, least: int, unit: str = "") -> None:
    """Refuses what is no whole number, or too small.

    Raises:
        ValueError: with the value and the least.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} must be {least}{unit} or more, got {shown(value)}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuses what is none of the choices.

    Raises:
        ValueError: with the value and the choices.
    """
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}; choose from {', '.join(choices)}")


def check_several(name: str, values: Sequence[str], choices: Sequence[str]) -> None:
    """Refuses what is not two or more different ones of the choices.

    Raises:
        ValueError: with the values and the choices.
    """
    if (
        isinstance(values, str)
        or len(values) < 2
        or len(set(values)) < len(values)
        or set(values) - set(choices)
    ):
        raise ValueError(
            f"{name} must be two or more different ones of {', '.join(choices)}, got {shown(values)}"
        )


def check_share(name: str, value: float, least: float, most: float) -> None:
    """Refuses what lies outside of a range.

    Raises:
        ValueError: with the value and the range.
    """
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g}, got {shown(value)}")
