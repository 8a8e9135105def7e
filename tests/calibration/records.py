"""Results of a table as they are stored: trials, the fingerprint of the code that judges, what that code computed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.calibration.trials import Trial

FOLDER = Path(__file__).with_name("results")
DIGITS = 3  # that a statistic is stored with
TOLERANCE = 0.03  # a statistic that is computed again may differ by so much; above 1, by so much of itself


class Cell(NamedTuple):
    """Where a trial belongs: the check, and what it was tried on."""

    check: str
    network: str
    seed: int
    explainer: str

    def __str__(self) -> str:
        return f"{self.check}/{self.network} {self.seed}/{self.explainer}"

    @classmethod
    def parse(cls, text: str) -> Cell:
        """The other way round."""
        check, place, explainer = text.split("/")
        network, seed = place.split()
        return cls(check, network, int(seed), explainer)


@dataclass(frozen=True)
class Record:
    """What is stored of a table.

    Attributes:
        command: that computes it.
        fingerprint: of the code that judges, see `judging_code`.
        confirmed: the cells that the code of this fingerprint computed. An earlier version computed the others.
        machine: whose networks these are: processors that round differently train others.
        trials: by cell.
    """

    command: str
    fingerprint: str
    confirmed: frozenset[Cell]
    machine: str
    trials: Mapping[Cell, Trial]

    def of(self, check: str) -> list[Trial]:
        """The trials of one check."""
        return [trial for cell, trial in self.trials.items() if cell.check == check]


def rounded(trial: Trial) -> Trial:
    """As it is stored."""
    statistics = {name: round(value, DIGITS) for name, value in trial.statistics.items()}
    return Trial(trial.network, trial.seed, trial.explainer, trial.outcome, trial.reason, statistics)


def text(record: Record) -> str:
    """JSON, one line a trial, in an order of its own."""
    everything = record.confirmed == record.trials.keys()
    head = {
        "command": record.command,
        "confirmed": "all" if everything else sorted(map(str, record.confirmed)),
        "fingerprint": record.fingerprint,
        "machine": record.machine,
    }
    lines = [f'"{cell}": {json.dumps(_values(record.trials[cell]))}' for cell in sorted(record.trials)]
    shown = json.dumps(head, indent=1, sort_keys=True).removesuffix("\n}")
    return f'{shown},\n "trials": {{\n  ' + ",\n  ".join(lines) + "\n }\n}\n"


def parsed(stored: str) -> Record:
    """The record that `text` wrote."""
    read = json.loads(stored)
    trials = {cell: _trial(cell, values) for cell, values in _cells(read["trials"])}
    named = trials if read["confirmed"] == "all" else map(Cell.parse, read["confirmed"])
    return Record(read["command"], read["fingerprint"], frozenset(named), read["machine"], trials)


def load(name: str) -> Record:
    """The stored record of the table of that name."""
    return parsed(_file(name).read_text(encoding="utf-8"))


def save(name: str, record: Record) -> None:
    """Stores it."""
    FOLDER.mkdir(exist_ok=True)
    _file(name).write_text(text(record), encoding="utf-8")


def differences(stored: Mapping[Cell, Trial], found: Mapping[Cell, Trial]) -> list[str]:
    """What came out otherwise than stored: an outcome, a reason, a stage, or a statistic by more than the tolerance."""
    return [line for cell, trial in found.items() for line in _differences(cell, stored[cell], trial)]


def _differences(cell: Cell, stored: Trial, found: Trial) -> list[str]:
    told = (stored.outcome, stored.reason, list(stored.statistics))
    now = (found.outcome, found.reason, list(found.statistics))
    if told != now:
        return [f"{cell}: was {told}, is {now}"]
    return [
        f"{cell}: {name} was {value:.3f}, is {found.statistics[name]:.3f}"
        for name, value in stored.statistics.items()
        if not _close(value, found.statistics[name])
    ]


def _close(stored: float, found: float) -> bool:
    return abs(stored - found) <= TOLERANCE * max(1.0, abs(stored)) or stored == found


def _values(trial: Trial) -> Sequence[object]:
    return [trial.outcome, trial.reason, trial.statistics]


def _cells(trials: Mapping[str, Sequence[object]]) -> list[tuple[Cell, Sequence[object]]]:
    return [(Cell.parse(name), values) for name, values in trials.items()]


def _trial(cell: Cell, values: Sequence[object]) -> Trial:
    return Trial(cell.network, cell.seed, cell.explainer, *values)


def _file(name: str) -> Path:
    return FOLDER / f"{name}.json"
