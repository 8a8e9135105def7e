"""Small pictures of the maps behind a verdict: what a page or a strip shows, and how they travel as text."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

OWN_SCALE = "own scale"
_SHOWN = 128  # pixels of the longer side, at most
INPUT, MAP, REGION = "input", "map", "region"  # kinds of pictures
ORIGINAL = "original"  # the place of the map of the model as it is


@dataclass(frozen=True)
class Picture:
    """One thumbnail, at most 64 pixels a side.

    Attributes:
        image: which of the user's images.
        part: which of the model's inputs, 0 where there is one.
        place: the column of a strip: "input", "original", the stage's name such as "upper", or "hull".
        kind: "input" for the user's image, "map" for a heat map, "region" for the image with a region outlined.
        caption: what there is to say of it; "" for nothing.
        png: the file.
        low, high: the values at the ends of a heat map's colors; the lightest and darkest value of an input.
        signed: whether the colors of a heat map diverge around zero.
    """

    image: int
    place: str
    caption: str
    png: bytes = field(repr=False)
    low: float
    high: float
    signed: bool
    kind: str = MAP
    part: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, as the file says."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) on a page or a strip: a whole multiple, so that all pixels are equally large."""
        factor = max(1, _SHOWN // max(self.size))
        return self.size[0] * factor, self.size[1] * factor

    @property
    def row(self) -> str:
        """The heading of its row."""
        return f"image {self.image}" + (f", input {self.part + 1}" if self.part else "")

    @property
    def own_scale(self) -> bool:
        """Whether the colors of this map are not those of the other maps in its row."""
        return OWN_SCALE in self.caption

    @property
    def alternative(self) -> str:
        """What stands for it where it cannot be seen."""
        what = {INPUT: "the input", MAP: f"map, {self.place}", REGION: f"the input, outlined: {self.place}"}
        said = f" ({self.caption})" if self.caption else ""
        scale = f", colors from {self.low:.2g} to {self.high:.2g}" if self.kind == MAP else ""
        return f"{self.row}: {what[self.kind]}{said}{scale}"

    @property
    def uri(self) -> str:
        """The file as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"

    def to_json(self) -> dict[str, Any]:
        """The picture as builtin types, its file as base64."""
        return {**vars(self), "png": base64.b64encode(self.png).decode("ascii")}

    @classmethod
    def from_json(cls, stated: Mapping[str, Any]) -> Picture:
        """What `to_json` gave."""
        known = {one.name: stated[one.name] for one in fields(cls)}
        return cls(**{**known, "png": base64.b64decode(stated["png"])})


def places(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """The columns of a strip, in their order: the row that has most of them says which comes first."""
    of_rows = sorted(by_row(pictures).values(), key=len, reverse=True)
    return tuple(dict.fromkeys(place for row in of_rows for place in row))


def by_row(pictures: Sequence[Picture]) -> dict[str, dict[str, Picture]]:
    """Heading of the row -> place -> picture."""
    rows: dict[str, dict[str, Picture]] = {}
    for one in pictures:
        rows.setdefault(one.row, {})[one.place] = one
    return rows
