"""What came out of the mutants of other libraries, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.mutation.reasons import REASONS

OUTCOMES = ("equivalent", "broken", "caught", "open", "escaped")


def blocks(record: Mapping[str, Any]) -> dict[str, str]:
    """The blocks of the page, by name."""
    return {"counts": counts(record), "kinds": kinds(record), "escapes": escapes(record)}


def counts(record: Mapping[str, Any]) -> str:
    """A row a library."""
    lines = [
        f"| library | mutants | {' | '.join(OUTCOMES)} | caught of other maps | noticed of all but equivalent |"
    ]
    lines.append(f"|{' --- |' * (len(OUTCOMES) + 4)}")
    for library, release in record["versions"].items():
        found = Counter(
            one["outcome"] for name, one in record["mutants"].items() if name.startswith(f"{library}/")
        )
        others = found["caught"] + found["open"] + found["escaped"]
        cells = " | ".join(str(found[outcome]) for outcome in OUTCOMES)
        shares = (
            _share(found["caught"], others),
            _share(found["caught"] + found["broken"], others + found["broken"]),
        )
        lines.append(f"| {library} {release} | {found.total()} | {cells} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / max(whole, 1):.0%})"


def kinds(record: Mapping[str, Any]) -> str:
    """A row a kind of change."""
    lines = [f"| change | {' | '.join(OUTCOMES)} |", f"|{' --- |' * (len(OUTCOMES) + 1)}"]
    found: dict[str, Counter[str]] = {}
    for name, one in record["mutants"].items():
        found.setdefault(kind_of(name), Counter())[one["outcome"]] += 1
    lines += [f"| {kind} | {' | '.join(str(found[kind][o]) for o in OUTCOMES)} |" for kind in sorted(found)]
    return "\n".join(lines)


def escapes(record: Mapping[str, Any]) -> str:
    """A row a mutant that is open or escapes."""
    lines = ["| where | change | through | largest distance | | why |", f"|{' --- |' * 6}"]
    for name, one in sorted(record["mutants"].items()):
        if one["outcome"] in ("open", "escaped"):
            place, _, change = name.partition(f" {kind_of(name)}: ")
            was, _, becomes = change.partition(" → ")
            far = max((d for d in one["distances"].values() if isinstance(d, float)), default=0.0)
            cells = f"{_code(was)} → {_code(becomes)} | {one['method']} | {far:.2g} | {one['outcome']}"
            lines.append(f"| `{place}` | {cells} | {REASONS.get(place_of(name), '')} |")
    return "\n".join(lines)


def place_of(name: str) -> str:
    """Where, and the kind of change, of a mutant's name."""
    return name.partition(": ")[0]


def kind_of(name: str) -> str:
    """The kind of change, of a mutant's name."""
    return name.partition(" ")[2].partition(": ")[0]


def _code(text: str) -> str:
    shown = text if len(text) <= 60 else f"{text[:57]}…"
    return "`" + shown.replace("|", "\\|").replace("`", "'") + "`"
