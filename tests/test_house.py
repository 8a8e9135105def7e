"""The picture of the house in CONTRIBUTING.md is that of the imports."""

from __future__ import annotations

import pytest

from tests import house


def test_the_page_shows_the_house_as_it_is() -> None:
    assert house.PAGE.read_text(encoding="utf-8") == house.page(), "run python -m tests.house"


@pytest.mark.parametrize(
    "given, kept",
    [
        ({"a": "b", "b": "c", "c": ""}, {"a": "b", "b": "c", "c": ""}),
        ({"a": "bc", "b": "c", "c": ""}, {"a": "b", "b": "c", "c": ""}),
        ({"a": "bcd", "b": "d", "c": "d", "d": ""}, {"a": "bc", "b": "d", "c": "d", "d": ""}),
    ],
)
def test_an_arrow_that_another_way_replaces_is_left_out(given: dict[str, str], kept: dict[str, str]) -> None:
    found = house.reduced({room: frozenset(others) for room, others in given.items()})
    assert found == {room: frozenset(others) for room, others in kept.items()}


def test_every_room_says_what_it_is_for() -> None:
    assert all(house.rooms().values())
