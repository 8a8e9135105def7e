"""The maps on the page: which of them it has room for, and each verdict's as rows and columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_saliency_sanity.report import album
from pytest_saliency_sanity.report.pictures import MAP, REGION, Picture, by_row, places
from pytest_saliency_sanity.report.strip import scale

WHOLE = 4_800_000  # bytes of a page
TOLD = 19_500  # bytes of a verdict without its maps, at most about
_LEAST = 600_000  # bytes for the maps, however many verdicts there are


@dataclass(frozen=True)
class Row:
    """An image and its maps.

    Attributes:
        heading: which image.
        cells: for each column its picture, None where there is none.
        scale: a map with the colors of the row; None where there is no map.
    """

    heading: str
    cells: tuple[Picture | None, ...]
    scale: Picture | None


@dataclass(frozen=True)
class Strip:
    """The maps of a verdict: rows are images, columns what was explained.

    Attributes:
        places: the columns' headings.
        rows: the rows.
        left_out: how many images there was no room for.
    """

    places: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: int

    @property
    def outlined(self) -> bool:
        """Whether a picture shows a region."""
        return any(one.kind == REGION for one in self._pictures())

    @property
    def signed(self) -> bool:
        """Whether the colors of its maps diverge around zero."""
        return any(one.kind == MAP and one.signed for one in self._pictures())

    def _pictures(self) -> Iterator[Picture]:
        return (cell for row in self.rows for cell in row.cells if cell)


def chosen(albums: Sequence[tuple[Picture, ...]], room: int | None = None) -> list[tuple[Picture, ...]]:
    """Of each verdict's pictures those of as many images as fit, if all have an equal share of the room.

    What a small album leaves of its share goes to the larger ones. By default there is room for what the rest of the
    page leaves of 5 MB, with a third for base64.
    """
    if room is None:
        room = max(_LEAST, (WHOLE - TOLD * len(albums)) * 3 // 4)
    sizes = [sum(len(one.png) for one in pictures) for pictures in albums]
    found: dict[int, tuple[Picture, ...]] = {}
    for done, index in enumerate(sorted(range(len(albums)), key=sizes.__getitem__)):
        share = room // (len(albums) - done)
        found[index] = album.within(albums[index], share) if albums[index] else ()
        room -= sum(len(one.png) for one in found[index])
    return [found[index] for index in range(len(albums))]


def strip_of(pictures: Sequence[Picture], all_of_them: Sequence[Picture]) -> Strip:
    """The pictures as rows and columns."""
    columns = places(pictures)
    rows = tuple(
        Row(heading, tuple(row.get(place) for place in columns), scale(row))
        for heading, row in by_row(pictures).items()
    )
    return Strip(columns, rows, len({one.row for one in all_of_them}) - len(rows))
