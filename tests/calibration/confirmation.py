"""Tables are computed as a whole, or a random part of a stored one is computed again and has to come out the same."""

from __future__ import annotations

import functools
import multiprocessing
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from tests import machine
from tests.calibration import pages, records
from tests.calibration.published import TABLES, Table
from tests.calibration.records import Cell, Record, rounded
from tests.calibration.trials import Trial, trials_of

Place = tuple[str, str, int]  # check, network, seed


def write(table: Table, jobs: int = 2) -> None:
    """Compute the whole table, store it, and write it into the page."""
    cells = table.cells()
    found = compute(table, cells, jobs)
    publish(table, Record(table.command, table.fingerprint(), frozenset(cells), machine.fingerprint(), found))


def renew(table: Table, explainers: Sequence[str], jobs: int = 2) -> None:
    """Compute the trials of these explainers anew, and store them in place of what was: the rest stays as it is."""
    record = records.load(table.name)
    cells = [cell for cell in table.cells() if cell.explainer in explainers]
    if reason := incomparable(table, record):
        raise SystemExit(f"{table.name}: {reason}; run {table.command}")
    found = compute(table, cells, jobs)
    stamped = restamped(record, table.fingerprint(), cells)
    publish(table, replace(stamped, trials={**record.trials, **found}))


def confirm(table: Table, places: int | None = None, jobs: int = 2) -> Record:
    """Compute a sample again; if it is what is stored, stamp the table with today's code.

    Raises:
        SystemExit: if something else comes out, or cannot be compared: then the table has to be computed anew.
    """
    record = records.load(table.name)
    print(f"{table.name}: {len(record.trials)} trials", flush=True)
    cells = sample(table, places)
    if reason := incomparable(table, record):
        raise SystemExit(f"{table.name}: {reason}; run {table.command}")
    if changed := records.differences(record.trials, compute(table, cells, jobs)):
        raise SystemExit("\n".join([*changed, f"{table.name} has changed; run {table.command}"]))
    stamped = restamped(record, table.fingerprint(), cells)
    publish(table, stamped)
    return stamped


def restamped(record: Record, fingerprint: str, cells: Iterable[Cell]) -> Record:
    """With the present code's fingerprint; what another code had confirmed no longer counts."""
    before = record.confirmed if record.fingerprint == fingerprint else frozenset()
    return replace(record, fingerprint=fingerprint, confirmed=before.union(cells))


def incomparable(table: Table, record: Record) -> str:
    """Why nothing that is computed here can be held against what is stored, or ""."""
    if record.trials.keys() != set(table.cells()):
        return "it has other trials than those that are stored"
    if record.machine != machine.fingerprint():
        return f"its networks were trained by {record.machine}, here they are by {machine.fingerprint()}"
    return ""


def sample(table: Table, places: int | None = None, salt: str = "") -> list[Cell]:
    """Random cells at random places: drawn by the code's fingerprint, so that nobody chooses them.

    Args:
        table: which one.
        places: how many combinations of check, network and seed (default: the table's).
        salt: gives another sample.
    """
    by_place = {place: list(cells) for place, cells in groupby(table.cells(), _place)}
    stream = random.Random(table.fingerprint() + salt)
    chosen = stream.sample(sorted(by_place), min(places or table.sampled[0], len(by_place)))
    return [cell for place in chosen for cell in stream.sample(by_place[place], table.sampled[1])]


def compute(table: Table, cells: Sequence[Cell], jobs: int) -> dict[Cell, Trial]:
    """The trials of these cells, as they would be stored."""
    work = [
        (place, [cell.explainer for cell in own]) for place, own in groupby(sorted(cells, key=_place), _place)
    ]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        done = pool.imap_unordered(functools.partial(_computed, table.name), work)
        found: Mapping[Cell, Trial] = {cell: trial for part in done for cell, trial in part}
    return {cell: found[cell] for cell in cells}


def publish(table: Table, record: Record) -> None:
    """Store it, and write it into the page."""
    records.save(table.name, record)
    pages.write(table.page, table.rendered(record))


def _place(cell: Cell) -> Place:
    return cell.check, cell.network, cell.seed


def _computed(name: str, work: tuple[Place, Sequence[str]]) -> list[tuple[Cell, Trial]]:
    """In a process of its own, which knows the table by its name."""
    (check, network, seed), explainers = work
    table = TABLES[name]
    found = trials_of(table.checks[check][0], explainers, table.setting, (network, seed))
    return [(Cell(check, network, seed, trial.explainer), rounded(trial)) for trial in found]
