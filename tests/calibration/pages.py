"""Blocks of a page that a command writes: `<!-- begin NAME: COMMAND -->` … `<!-- end NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

MARKED = re.compile(
    r"^<!-- begin (?P<name>[\w.]+): (?P<command>.*) -->\n(?P<text>.*?)^<!-- end (?P=name) -->$", re.M | re.S
)


def blocks(text: str) -> dict[str, str]:
    """What stands between the markers, by name."""
    return {found["name"]: found["text"].strip("\n") for found in MARKED.finditer(text)}


def commands(text: str) -> dict[str, str]:
    """The command that each block names."""
    return {found["name"]: found["command"] for found in MARKED.finditer(text)}


def written(text: str, rendered: Mapping[str, str]) -> str:
    """The page with these blocks in place of what stood there.

    Raises:
        ValueError: if the page has no such block.
    """
    missing = sorted(rendered.keys() - blocks(text).keys())
    if missing:
        raise ValueError(f"the page has no markers for {', '.join(missing)}")

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in rendered:
            return found[0]
        return f"<!-- begin {name}: {found['command']} -->\n\n{rendered[name]}\n\n<!-- end {name} -->"

    return MARKED.sub(block, text)


def write(page: Path, rendered: Mapping[str, str]) -> None:
    """Put the blocks into the page."""
    page.write_text(written(page.read_text(encoding="utf-8"), rendered), encoding="utf-8")
