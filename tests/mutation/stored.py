"""Outcomes as they are stored: one line a trial, so that a run can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.mutation.judged import Found

FOLDER = Path(__file__).with_name("results")
Cells = Mapping[str, Found]  # by place and check
Trials = dict[tuple[str, str], Cells]  # by the explainer's name, and the kind of network


def load(name: str) -> Trials:
    """What is stored under that name; nothing if there is no file."""
    path = FOLDER / f"{name}.json"
    return parsed(path.read_text(encoding="utf-8")) if path.exists() else {}


def save(name: str, trials: Trials) -> None:
    """Stores it, in one step."""
    FOLDER.mkdir(exist_ok=True)
    unfinished = FOLDER / f"{name}.json.new"
    unfinished.write_text(text(trials), encoding="utf-8")
    unfinished.replace(FOLDER / f"{name}.json")


def text(trials: Trials) -> str:
    """JSON, one line a trial, in an order of its own."""
    lines = [f"{json.dumps(' on '.join(key))}: {json.dumps(trials[key])}" for key in sorted(trials)]
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def parsed(stored: str) -> Trials:
    """The trials that `text` wrote."""
    return {
        tuple(key.split(" on ")): {cell: Found(*found) for cell, found in cells.items()}  # type: ignore[misc]
        for key, cells in json.loads(stored).items()
    }
