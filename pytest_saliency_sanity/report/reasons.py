"""What each reason code means and what to do about it; `docs/reference/reason_codes.md` is made from the same file."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("reasons.json")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Reason:
    """A reason code, explained in Markdown.

    Attributes:
        code: e.g. "insensitive".
        meaning: what it says of the explainer, the model or the images.
        advice: what to do.
    """

    code: str
    meaning: str
    advice: str


@functools.cache
def by_outcome() -> Mapping[str, tuple[Reason, ...]]:
    """Outcome -> its reason codes, in the manual's order."""
    stated = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        outcome: tuple(Reason(code, **words) for code, words in of.items()) for outcome, of in stated.items()
    }


def explained(code: str) -> Reason | None:
    """What a code means; None for one that this release does not know."""
    return next((one for of in by_outcome().values() for one in of if one.code == code), None)


def spans(markdown: str) -> list[tuple[bool, str]]:
    """The text of a cell as (whether it is code, the text); links are their words alone."""
    parts = _LINK.sub(r"\1", markdown).split("`")
    return [(number % 2 == 1, part) for number, part in enumerate(parts) if part]
