"""The page in headless Chromium: it is drawn, filtered, folded, printed and read aloud; hostile names stay text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pytest_saliency_sanity.report.page import palette
from tests import browser
from tests.report import pages

TAB, ENTER, ESCAPE, SPACE = ("Tab", 9), ("Enter", 13), ("Escape", 27), (" ", 32)
SHOWN = "[...document.querySelectorAll('details.verdict')].filter(one => one.offsetParent)"
# Elements that stick out of the screen, but for those in a box of their own that is scrolled.
WIDER = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll > *, svg, .unseen, .skip')
    && (one.getBoundingClientRect().right > innerWidth + 1 || one.getBoundingClientRect().left < -1))
    .map(one => one.tagName + '.' + one.className)"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.started(browser.needed(), tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name in ("whole", "hostile"):
        (folder / f"{name}.html").write_text(pages.text(name), encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def page(chromium: browser.Browser, files: dict[str, Path]) -> browser.Browser:
    chromium.open(files["whole"])
    return chromium


def counted(page: browser.Browser) -> list[str]:
    found: list[str] = page.run(f"{SHOWN}.map(one => one.dataset.counted)")
    return found


def shot(page: browser.Browser, path: Path) -> np.ndarray:
    path.write_bytes(page.screenshot())
    return np.asarray(Image.open(path).convert("RGB"), float)


def test_it_is_drawn_without_a_complaint_and_without_a_network(page: browser.Browser) -> None:
    assert page.console == []
    assert [one for one in page.requested if not one.startswith(("file:", "data:image/png"))] == []
    assert page.run("document.title") == "Verdicts were lost – saliency sanity"
    assert page.run("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
    assert page.run("document.images.length") > 50
    assert page.run("[...document.querySelectorAll('svg.plot')].every(one => one.getBBox().width > 50)")
    assert page.run("getComputedStyle(document.querySelector('svg.plot text')).fill") == rgb(
        palette.LIGHT["ink"]
    )


def rgb(color: str) -> str:
    return f"rgb({', '.join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_a_complaint_would_be_heard(page: browser.Browser) -> None:
    page.run("setTimeout(() => { console.error('planted'); nothing() })")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert any("planted" in one for one in page.console) and any("nothing" in one for one in page.console)


def test_the_policy_lets_no_other_script_run_and_nothing_be_fetched(page: browser.Browser) -> None:
    page.run(
        """(() => { const planted = document.createElement('script'); planted.textContent = 'window.planted = 1';
        document.body.append(planted); const image = new Image(); image.src = 'https://localhost:9/a.png';
        document.body.append(image) })()"""
    )
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run("window.planted") is None
    assert any("Content Security Policy" in one for one in page.console)


@pytest.mark.parametrize(
    "width, dark",
    [
        (360, False),
        (360, True),
        (1200, False),
        *(
            pytest.param(width, dark, marks=pytest.mark.extended)
            for width in (320, 768)
            for dark in (False, True)
        ),
    ],
)
def test_nothing_is_wider_than_the_screen(
    chromium: browser.Browser, files: dict[str, Path], width: int, dark: bool
) -> None:
    for file in files.values():
        chromium.open(file, width=width, dark=dark)
        chromium.run("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert chromium.run("document.documentElement.scrollWidth") == width
        assert chromium.run(WIDER) == []


def test_an_element_that_is_too_wide_would_be_seen(page: browser.Browser) -> None:
    page.run("document.querySelector('.lead').style.minWidth = '3000px'")
    assert page.run(WIDER) != []


def test_both_schemes_have_their_colors(
    chromium: browser.Browser, files: dict[str, Path], tmp_path: Path
) -> None:
    means = []
    for dark, colors in ((False, palette.LIGHT), (True, palette.DARK)):
        chromium.open(files["whole"], dark=dark)
        assert chromium.run("getComputedStyle(document.body).backgroundColor") == rgb(colors["paper"])
        assert chromium.run("getComputedStyle(document.body).color") == rgb(colors["ink"])
        means.append(shot(chromium, tmp_path / "shot.png").mean())
    assert means[0] > 200 > 80 > means[1]


def test_passes_are_folded_and_the_others_are_not(page: browser.Browser) -> None:
    folded = page.run(f"{SHOWN}.filter(one => !one.open).map(one => one.dataset.counted)")
    assert folded == ["pass"] * 3
    page.run("document.querySelector('#fold').click()")
    assert page.run(f"{SHOWN}.filter(one => one.open).length") == 0
    page.run("document.querySelector('#unfold').click()")
    assert page.run(f"{SHOWN}.filter(one => !one.open).length") == 0


def test_the_filter_by_outcome(page: browser.Browser) -> None:
    assert len(counted(page)) == 9
    page.run("document.querySelector('input[value=fail]').click()")
    assert counted(page) == ["fail"]
    page.run("document.querySelector('input[value=pass]').click()")
    assert counted(page) == ["fail", "pass", "pass", "pass"]
    assert page.run("document.querySelector('#shown').textContent") == "4 of 9 verdicts"
    assert (
        page.run("[...document.querySelectorAll('section.explainer')].filter(one => one.offsetParent).length")
        == 3
    )


def test_the_filter_by_explainer_from_the_keyboard_alone(page: browser.Browser) -> None:
    for _ in range(60):
        page.press(*TAB)
        if page.run("document.activeElement.id") == "explainer":
            break
    page.write("GRAD")
    assert counted(page) == ["pass", "pass", "pass"]
    page.press(*TAB)
    page.press(*SPACE, text=" ")  # the first of the outcomes
    assert page.run("document.activeElement.checked") and counted(page) == []
    assert page.run("document.querySelector('p.none').offsetParent !== null")
    page.press(*ESCAPE)
    assert len(counted(page)) == 9


def test_a_verdict_is_unfolded_from_the_keyboard(page: browser.Browser) -> None:
    page.run("document.querySelector('details[data-folded] > summary').focus()")
    page.press(*ENTER, text="\r")
    assert page.run("document.querySelector('details[data-folded]').open") is True


def test_focus_is_visible(page: browser.Browser) -> None:
    seen = 0
    for _ in range(25):
        page.press(*TAB)
        styles = page.run(
            """(() => { const one = document.activeElement; const seen = one.matches('.choice input') ?
            one.nextElementSibling : one; return [getComputedStyle(seen).outlineStyle,
            getComputedStyle(seen).outlineWidth] })()"""
        )
        assert styles == ["solid", "3px"]
        seen += 1
    assert seen == 25


def test_a_link_of_the_overview_shows_its_verdict(page: browser.Browser) -> None:
    page.run("document.querySelector('input[value=fail]').click()")
    link = page.run("[...document.querySelectorAll('a.cell.good')].at(-1).getAttribute('href')")
    page.run("[...document.querySelectorAll('a.cell.good')].at(-1).click()")
    page.run("new Promise(done => setTimeout(done, 100))")
    assert page.run(f"document.querySelector('{link}').open") is True
    top = page.run(f"document.querySelector('{link}').getBoundingClientRect().top")
    assert -1 <= top < 900 and len(counted(page)) == 9


def test_the_replay_command_is_copied(page: browser.Browser) -> None:
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("document.querySelector('button.copy').click()")
    page.run("new Promise(done => setTimeout(done, 100))")
    assert page.run("document.querySelector('button.copy').textContent") == "Copied"
    assert page.run("getSelection().toString()") == "pytest test_a.py"


def test_without_scripts_all_is_there(chromium: browser.Browser, files: dict[str, Path]) -> None:
    chromium.open(files["whole"], scripts=False)
    roles = [role for role, _ in chromium.tree()]
    assert "search" not in roles and "button" not in roles
    words = " ".join(name for _, name in chromium.tree())
    assert "Retained, with its interval" in words and "it returned NaN for 3 of 16 images" in words
    chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert chromium.run(f"{SHOWN}.filter(one => !one.open).length") == 0


def test_printed_all_is_unfolded_and_black_on_white(
    chromium: browser.Browser, files: dict[str, Path]
) -> None:
    chromium.open(files["whole"], dark=True)
    chromium.run(
        "addEventListener('beforeprint', () => { window.open_at_print = "
        f"{SHOWN}.filter(one => one.open).length }})"
    )
    assert chromium.printed().startswith(b"%PDF")
    assert chromium.run("window.open_at_print") == 9
    assert chromium.run(f"{SHOWN}.filter(one => one.open).length") == 6
    chromium.open(files["whole"], dark=True, media="print")
    assert chromium.run("getComputedStyle(document.body).color") == rgb(palette.LIGHT["ink"])
    assert chromium.run("document.querySelector('form').offsetParent") is None


def test_printed_the_maps_are_as_wide_as_the_paper(chromium: browser.Browser, files: dict[str, Path]) -> None:
    chromium.open(files["whole"], width=718, media="print")  # A4 within its margins
    rights = chromium.run(
        "[...document.querySelectorAll('.strip')].map(one => one.getBoundingClientRect().right)"
    )
    assert len(rights) == 6 and 300 < min(rights) <= max(rights) <= 718


def test_what_a_screen_reader_meets(page: browser.Browser) -> None:
    found = page.tree()
    roles = [role for role, _ in found]
    assert {"banner", "main", "contentinfo", "search", "region", "table", "columnheader", "rowheader"} <= {
        *roles
    }
    assert ("heading", "Overview") in found and ("heading", "Against the baseline") in found
    assert any(role == "image" and name.startswith("image 0: map, upper") for role, name in found)
    assert any(role == "image" and name.startswith("Retained, with its interval") for role, name in found)
    assert all(
        name for role, name in found if role in ("link", "button", "heading", "textbox", "searchbox", "image")
    )


def test_hostile_names_stay_text(chromium: browser.Browser, files: dict[str, Path]) -> None:
    dialogs = (
        "window.said = []; for (const one of ['alert', 'confirm', 'prompt']) window[one] = x => said.push(x);"
    )
    chromium.call("Page.addScriptToEvaluateOnNewDocument", source=dialogs)
    chromium.open(files["hostile"])
    chromium.run("[...document.querySelectorAll('a, button, summary')].forEach(one => one.click())")
    chromium.run("new Promise(done => setTimeout(done, 100))")
    assert chromium.run("window.said") == [] and chromium.console == []
    assert chromium.run("document.scripts.length") == 1
    assert chromium.run("[...document.querySelectorAll('*')].flatMap(one => one.getAttributeNames())"
                        ".filter(name => name.startsWith('on')).length") == 0  # fmt: skip
    names = chromium.run("[...document.querySelectorAll('h3')].map(one => one.firstChild.textContent.trim())")
    assert sorted(names) == sorted(
        text.encode("utf-8", "backslashreplace").decode() for text in pages.HOSTILE
    )
    chromium.run("document.querySelector('#explainer').value = '<SCRIPT>';"
                 "document.querySelector('#explainer').dispatchEvent(new Event('input', {bubbles: true}))")  # fmt: skip
    assert len(counted(chromium)) == sum("<script>" in text for text in pages.HOSTILE)


def test_a_missing_browser_is_a_skip_here_and_a_failure_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "NAMES", ("no-such-browser",))
    monkeypatch.delenv("SALIENCY_TESTS_CHROMIUM", raising=False)
    with pytest.raises(pytest.skip.Exception, match="none of no-such-browser is installed"):
        browser.needed()
    monkeypatch.setenv("SALIENCY_TESTS_CHROMIUM", "required")
    with pytest.raises(pytest.fail.Exception, match="none of no-such-browser is installed"):
        browser.needed()
