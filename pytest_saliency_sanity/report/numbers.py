"""Numbers as they are shown: to two decimals, and to more where these would hide on which side of a line they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_saliency_sanity.verdict import Stage, Verdict

_DIGITS = (2, 3, 4)
_ENDS = (-1.0, 1.0)  # 1.00 is only what is 1
_SAME = 1e-9


def of_verdict(verdict: Verdict) -> tuple[str, str]:
    """The statistic that decided, and its interval; both "" where nothing was measured."""
    return of_stage(verdict.deciding) if verdict.deciding else ("", "")


def of_stage(stage: Stage) -> tuple[str, str]:
    """Its statistic and its interval; of a calculation without a sample to two significant digits."""
    if stage.alpha_fail == stage.alpha_pass == 0:
        return f"{stage.statistic:.2g}", f"{stage.lower:.2g} … {stage.upper:.2g}"
    lines = stage.lines if stage.judged else ()
    return number(stage.statistic, lines), interval(stage.interval, lines)


def number(value: float | None, lines: Iterable[float] = ()) -> str:
    """A statistic or a bound; "" for None.

    Args:
        value: the number.
        lines: what it is held against: 0.9949 is not shown as 0.99 beside a threshold of 0.99, nor 0.998 as 1.00.
    """
    if value is None:
        return ""
    shown = (f"{value:.{digits}f}" for digits in _DIGITS)
    text = next((text for text in shown if _is_beside(text, value, (*lines, *_ENDS))), f"{value:.2f}")
    return text.removeprefix("-") if float(text) == 0 else text


def line(value: float, held: Iterable[float] = ()) -> str:
    """A threshold: as it is where it has three decimals at most; one that was computed to two, or more.

    Args:
        value: the threshold.
        held: the numbers that are held against it.
    """
    shown = [f"{value:.{digits}f}" for digits in _DIGITS]
    exact = next((text for text in shown[:2] if abs(float(text) - value) < _SAME), "")
    apart = (text for text in shown if all(_side(one, float(text)) == _side(one, value) for one in held))
    return exact or next(apart, shown[-1])


def interval(bounds: tuple[float, float] | None, lines: Iterable[float] = ()) -> str:
    """Both bounds; one that is not finite is left open."""
    if bounds is None:
        return ""
    lines = tuple(lines)
    return " … ".join(number(end, lines) if math.isfinite(end) else "" for end in bounds)


def _is_beside(text: str, value: float, lines: Iterable[float]) -> bool:
    """Whether the number that is shown lies on the same side of each line as the value, or is the line as it is."""
    return all(_side(float(text), line) == _side(value, line) for line in lines)


def _side(value: float, line: float) -> int:
    return 0 if abs(value - line) < _SAME else 1 if value > line else -1
