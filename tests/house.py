"""`python -m tests.house` draws the rooms of the package and who imports whom, between the markers of CONTRIBUTING.md.

An arrow is left out where another way leads there: the picture shows the order, not each import.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import grimp

import pytest_saliency_sanity

NAME = pytest_saliency_sanity.__name__
PACKAGE = Path(pytest_saliency_sanity.__file__).parent
PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- made by python -m tests.house -->\n", "<!-- end -->\n"
GROUND = "what all stand on"  # files beside the rooms
Arrows = Mapping[str, frozenset[str]]


def rooms() -> dict[str, str]:
    """The folders of the package and what each is for, by its docstring's first line."""
    found = {}
    for path in sorted(PACKAGE.glob("*/__init__.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.parent.name] = " ".join(text.split("\n\n")[0].split())
    return found


def arrows() -> Arrows:
    """For each room the rooms that it imports; files beside the rooms are one, `GROUND`."""
    graph = grimp.build_graph(NAME, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {room: set() for room in (*rooms(), GROUND)}
    for module in graph.modules:
        here = _room(module)
        found[here] |= {_room(other) for other in graph.find_modules_directly_imported_by(module)} - {here}
    found[GROUND].discard("checks")  # the package's face reads the registry of checks
    found[GROUND].discard("report")  # a verdict asks for its text when it is shown
    return {room: frozenset(others) for room, others in found.items()}


def reduced(given: Arrows) -> Arrows:
    """Without the arrows that another way replaces."""
    below = {room: _reached(given, room) for room in given}
    return {
        room: frozenset(
            one for one in others if not any(one in below[other] for other in others if other != one)
        )
        for room, others in given.items()
    }


def picture() -> str:
    """The house in mermaid's words, and the rooms in a table."""
    drawn = reduced(arrows())
    names = {room: room.replace(" ", "_") for room in drawn}
    boxes = [f'    {names[room]}["{room}"]' for room in sorted(drawn)]
    lines = [f"    {names[a]} --> {names[b]}" for a in sorted(drawn) for b in sorted(drawn[a])]
    table = [f"| `{room}/` | {text} |" for room, text in rooms().items()]
    return "\n".join(
        [
            "```mermaid",
            "flowchart TD",
            *boxes,
            *lines,
            "```",
            "",
            "| room | what it is for |",
            "| --- | --- |",
            *table,
        ]
    )


def page() -> str:
    """CONTRIBUTING.md as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{picture()}\n\n{END}{rest.partition(END)[2]}"


def _room(module: str) -> str:
    words = module.split(".")
    return words[1] if len(words) > 1 and (PACKAGE / words[1]).is_dir() else GROUND


def _reached(given: Arrows, room: str) -> set[str]:
    found: set[str] = set()
    waiting = list(given[room])
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += given[one]
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
