"""Blocks of a page between markers."""

from __future__ import annotations

import pytest

from tests.calibration import pages

PAGE = """# Title

<!-- begin a.one: python -m a --write -->

old

<!-- end a.one -->

Between.

<!-- begin a.two: python -m a --write -->

| x |
| --- |

<!-- end a.two -->
"""


def test_what_stands_between_the_markers() -> None:
    assert pages.blocks(PAGE) == {"a.one": "old", "a.two": "| x |\n| --- |"}
    assert set(pages.commands(PAGE).values()) == {"python -m a --write"}


def test_a_block_is_replaced_and_the_rest_stays() -> None:
    changed = pages.written(PAGE, {"a.one": "new\n\\1 lines"})
    assert changed == PAGE.replace("old", "new\n\\1 lines")
    assert pages.written(changed, {"a.one": "old"}) == PAGE


def test_a_block_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the page has no markers for b\.one"):
        pages.written(PAGE, {"b.one": "new"})
