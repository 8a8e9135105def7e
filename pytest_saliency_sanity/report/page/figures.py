"""The plots of a verdict as SVG inside the page: drawn by matplotlib, with the page's colors, and small."""

from __future__ import annotations

import contextlib
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from pytest_saliency_sanity.report import numbers, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pytest_saliency_sanity.verdict import Stage, Verdict

_WIDTH = 4.0  # inches; the page shows them at 96 pixels an inch, or as wide as there is room for
_CURVES, _POINTS = 4, 32  # faint curves, and points of a curve
_FIRST, _SECOND = "#1f77b4", "#ff7f0e"  # matplotlib's own
_VARIABLES = {
    plot.COLORS["pass"]: "var(--good)",
    plot.COLORS["fail"]: "var(--bad)",
    plot.COLORS["inconclusive"]: "var(--open)",
    plot.SHOWN: "var(--muted)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
    "#000000": "currentColor",
}
_LETTERS = 9.0
_NEEDLESS = "|".join(
    (
        rf"font-size: {_LETTERS:g}px;? ?",
        r'font-family: [^;"]*;? ?',
        r'transform="rotate\(-0 [^)]*\)"',
        r"stroke-dashoffset: 0; ?",
    )
)
_STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pytest-saliency-sanity",
    "font.family": "sans-serif",
    "font.size": _LETTERS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "path.simplify": True,
    "text.usetex": False,
    "mathtext.default": "regular",
}
_LONGEST = 22  # letters of a label at the left


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        title: what it shows.
        description: the same in words and numbers, for a screen reader.
        key: (tone, sign, words) of each kind of mark.
        svg: the element, in which all text is escaped.
    """

    title: str
    description: str
    key: tuple[tuple[str, str, str], ...]
    svg: str

    def __html__(self) -> str:
        return self.svg


def of(verdict: Verdict, prefix: str) -> list[Plot]:
    """The plots of a verdict; `prefix` keeps their elements apart from those of others on the page."""
    found = (
        _stages(verdict, f"{prefix}s"),
        _curves(verdict.evidence, f"{prefix}c"),
        _labels(verdict.evidence, f"{prefix}l"),
    )
    return [one for one in found if one is not None]


def _stages(verdict: Verdict, prefix: str) -> Plot | None:
    measured = [stage for stage in verdict.stages if math.isfinite(stage.statistic)]
    if not measured:
        return None
    title = f"{verdict.claim.columns[-1]}, with its interval".capitalize()

    def draw(axes: Axes) -> None:
        plot.draw_stages(axes, verdict, lambda stage: _label(stage.name))
        axes.tick_params(axis="y", length=0)

    description = "; ".join(map(_in_words, measured))
    key = tuple(_key(measured))
    return _plot(title, description, prefix, 0.65 + 0.3 * len(measured), draw, key)


def _key(measured: Sequence[Stage]) -> Iterator[tuple[str, str, str]]:
    judged = [stage for stage in measured if stage.judged]
    if any(math.isclose(*stage.lines, abs_tol=1e-9) for stage in judged):
        yield "plain", "┆", "threshold"
    if any(not math.isclose(*stage.lines, abs_tol=1e-9) for stage in judged):
        yield "good", "┆", "passes"
        yield "bad", "┆", "fails"
    if len(judged) < len(measured):
        yield "muted", "■", "shown only"


def _curves(evidence: Mapping[str, Any], prefix: str) -> Plot | None:
    import numpy as np

    stated = evidence.get("curves")
    found = (
        {name: np.asarray(rows, dtype=float) for name, rows in stated.items()}
        if isinstance(stated, Mapping)
        else {}
    )
    found = {name: scores for name, scores in found.items() if scores.ndim == 2 and scores.shape[1] > 1}
    if not found:
        return None

    def draw(axes: Axes) -> None:
        plot.draw_curves(axes, {name: _thinned(scores) for name, scores in found.items()}, _CURVES)

    ends = "; ".join(
        f"{name.replace('_', ' ')}: from {scores[:, 0].mean():.2f} over {scores[:, scores.shape[1] // 2].mean():.2f} "
        f"to {scores[:, -1].mean():.2f}"
        for name, scores in found.items()
    )
    return _plot("Insertion and deletion curves", f"mean score, {ends}", prefix, 2.6, draw)


def _thinned(scores: Any) -> Any:
    """(n, steps) at fewer points."""
    import numpy as np

    columns = np.unique(
        np.linspace(0, scores.shape[1] - 1, min(_POINTS, scores.shape[1])).round().astype(int)
    )
    return scores[:, columns]


def _labels(evidence: Mapping[str, Any], prefix: str) -> Plot | None:
    """How alike maps of networks of the same and of permuted labels are."""
    stated = evidence.get("similarities")
    tables = (
        {name: of for name, of in stated.items() if isinstance(of, Mapping)}
        if isinstance(stated, Mapping)
        else {}
    )
    if not tables:
        return None
    rows = list(dict.fromkeys(label for of in tables.values() for label in of))

    def draw(axes: Axes) -> None:
        height = 0.8 / len(tables)
        for number, (name, found) in enumerate(tables.items()):
            at = [row + (number - (len(tables) - 1) / 2) * height for row in range(len(rows))]
            axes.barh(at, [_number(found.get(label)) for label in rows], 0.9 * height, color=f"C{number}",
                      label=_label(name.replace("_", " ")))  # fmt: skip
        axes.axvline(0, color="black", linewidth=0.6)
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("similarity of the maps of two networks")
        if len(tables) > 1:
            axes.legend(frameon=False)

    words = "; ".join(
        f"{name.replace('_', ' ')}, {label}: {numbers.number(found[label])}"
        for name, found in tables.items()
        for label in found
    )
    size = 0.65 + max(0.3, 0.16 * len(tables)) * len(rows)
    return _plot("Networks of true and of permuted labels", words, prefix, size, draw)


def _plot(
    title: str, description: str, prefix: str, height: float, draw: Callable[[Axes], None],
    key: tuple[tuple[str, str, str], ...] = (),
) -> Plot:  # fmt: skip
    from matplotlib.figure import Figure

    with _styled():
        drawn = Figure(figsize=(_WIDTH, height))
        axes = drawn.subplots()
        draw(axes)
        _lay_out(drawn, axes, height)
        svg = _written(drawn)
    return Plot(title, description, key, _inline(svg, prefix, title, description))


@contextlib.contextmanager
def _styled() -> Iterator[None]:
    """matplotlib as it comes, whatever the user has set, but for its backend, which nobody restores."""
    import matplotlib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that a font does not have: the browser's has them
        own = {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
        style: dict[Any, Any] = {**own, **_STYLE}
        with matplotlib.rc_context(style):
            yield


def _lay_out(drawn: Figure, axes: Axes, height: float) -> None:
    """Room for the labels at the left and below: measuring them would take longer than drawing."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    labels = axes.yaxis.get_major_formatter().format_ticks(axes.yaxis.get_majorticklocs().tolist())
    longest = max(map(len, labels), default=0)
    left = 0.15 + 0.072 * longest + (0.25 if axes.get_ylabel() else 0)
    drawn.subplots_adjust(
        left=left / _WIDTH, right=1 - 0.12 / _WIDTH, bottom=0.45 / height, top=1 - 0.08 / height
    )


