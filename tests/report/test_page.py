"""The page of --saliency-html: what it says, that it is whole, small and safe. Chromium looks at it elsewhere."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from pytest_saliency_sanity.__main__ import main
from pytest_saliency_sanity.report.comparison import Change
from pytest_saliency_sanity.report.document import Report
from pytest_saliency_sanity.report.document import written as as_json
from pytest_saliency_sanity.report.page import albums, evidence, facts, figures, palette, written
from pytest_saliency_sanity.report.page.contents import page_of
from pytest_saliency_sanity.report.words import BOUNDS, ORDER
from tests.report import pages
from tests.report.made import entry, measured, report

VOID = {"meta", "img", "input", "wbr", "br"}


class Read(HTMLParser):
    """A page as its elements: (name, attributes), in order; and whether each that was begun is ended."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._begun: list[str] = []
        self.feed(text)
        self.close()
        assert self._begun == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._begun.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._begun.pop() == tag

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def text() -> str:
    return pages.text("whole")


def test_it_is_well_formed_and_asks_for_nothing(text: str) -> None:
    read = Read(text)
    for attributes in (attributes for _, attributes in read.elements):
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,")), value
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in text


def test_each_name_of_an_element_is_its_own_and_each_link_leads_somewhere(text: str) -> None:
    read = Read(text)
    names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(names) == len(set(names))
    used = [
        str(value)[1:] for one in read.of("a", "use") for key, value in one.items() if key.endswith("href")
    ]
    described = [name for _, one in read.elements for name in str(one.get("aria-labelledby") or "").split()]
    assert used and described and {*used, *described} <= set(names)


def test_the_same_report_makes_the_same_page(text: str) -> None:
    assert written(pages.whole()) == text


def test_headings_are_in_order_and_every_picture_has_words(text: str) -> None:
    read = Read(text)
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(one["alt"] for one in read.of("img")) and read.of("img")
    assert all(one["role"] == "img" and one["aria-labelledby"] for one in read.of("svg")) and read.of("svg")
    assert all(one.get("scope") in ("col", "row") for one in read.of("th")) and read.of("th")
    assert [one["lang"] for one in read.of("html")] == ["en"]
    assert len(read.of("main")) == len(read.of("header")) == len(read.of("footer")) == 1


def test_it_says_all_that_there_is_to_say(text: str) -> None:
    shown = re.sub(r"<[^>]+>", "", text)
    for part in (
        "Verdicts were lost", "one verdict did not arrive", "test_gone.py::test_it: was pass",
        "sobel ignores the model: 0.80 of the map survives when the upper third is re-initialized",
        "an edge detector", "accuracy was not checked", "pytest test_a.py --saliency-seed 0",
        "passes below, fails above 0.30", "it returned NaN for 3 of 16 images",
        "Look for divisions by 0; fill masked arrays.", "true–permuted", "least relevant first", "shown only",
        "pytest-saliency-sanity 0.1.0", "2026-01-02 03:04:05 UTC",
    ):  # fmt: skip
        assert part in shown, part


def outcomes() -> Iterator[tuple[tuple[Any, ...], str]]:
    yield (), "No verdict was reached"
    yield (entry("pass"),), "No check failed"
    yield (entry("pass"), entry("pass", explainer="b")), "All 2 checks passed"
    yield (entry("pass"), entry("fail", "xfail", explainer="b")), "No check failed"
    yield (entry("pass"), entry("fail", explainer="b")), "1 of 2 checks failed"
    yield (entry("inconclusive"), entry("pass", explainer="b")), "1 of 2 checks is inconclusive"
    yield (
        (entry("error"), entry("fail", explainer="b"), entry("error", explainer="c")),
        "2 of 3 verdicts are errors",
    )


@pytest.mark.parametrize("entries, headline", list(outcomes()), ids=[headline for _, headline in outcomes()])
def test_the_headline(entries: tuple[Any, ...], headline: str) -> None:
    assert facts.headline(report(*entries)) == headline
    assert f"</span> {headline}</h1>" in written(report(*entries))


def test_the_overview_has_a_row_an_explainer_and_model_and_a_column_a_check() -> None:
    page = page_of(pages.whole())
    assert [(section.explainer, section.model) for section in page.sections] == [
        ("broken", "Net"), ("sobel", "Net"), ("noisy", "Net"), ("guided_backprop", "Net"), ("cam", "Net"),
        ("seen", "Net"), ("gradient", "Net"), ("gradient", "Other"),
    ]  # fmt: skip
    assert page.checks == ["model_sensitivity", "target_sensitivity"]
    assert page.several_models


