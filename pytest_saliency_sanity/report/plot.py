"""The numbers of a verdict as a figure of matplotlib, made without pyplot: no window, no state of the process."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pytest_saliency_sanity.verdict import Stage, Verdict

COLORS = {"pass": "#2e7d32", "fail": "#c62828", "inconclusive": "#b26a00"}
SHOWN = "#808080"
_WORDS = {"most_first": "most relevant first", "least_first": "least relevant first"}
MISSING = "{what} needs matplotlib: pip install pytest-saliency-sanity[report]"


def figure(verdict: Verdict) -> Figure:
    """Each stage with its interval and its lines; beside them the curves of insertion and deletion, if any.

    Raises:
        ImportError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(MISSING.format(what="verdict.plot")) from error
    curves = _curves(verdict.evidence)
    drawn = Figure(figsize=(12 if curves else 7, 1.9 + 0.5 * len(verdict.stages)), layout="constrained")
    first, *others = drawn.subplots(1, 2 if curves else 1, squeeze=False)[0]
    draw_stages(first, verdict)
    for axes in others:
        draw_curves(axes, curves)
    drawn.suptitle("\n".join(textwrap.wrap(_literal(verdict.summary), 150 if curves else 88)), fontsize=9)
    return drawn


def draw_stages(axes: Axes, verdict: Verdict, name: Callable[[Stage], str] | None = None) -> None:
    """The stages from the top down, each a point with its interval, and the lines that it is held against.

    Args:
        axes: where.
        verdict: whose.
        name: what stands beside a stage; its name if None.
    """
    stages = [stage for stage in verdict.stages if math.isfinite(stage.statistic)]
    if not stages:
        axes.text(0.5, 0.5, "nothing was measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    low, high = _range(stages)
    axes.set_xlim(low, high)
    for height, stage in enumerate(stages):
        _draw_stage(axes, height, stage, (low, high))
    axes.set_yticks(range(len(stages)), [*map(name or _named, stages)])
    axes.set_ylim(len(stages) - 0.4, -0.6)
    axes.set_xlabel(_literal(verdict.claim.columns[-1]))


def _draw_stage(axes: Axes, height: int, stage: Stage, limits: tuple[float, float]) -> None:
    color = COLORS[stage.outcome] if stage.judged else SHOWN
    ends = [min(max(end, limits[0]), limits[1]) for end in stage.interval]
    axes.plot(ends, [height, height], color=color, linewidth=2, solid_capstyle="butt")
    at = min(max(stage.statistic, limits[0]), limits[1])
    inside = "o" if stage.judged else "s"
    marker = inside if at == stage.statistic else "<" if stage.statistic < at else ">"
    axes.plot([at], [height], marker, color=color, clip_on=False)
    if stage.judged:
        fails, passes = stage.lines
        both = math.isclose(fails, passes, abs_tol=1e-9)
        for line, color, dashes in ((fails, COLORS["fail"], ":"), (passes, COLORS["pass"], "--")):
            axes.vlines(
                line, height - 0.35, height + 0.35, color="black" if both else color, linestyle=dashes
            )


def draw_curves(axes: Axes, curves: Mapping[str, Any], most: int | None = None) -> None:
    """The mean curve of each kind over the share of pixels that are changed, and faintly those of the images.

    Args:
        axes: where.
        curves: for each kind the scores (n, steps + 1).
        most: how many images' curves are drawn; all if None.
    """
    import numpy as np

    for number, (name, rows) in enumerate(curves.items()):
        scores, color = np.asarray(rows, dtype=float), f"C{number}"
        share = np.linspace(0, 1, scores.shape[1])
        axes.plot(share, scores[:most].T, color=color, alpha=0.4 if most else 0.15, linewidth=0.7)
        axes.plot(share, scores.mean(0), color=color, linewidth=2, label=_WORDS.get(name, _literal(name)))
    axes.set_xlabel("share of the pixels that are changed")
    axes.set_ylabel("score")
    axes.legend(frameon=False)


def _curves(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    found = evidence.get("curves")
    return found if isinstance(found, Mapping) else {}


def _range(stages: Sequence[Stage]) -> tuple[float, float]:
    """Of all finite numbers that decide, with a margin; what is only shown may lie outside."""
    judged = [stage for stage in stages if stage.judged] or list(stages)
    numbers = [
        x for stage in judged for x in (stage.statistic, *stage.interval, *stage.lines) if math.isfinite(x)
    ]
    low, high = min(0.0, *numbers), max(1.0, *numbers)
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def _named(stage: Stage) -> str:
    return _literal(stage.name if stage.judged else f"{stage.name} (shown only)")


def _literal(text: str) -> str:
    """Text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")
