"""Plans as lines of text: a row for each check, and what all of them come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_saliency_sanity.plan import Plan, Plans

HEAD = ("check", "explainer", "model", "explanations", "controls", "networks", "seconds", "memory")
_UNKNOWN = "?"
_LEFT = 3  # columns of words; the others are numbers


def lines(plans: Plans) -> list[str]:
    """The table, the explainers that fail, and the sums."""
    rows = [HEAD, *map(_row, plans)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    problems = dict.fromkeys(
        f"{one.explainer} cannot explain two images: {one.problem}" for one in plans if one.problem
    )
    unknown = sum(one.explanations is None and not one.problem for one in plans)
    return [
        *(_aligned(row, widths) for row in rows),
        "",
        *problems,
        *([f"{unknown} checks cannot tell what they take; they are not counted"] if unknown else []),
        total(plans),
    ]


def total(plans: Plans) -> str:
    """E.g. "saliency plan: 12 checks, 3,021 explanations, 4 networks to train, about 40 s and 1.1 GiB"."""
    training = " beside their training" if plans.networks else ""
    held = "" if plans.memory is None else f", {size(plans.memory)} of memory at most"
    return (
        f"saliency plan: {_counted(len(plans), 'check')}, {_counted(plans.explanations, 'explanation')} with those of "
        f"controls, {_counted(plans.networks, 'network')} to train, about {_time(plans.seconds)} in one process"
        f"{training}{held}"
    )


def size(memory: int) -> str:
    """Bytes in words."""
    return f"{memory / 2**30:.1f} GiB" if memory >= 2**30 else f"{memory / 2**20:.0f} MiB"


def _row(one: Plan) -> tuple[str, ...]:
    if one.problem:
        return (one.check, one.explainer, one.model, "fails", "", "", "", "")
    return (
        one.check,
        one.explainer,
        one.model,
        _UNKNOWN if one.explanations is None else f"{one.explanations:,}",
        f"{one.controls:,}",
        str(one.networks),
        _UNKNOWN if one.seconds is None else f"{one.seconds:.1f}",
        _UNKNOWN if one.memory is None else size(one.memory),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        f"{cell:<{width}}" if place < _LEFT else f"{cell:>{width}}"
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(["", *cells]).rstrip()


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
