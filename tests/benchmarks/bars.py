"""What benchmarks have in common: seconds, peers in turn, and bars that are met or missed."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any


def seconds(action: Callable[[], Any]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(
    ours: Callable[[], Any], theirs: Callable[[], Any], turns: int
) -> tuple[float, float, float, list[float]]:
    """A B A B …: the medians of our seconds and theirs, and of their ratio theirs / ours, and all ratios."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(turns)]
    ratios = [their / our for our, their in pairs]
    our, their = (median(column) for column in zip(*pairs, strict=True))
    return our, their, median(ratios), ratios


def at_most(value: float, bar: float, sign: str = "×") -> str:
    """The value, and whether it is at most the bar."""
    return f"{sign}{value:.3g} (bar: at most {sign}{bar:g}, {'met' if value <= bar else 'missed'})"


def at_least(value: float, bar: float, sign: str = "×") -> str:
    """The value, and whether it is at least the bar."""
    return f"{sign}{value:.3g} (bar: at least {sign}{bar:g}, {'met' if value >= bar else 'missed'})"


def below(value: float, bar: float) -> str:
    """The value, and whether it is below the bar."""
    return f"{value:.1e} (bar: below {bar:g}, {'met' if value < bar else 'missed'})"
