"""The pictures of a verdict side by side, a row an image: as a table of HTML, and as one PNG file."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from pytest_saliency_sanity.report import colors
from pytest_saliency_sanity.report.pictures import MAP, Picture, by_row, places

if TYPE_CHECKING:
    from PIL.Image import Image

    from pytest_saliency_sanity.verdict import Verdict

_ENLARGED = 128  # pixels of the longer side, about
_LABEL, _GAP, _LINE, _SIZE = (
    118,
    8,
    15,
    12,
)  # pixels: row labels, between pictures, a line of text, its letters
_LEAST = 3 * _LINE  # height of a row: its heading and its color bar
_INK, _PAPER = (32, 32, 32), (255, 255, 255)
_ASCII = str.maketrans(
    {"−": "-", "–": "-", "—": "-", "…": "...", "×": "x", "≤": "<=", "≥": ">=", "ρ": "rho", "±": "+-"}
)  # the letters of Pillow's own font


def html(pictures: Sequence[Picture]) -> str:
    """Images × places as a table, the pictures as data URIs, enlarged without smoothing; "" for none."""
    if not pictures:
        return ""
    columns = places(pictures)
    head = "".join(f"<th scope='col'>{escape(place)}</th>" for place in columns)
    body = "".join(_row_of_html(heading, row, columns) for heading, row in by_row(pictures).items())
    return (
        "<div style='overflow-x:auto'><table class='saliency-strip'>"
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def png(verdict: Verdict) -> bytes:
    """The same as one file, below the verdict's first line."""
    rows, columns = by_row(verdict.pictures), places(verdict.pictures)
    scaled = {one: _enlarged(one) for one in verdict.pictures}
    width = max(_ENLARGED, *(one.width for one in scaled.values()))
    whole = _LABEL + len(columns) * (width + _GAP) + _GAP
    told = textwrap.wrap(f"{verdict.outcome}: {verdict.summary}", max(20, (whole - 2 * _GAP) // 6))
    top = _GAP + (len(told) + 1) * _LINE + _GAP
    captions = {one: textwrap.wrap(one.caption, width // 6) for one in verdict.pictures}
    heights = [
        max(_LEAST, *(scaled[one].height + _LINE * max(1, len(captions[one])) for one in row.values())) + _GAP
        for row in rows.values()
    ]
    sheet = _Sheet(whole, top + sum(heights) + _GAP)
    for number, line in enumerate(told):
        sheet.write(_GAP, _GAP + number * _LINE, line)
    for number, place in enumerate(columns):
        sheet.write(_left(number, width), top - _LINE - 2, place)
    for height, (heading, row) in zip(heights, rows.items(), strict=True):
        sheet.write(_GAP, top, heading)
        sheet.bar(_GAP, top + _LINE + 4, _LABEL - 3 * _GAP, scale(row))
        for place, one in row.items():
            left = _left(columns.index(place), width)
            sheet.paste(scaled[one], left, top)
            for number, line in enumerate(captions[one]):
                sheet.write(left, top + scaled[one].height + 1 + number * _LINE, line)
        top += height
    return sheet.file()


def _left(column: int, width: int) -> int:
    return _LABEL + column * (width + _GAP)


def _row_of_html(heading: str, row: Mapping[str, Picture], columns: Sequence[str]) -> str:
    cells = "".join(f"<td>{_figure(row[place]) if place in row else ''}</td>" for place in columns)
    return f"<tr><th scope='row'>{escape(heading)}{_bar(scale(row))}</th>{cells}</tr>"


def _figure(one: Picture) -> str:
    width, height = one.shown_size
    caption = f"<figcaption><small>{escape(one.caption)}</small></figcaption>" if one.caption else ""
    return (
        f"<figure style='margin:0'><img src='{one.uri}' alt='{escape(one.alternative, quote=True)}' "
        f"width='{width}' height='{height}' style='image-rendering:pixelated;max-width:none'>{caption}</figure>"
    )


def _bar(one: Picture | None) -> str:
    if one is None:
        return ""
    return (
        f"<br><span style='display:inline-block;width:6em;height:.6em;background:{colors.css_gradient(one.signed)}'>"
        f"</span><br><small>{one.low:.2g} … {one.high:.2g}</small>"
    )


def scale(row: Mapping[str, Picture]) -> Picture | None:
    """A map with the scale of its row."""
    maps = [one for one in row.values() if one.kind == MAP]
    return next((one for one in maps if not one.own_scale), maps[0] if maps else None)


def _enlarged(one: Picture) -> Image:
    from PIL import Image

    small = Image.open(io.BytesIO(one.png)).convert("RGB")
    return small.resize(one.shown_size, Image.Resampling.NEAREST)


class _Sheet:
    """White paper that is written and pasted on."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("RGB", (width, height), _PAPER)
        self._pen = ImageDraw.Draw(self._image)
        self._font = _font()

    def write(self, left: int, top: int, text: str) -> None:
        plain = text.translate(_ASCII).encode("ascii", "replace").decode("ascii")
        self._pen.text((left, top), plain, fill=_INK, font=self._font)

    def paste(self, image: Image, left: int, top: int) -> None:
        self._image.paste(image, (left, top))

    def bar(self, left: int, top: int, width: int, one: Picture | None) -> None:
        if one is None:
            return
        table = colors.palette(one.signed)[:-1]
        for column in range(width):
            color = tuple(table[column * len(table) // width].tolist())
            self._pen.line([(left + column, top), (left + column, top + 7)], fill=color)
        self.write(left, top + 9, f"{one.low:.1g}")
        self.write(left + width - 7 * len(f"{one.high:.1g}"), top + 9, f"{one.high:.1g}")

    def file(self) -> bytes:
        stream = io.BytesIO()
        self._image.save(stream, "PNG", optimize=True)
        return stream.getvalue()


def _font() -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(_SIZE)
    except (TypeError, ImportError, OSError):  # Pillow before 10.1, or without FreeType
        return ImageFont.load_default()