def _written(drawn: Figure) -> str:
    stream = io.StringIO()
    drawn.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _inline(svg: str, prefix: str, title: str, description: str) -> str:
    """The element alone: names of its own, the page's colors, a title, and no more decimals than can be seen."""
    inner = svg[svg.index(">", svg.index("<svg")) + 1 :]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", inner, flags=re.S)
    kept: list[bool] = []  # of each group that is open, whether it says anything of what is in it
    inner = re.sub(r"<[^>]*>", lambda tag: _tag(tag.group(), prefix, kept), inner)
    inner = re.sub(r">\s+<", "><", inner).replace("<defs></defs>", "")
    box = re.search(r'viewBox="[^"]*"', svg)
    named = f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-desc">{escape(description)}</desc>'
    return (
        f'<svg class="plot" role="img" aria-labelledby="{prefix}-title {prefix}-desc" font-size="{_LETTERS}" '
        f"{box.group() if box else ''}>{named}{inner.strip()}"
    )


def _tag(tag: str, prefix: str, kept: list[bool]) -> str:
    """A tag of the plot; what stands between tags is text, and stays."""
    if tag == "</g>":
        return tag if kept.pop() else ""
    if re.search(r'^<path[^>]*style="fill: none"', tag):
        return ""  # the ground of the figure
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag)
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}", tag)
    tag = re.sub(_NEEDLESS, "", tag)
    tag = re.sub(r"(?<!opacity: 0)(\.\d)\d+", r"\1", tag)
    tag = re.sub(r'\bd="[^"]*"', lambda found: re.sub(r"\s*([MLCQz])\s*", r"\1", found.group()), tag)
    for color, variable in _VARIABLES.items():
        tag = tag.replace(color, variable)
    if re.match("<g\\b", tag) and not tag.endswith("/>"):
        kept.append(tag != "<g>")
    return "" if tag in ("<g>", "<g/>") else " ".join(tag.split())


def _in_words(stage: Stage) -> str:
    shown = stage.outcome if stage.judged else "shown only"
    value, interval = numbers.of_stage(stage)
    return f"{stage.name}: {value} ({interval}), {shown}"


def _label(text: str) -> str:
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return short.replace("$", r"\$")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