@pytest.mark.parametrize(
    "name", ["occlusion(window=7, stride=3)", "guided_backprop", "", "a", "__", "x.y:Z{1}"]
)
def test_a_long_name_is_broken_where_it_has_parts(name: str) -> None:
    (section,) = page_of(report(entry("fail", explainer=name))).sections
    assert "".join(section.parts) == name and all(len(part) < 12 for part in section.parts)


def test_many_verdicts_in_one_cell_are_counted() -> None:
    tests = [entry("pass", nodeid=f"test_a.py::test_{number}") for number in range(6)]
    cell = re.findall(r"<td>.*?</td>", written(report(*tests, entry("fail", number=1))), re.S)[0]
    assert re.sub(r"\s+", " ", re.sub("<[^>]*>", "", cell)).strip() == (
        "✗ fail 0.80 ✓ pass 0.10 ✓ pass 0.10 ✓ pass 0.10 3 more"
    )


def test_many_changes_are_folded_and_counted() -> None:
    changes = tuple(
        Change("regression", ("a", "b", "c", "d", number), f"change {number}.") for number in range(300)
    )
    page = written(report(entry("pass"), changes=changes))
    first, _, rest = page.partition("<summary>288 more</summary>")
    assert first.count(" change ") == 0 and len(re.findall(r">change \d+\.<", first)) == 12
    assert (
        len(re.findall(r">change \d+\.<", rest)) == 188 and "… and 100 more; the JSON report has all" in rest
    )
    few = written(report(entry("pass"), changes=changes[:12]))
    assert len(re.findall(r">change \d+\.<", few)) == 12 and "more</summary>" not in few


def test_the_levels_of_the_bounds_are_told() -> None:
    page = written(report(entry("fail")))
    assert "interval (99 % … 95 %)</th>" in page
    assert f"Intervals have {BOUNDS}." in page


def test_passes_are_marked_to_be_folded_and_nothing_else(text: str) -> None:
    folded = [one for one in Read(text).of("details") if "data-folded" in one]
    assert {one["data-counted"] for one in folded} == {"pass"} and len(folded) == 3


@pytest.mark.parametrize("scheme", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_text_and_lines_have_contrast(scheme: dict[str, str]) -> None:
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    for pairs, least in ((palette.WRITTEN, 4.5), (palette.DRAWN, 3.0)):
        for front, ground in pairs:
            assert contrast(scheme[front], scheme[ground]) >= least, (front, ground)


def test_black_on_white_and_a_planted_gray() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#999999", "#ffffff") < 3


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_color_of_the_page_is_in_the_palette() -> None:
    assert palette.LIGHT.keys() == palette.DARK.keys() and palette.TONES.keys() == set(ORDER)
    text = pages.text("whole")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert set(re.findall(r"var\(--([\w-]+)\)", text)) - {"tone", "soft", "columns"} <= palette.LIGHT.keys()
    assert set(re.findall(r"#[0-9a-f]{3,6}\b", style)) <= {
        *palette.LIGHT.values(),
        *palette.DARK.values(),
        "#fff",
    }


def test_plots_have_the_colors_of_the_page_and_keep_their_numbers() -> None:
    verdict = measured(0.123456, "pass", 0.0625).verdict
    (plot,) = figures.of(verdict, "p")
    assert not re.search(r"#[0-9a-f]{6}", plot.svg) and "font-family" not in plot.svg
    assert {"var(--good)", "currentColor"} <= set(re.findall(r"var\(--\w+\)|currentColor", plot.svg))
    assert plot.description == "upper: 0.12 (0.06 … 0.19), pass"
    assert re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg) == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
        "retained",
        "upper",
    ]


def test_a_plot_has_no_more_than_can_be_seen() -> None:
    curves = {"most_first": [[float(step % 7) for step in range(1000)]] * 200}
    sizes = [len(plot.svg) for plot in figures.of(entry("pass", evidence={"curves": curves}).verdict, "p")]
    assert max(sizes) < 16_000


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0, -12.5, -1234.0])
def test_the_label_of_the_y_axis_is_inside_of_the_plot(scale: float) -> None:
    curves = {"most_first": [[scale * step / 28 for step in range(29)]] * 2}
    plot = figures.of(entry("pass", evidence={"curves": curves}).verdict, "p")[1]
    (found,) = re.findall(r'x="([\d.-]+)"[^>]*rotate\(-90 [^>]*>score<', plot.svg)
    assert 9 <= float(found) < 40  # its letters stand to the left of its base line
    numbers = re.findall(r'text-anchor: end" x="([\d.]+)"[^>]*>([^<]*)<', plot.svg)
    assert numbers and all(float(x) - 5.5 * len(text) >= float(found) for x, text in numbers)


