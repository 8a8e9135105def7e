"""What is collected while a check runs: thumbnails as small arrays, which become pictures when it has ended."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_saliency_sanity.report import drawing
from pytest_saliency_sanity.report.pictures import INPUT, MAP, ORIGINAL, OWN_SCALE, REGION, Picture

if TYPE_CHECKING:
    import numpy as np

IMAGES = 4
MOST = 64 * 1024  # bytes of all PNG files of a verdict
_COMPARABLE = 2.0  # times as strong, or as weak, as the original: such maps have the scale of their row
_Row = tuple[int, int]  # the image, and which of the model's inputs
_Limits = dict[str, float]  # by place


@dataclass(frozen=True)
class _Thumbnail:
    """Small numbers: (H, W) float32 of a map, (H, W, 3) uint8 of what is shown as it is."""

    kind: str
    values: np.ndarray
    caption: str = ""
    low: float = 0.0
    high: float = 0.0


@dataclass
class Album:
    """The thumbnails of a check. Mutable: they come one by one, and one that comes again takes the other's place."""

    rows: dict[_Row, dict[str, _Thumbnail]] = field(default_factory=dict)

    def add_input(self, image: int, part: int, values: np.ndarray) -> None:
        """An image (C, *S), or (L,)."""
        if values.size:
            pixels, low, high = drawing.photograph(values)
            self._add(image, part, INPUT, _Thumbnail(INPUT, pixels, "", low, high))

    def add_map(self, image: int, part: int, place: str, values: np.ndarray, caption: str = "") -> None:
        """A map (*S), its channels summed."""
        if values.size:
            self._add(image, part, place, _Thumbnail(MAP, drawing.flat(values), caption))

    def add_regions(self, image: int, place: str, masks: Sequence[np.ndarray], caption: str = "") -> None:
        """Regions (H, W) bool of an image that is there already; nothing where it is not, or is no image."""
        shown = self.rows.get((image, 0), {}).get(INPUT)
        if shown is not None and all(mask.ndim == 2 for mask in masks):
            pixels = drawing.outlined(shown.values, masks)
            self._add(image, 0, place, _Thumbnail(REGION, pixels, caption))

    def _add(self, image: int, part: int, place: str, thumbnail: _Thumbnail) -> None:
        if any(image == known for known, _ in self.rows) or len({known for known, _ in self.rows}) < IMAGES:
            self.rows.setdefault((image, part), {})[place] = thumbnail

    def pictures(self) -> tuple[Picture, ...]:
        """The pictures, row by row: as many images as fit in 64 KiB; of one that does not fit, fewer places."""
        signed = any(_is_negative(one) for row in self.rows.values() for one in row.values())
        images = list(dict.fromkeys(image for image, _ in self.rows))
        rows = sorted(self.rows, key=lambda row: (images.index(row[0]), row[1]))
        limits = {row: _limits(self.rows[row]) for row in rows}
        apart = _apart(limits.values())
        drawn = [
            _drawn(row, place, one, limits[row], apart, signed)
            for row in rows
            for place, one in self.rows[row].items()
        ]
        return within(drawn)


def _drawn(
    row: _Row, place: str, one: _Thumbnail, limits: _Limits, apart: frozenset[str], signed: bool
) -> Picture:
    if one.kind != MAP:
        png = drawing.of_photograph(one.values)
        return Picture(row[0], place, one.caption, png, one.low, one.high, False, one.kind, row[1])
    own = place in apart
    high = (
        limits[place] if own else max((limits[other] for other in limits if other not in apart), default=0.0)
    )
    low, high = (-(high or 1.0) if signed else 0.0), high or 1.0
    caption = "; ".join(filter(None, (one.caption, f"{OWN_SCALE}, to {high:.1g}" if own else "")))
    png = drawing.heat(one.values, low, high, signed)
    return Picture(row[0], place, caption, png, low, high, signed, MAP, row[1])


def _limits(thumbnails: Mapping[str, _Thumbnail]) -> _Limits:
    """Where the colors of each map would end by itself; the original, or what comes first, is the first."""
    return {place: drawing.limit(one.values) for place, one in thumbnails.items() if one.kind == MAP}


def _apart(rows: Iterable[_Limits]) -> frozenset[str]:
    """The places whose maps are far stronger or weaker than the original ones: they have a scale of their own."""
    ratios: dict[str, list[float]] = {}
    for limits in rows:
        known = limits.get(ORIGINAL) or next(iter(limits.values()), 0.0)
        for place, value in limits.items():
            if value and known:
                ratios.setdefault(place, []).append(value / known)
    middle = {place: statistics.median(found) for place, found in ratios.items() if place != ORIGINAL}
    return frozenset(p for p, ratio in middle.items() if not 1 / _COMPARABLE <= ratio <= _COMPARABLE)


def within(drawn: Sequence[Picture], most: int = MOST) -> tuple[Picture, ...]:
    """Those of as many images as have no more than `most` bytes; of a single image places spread over the cascade."""
    images = list(dict.fromkeys(one.image for one in drawn))
    for count in range(len(images), 0, -1):
        kept = tuple(one for one in drawn if one.image in images[:count])
        if _bytes(kept) <= most:
            return kept
    return _thinned([one for one in drawn if one.image in images[:1]], most)


def _thinned(drawn: Sequence[Picture], most: int) -> tuple[Picture, ...]:
    first = tuple(one for one in drawn if one.place in (INPUT, ORIGINAL))
    others = [one for one in drawn if one not in first]
    for count in range(len(others) - 1, 0, -1):
        chosen = {round(step * (len(others) - 1) / max(count - 1, 1)) for step in range(count)}
        kept = (*first, *(one for number, one in enumerate(others) if number in chosen))
        if _bytes(kept) <= most:
            return kept
    return first if _bytes(first) <= most else ()


def _is_negative(one: _Thumbnail) -> bool:
    return one.kind == MAP and bool((one.values < 0).any())


def _bytes(pictures: Iterable[Picture]) -> int:
    return sum(len(one.png) for one in pictures)
