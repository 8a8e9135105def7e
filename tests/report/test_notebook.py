"""A verdict in a notebook, and its figure."""

from __future__ import annotations

import builtins
import io
import re
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pytest_saliency_sanity.report.album import Album
from pytest_saliency_sanity.report.pictures import Picture
from pytest_saliency_sanity.report.strip import png
from tests.plugin.judging import made, made_stage

HOSTILE = "<script>alert('x')</script>\"&"


def pictures(caption: str = "") -> tuple[Picture, ...]:
    album = Album()
    for image in (7, 2):
        album.add_input(image, 0, np.eye(6)[None])
        for place in ("original", "upper", "all"):
            album.add_map(image, 0, place, np.eye(6) - 0.5, caption)
    return album.pictures()


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(re.sub(r"(<(?:img|br)\b[^>]*)>", r"\1/>", html))


def test_images_are_rows_and_places_columns() -> None:
    html = parsed(made("fail", pictures=pictures())._repr_html_())
    strip, table = html.iter("table")
    assert [cell.text for cell in strip.findall("thead/tr/th")] == ["input", "original", "upper", "all"]
    assert [row.find("th").text for row in strip.findall("tbody/tr")] == ["image 7", "image 2"]
    shown = list(strip.iter("img"))
    assert len(shown) == 8 and all(one.get("src").startswith("data:image/png;base64,") for one in shown)
    assert [one.get("alt") for one in shown][:2] == [
        "image 7: the input",
        "image 7: map, original, colors from -0.5 to 0.5",
    ]
    assert {(one.get("width"), one.get("height")) for one in shown} == {("126", "126")}
    assert all("pixelated" in one.get("style") for one in shown)
    assert html.find("h4").text == f"✗ fail: {made('fail').summary}"
    assert [cell.text for cell in table.findall("thead/tr/th")][-2:] == ["interval (99 % … 95 %)", "verdict"]
    assert "reason: insensitive" in "".join(html.itertext())
    assert [cell.text for cell in table.iter("td")] == [
        "fc2, fc1 (2 of 5 blocks)",
        "0.80",
        "0.70 … 0.90",
        "fail",
    ]


def test_everything_is_escaped() -> None:
    stage = made_stage(0.8, name=HOSTILE, detail=HOSTILE)
    shown = made(
        "fail", explainer=HOSTILE, hint=HOSTILE, notes=(HOSTILE,), stages=(stage,), pictures=pictures(HOSTILE)
    )
    html = shown._repr_html_()
    assert "<script" not in html
    tags = "section h4 p b small div table thead tbody tr td th figure img figcaption span br code"
    assert {one.tag for one in parsed(html).iter()} <= {*tags.split()}


def test_without_pictures_it_says_how_to_ask() -> None:
    assert "pass <code>pictures=True</code> to the check" in made("pass")._repr_html_()
    assert "pictures=True" not in made("pass", pictures=pictures())._repr_html_()
    assert "<table>" not in made("error")._repr_html_()


def test_a_strip_as_a_file() -> None:
    sheet = Image.open(io.BytesIO(png(made("fail", explainer="réseau – λ", pictures=pictures("class 3")))))
    assert sheet.size[0] > 4 * 126 and sheet.size[1] > 2 * 126
    reds = np.asarray(sheet)
    assert ((reds[..., 0] == 103) & (reds[..., 1] == 0) & (reds[..., 2] == 31)).sum() > 1000  # the diagonals


# The figure.


def test_stages_and_lines_are_drawn() -> None:
    shown = made_stage(0.4, name="head", judged=False)
    figure = made("fail", stages=(shown, made_stage(0.8)), explainer="$x_{$").plot()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["head (shown only)", "upper"]
    points = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert points == [0.4, 0.8]
    intervals = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert intervals == [pytest.approx((0.3, 0.5)), pytest.approx((0.7, 0.9))]
    assert {segment[0][0] for lines in axes.collections for segment in lines.get_segments()} == {0.3}
    drawn_without_error(figure)


def test_infinite_bounds_and_numbers_that_are_none() -> None:
    open_ended = made_stage(0.5, lower=float("-inf"), upper=float("inf"))
    figure = made("fail", stages=(open_ended, made_stage(float("nan")))).plot()
    low, high = figure.axes[0].get_xlim()
    assert np.isfinite([low, high]).all() and len(figure.axes[0].get_yticks()) == 1
    drawn_without_error(figure)


def test_nothing_measured() -> None:
    figure = made("error").plot()
    assert figure.axes[0].texts[0].get_text() == "nothing was measured"
    drawn_without_error(figure)


def test_curves_are_drawn_beside() -> None:
    curves = {"insertion": [[0, 0.5, 1], [0, 1, None]], "deletion": [[1, 0.5, 0], [1, 0, 0]]}
    figure = made("pass", evidence={"curves": curves}).plot()
    _, axes = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["insertion", "deletion"]
    means = [line for line in axes.lines if line.get_label() in curves]
    assert means[1].get_ydata().tolist() == [1, 0.25, 0] and means[1].get_xdata().tolist() == [0, 0.5, 1]
    drawn_without_error(figure)


def drawn_without_error(figure: Any) -> None:
    figure.savefig(io.BytesIO(), format="png")


def test_pyplot_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    drawn_without_error(made("fail").plot())
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **options: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    sentence = "verdict.plot needs matplotlib: pip install pytest-saliency-sanity[report]"
    with pytest.raises(ImportError, match=f"^{re.escape(sentence)}$"):
        made("fail").plot()