@pytest.mark.parametrize(
    "odd",
    [
        {"curves": 3},
        {"curves": {"a": []}},
        {"curves": {"a": [1.0]}},
        {"similarities": []},
        {"similarities": {"a": 1}},
    ],
)
def test_evidence_of_another_shape_has_no_plot(odd: dict[str, Any]) -> None:
    assert len(figures.of(entry("pass", evidence=odd).verdict, "p")) == 1
    assert figures.of(entry("error", evidence=odd).verdict, "p") == []


def test_evidence_is_shortened() -> None:
    long = {"numbers": [0.123456789] * 40, "words": "x" * 1000, "rows": [{"a": 1}] * 20, "flag": True}
    text = evidence.text(entry("pass", evidence=long).verdict)
    assert "[0.12346, 0.12346" in text and "… 32 more]" in text and "… 12 more" in text and "true" in text
    whole = evidence.text(entry("pass", evidence={str(number): number for number in range(9999)}).verdict)
    assert len(whole) < evidence.MOST + 100 and whole.endswith("(--saliency-json has all of it)")


def test_verdicts_share_the_room_for_pictures() -> None:
    small, large = pages.pictures(1, 8), pages.pictures(4, 64)
    size = sum(len(one.png) for one in large)
    found = albums.chosen([large, (), small, large], room=size)
    assert found[1] == () and found[2] == small
    assert {one.image for one in found[0]} == {one.image for one in found[3]} == {0}
    assert sum(len(one.png) for pictures in found for one in pictures) <= size
    assert albums.chosen([large, small]) == [large, small]
    strip = albums.strip_of(found[0], pages.pictures(3))
    assert strip.left_out == 2 and strip.signed and strip.places[:2] == ("input", "original")


def test_pictures_are_shown_beside_their_input_with_a_bar(text: str) -> None:
    head = re.search(r'<table class="strip"[^>]*>.*?<thead>(.*?)</thead>', text, re.S)
    assert head and re.findall(r"<th[^>]*>([^<]+)</th>", head.group(1)) == ["input", *pages.DEPTHS, "hull"]
    assert text.count('<span class="bar signed">') == 2 * text.count('<table class="strip"')
    assert "linear-gradient(to right, rgb(5, 48, 97)" in text


def test_hostile_names_are_text() -> None:
    read = Read(pages.text("hostile"))
    assert len(read.of("script")) == 1 and len(read.of("style")) == 1
    assert not any(name.startswith("on") for _, one in read.elements for name in one)
    assert all("javascript:" not in str(one.get("href")) for one in read.of("a"))
    assert all(str(one["src"]).startswith("data:image/png") for one in read.of("img"))


def test_without_pictures_from_a_stored_report(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(as_json(pages.whole()), encoding="utf-8")
    assert main(["show", str(tmp_path / "a.json"), "--format", "html"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("<!DOCTYPE html>") and "<img" not in shown and "<svg" in shown


def test_without_the_packages_it_says_what_to_install(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text(as_json(Report(())), encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["show", str(tmp_path / "a.json"), "--format", "html"]) == 2
    assert capsys.readouterr().err == (
        "the page needs jinja2 and matplotlib: pip install pytest-saliency-sanity[report]\n"
    )


@pytest.mark.extended
def test_twenty_explainers_and_eight_checks_have_less_than_five_megabytes() -> None:
    assert len(written(pages.many()).encode()) < 5_000_000


def test_two_explainers_have_their_share_of_five_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(albums, "chosen", lambda given: [() for _ in given])
    alone = len(written(pages.many(2, 2)).encode()) - len(written(report()).encode())
    assert alone / 4 < albums.TOLD


def test_plots_leave_matplotlib_as_it_was() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        plots = figures.of(measured(0.1, "pass").verdict, "p")
        assert dict(matplotlib.rcParams) == before
    assert [plot.svg for plot in plots] == [
        plot.svg for plot in figures.of(measured(0.1, "pass").verdict, "p")
    ]


def test_counts_are_in_words(text: str) -> None:
    counts = re.search(r'<ul class="counts".*?</ul>', text, re.S)
    assert counts
    assert " ".join(re.sub(r"<[^>]+>", " ", counts.group()).split()) == (
        "! 1 error ✗ 1 failed ? 1 inconclusive x 1 failed as expected – 1 refused o 1 observed ✓ 3 passed"
    )
