"""Colors of heat maps, as matplotlib has them (ColorBrewer's), and those of the outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Anchors between which matplotlib interpolates: RdBu, reversed, and YlOrRd.
_DIVERGING = (
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
)  # fmt: skip
_SEQUENTIAL = (
    (255, 255, 204), (255, 237, 160), (254, 217, 118), (254, 178, 76), (253, 141, 60), (252, 78, 42),
    (227, 26, 28), (189, 0, 38), (128, 0, 38),
)  # fmt: skip
LEVELS = 65  # an odd number: zero has a color of its own
UNKNOWN = (128, 128, 128)  # of a value that is not finite
OUTLINES = ((230, 0, 126), (0, 158, 224))  # of the first region of a picture, and of the second


def palette(signed: bool) -> np.ndarray:
    """(LEVELS + 1, 3) uint8: from the lowest value to the highest, and behind them `UNKNOWN`."""
    import numpy as np

    anchors = np.array(_DIVERGING if signed else _SEQUENTIAL, dtype=float)
    at = np.linspace(0, len(anchors) - 1, LEVELS)
    levels = [np.interp(at, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.vstack([np.stack(levels, 1).round(), [UNKNOWN]]).astype(np.uint8)


def css_gradient(signed: bool) -> str:
    """The same as CSS: `linear-gradient(to right, …)`, for a color bar."""
    stops = ", ".join(f"rgb{color}" for color in (_DIVERGING if signed else _SEQUENTIAL))
    return f"linear-gradient(to right, {stops})"
