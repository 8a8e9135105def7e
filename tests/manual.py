"""README and the pages of the manual, as tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES: Mapping[str, str] = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "_build" not in path.parts
}
WHOLE = "\n".join(PAGES.values())


def page(name: str) -> str:
    """A page of the manual: "howto/replay" is docs/howto/replay.md."""
    return PAGES[f"docs/{name}.md"]


def prose(name: str) -> str:
    """A page with its lines joined, for what may be broken anywhere."""
    return " ".join(page(name).split())


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table whose first line begins with `heading`, without that line and the one below."""
    lines = text[text.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


class Block(NamedTuple):
    """A fenced block: its page, the language after the fence, its text."""

    page: str
    language: str
    text: str


def fenced() -> Iterator[Block]:
    """Every block of README and manual, but directives, which Sphinx runs."""
    for name, text in PAGES.items():
        for language, block in re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.S | re.M):
            if not language.startswith("{"):
                yield Block(name, language, block)


def inline_commands() -> Iterator[tuple[str, str]]:
    """The page and the text of what stands between backticks and is a command with arguments."""
    for name, text in PAGES.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
        for code in re.findall(r"`([^`]+)`", prose):
            command = " ".join(code.split())
            if re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:pytest|pip|python3?|bash|nox) ", command):
                yield name, command
