"""`python -m tests.calibration --all --resume`: the whole calibration, with rates by check, network, images and seed.

Every explainer that has to pass, and every one that must not, on 35 networks of seven kinds that no threshold was
chosen on, by three checks, on 16 and on 32 images; data sensitivity on twelve of them. A trial that is done is written
at once, so that a run that was cut off goes on where it was with `--resume`. Only outcomes are kept.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from pytest_saliency_sanity import Verdict, check_model_sensitivity, check_target_sensitivity
from tests import machine
from tests.calibration import data_sensitivity, one_sided, target_sensitivity
from tests.calibration.judging_code import PACKAGE, fingerprint
from tests.calibration.trials import FAULTY, HONEST, Setting, Trial, trained, trial_of
from tests.networks import EVALUATION

NAME = "whole"
FILE = Path(__file__).parent / "results" / f"{NAME}.json"
COMMAND = "python -m tests.calibration --all --resume"
SEEDS = tuple(range(5))
SAMPLED = 8, 5  # places and explainers at each that are computed again to confirm what is stored
LETTERS = {"pass": "p", "fail": "f", "inconclusive": "i", "error": "e", "refused": "r"}


class Key(NamedTuple):
    """Where a trial belongs: the row of the table, and what it was tried on."""

    check: str
    network: str
    seed: int
    images: int
    explainer: str


@dataclass(frozen=True)
class Tried:
    """A check, and whom it is tried on.

    Attributes:
        check: takes an explainer, what `setting` gives, and options.
        honest, faulty: explainers that must not fail, and that must not pass.
    """

    check: Callable[..., Verdict]
    honest: Sequence[str]
    faulty: Sequence[str]
    networks: Sequence[str] = tuple(EVALUATION)
    seeds: Sequence[int] = SEEDS
    images: Sequence[int] = (16, 32)
    setting: Setting = trained


CHECKS: Mapping[str, Tried] = {
    "model sensitivity": Tried(check_model_sensitivity, HONEST, FAULTY),
    "model sensitivity, maps of one sign": Tried(
        check_model_sensitivity, one_sided.HONEST, one_sided.FAULTY, images=(32,)
    ),
    "target sensitivity": Tried(
        check_target_sensitivity, HONEST, target_sensitivity.CALIBRATION.faulty
    ),
    "data sensitivity": Tried(
        data_sensitivity.check, HONEST, data_sensitivity.CALIBRATION.faulty, data_sensitivity.ON, (0, 1, 2), (32,),
        data_sensitivity.untrained,
    ),
}  # fmt: skip
Outcomes = Mapping[Key, str]  # a letter each


@dataclass(frozen=True)
class Stored:
    """What is stored: outcomes, the fingerprint of the code that judges, and whose networks these are."""

    outcomes: Outcomes
    fingerprint: str
    machine: str


def keys(checks: Mapping[str, Tried] = CHECKS) -> list[Key]:
    """Every trial."""
    return [
        Key(check, network, seed, images, explainer)
        for check, tried in checks.items()
        for network in tried.networks
        for seed in tried.seeds
        for images in tried.images
        for explainer in (*tried.honest, *tried.faulty)
    ]


def judged_by() -> str:
    """The fingerprint of the code that decides what is in the table."""
    checks = ("model_sensitivity", "target_sensitivity", "data_sensitivity")
    return fingerprint([*(f"{PACKAGE}.checks.{name}" for name in checks), f"tests.calibration.{NAME}"])


def progress_file() -> Path:
    """Where the trials of a run are written as they end: those of another code or machine are others."""
    folder = Path(tempfile.gettempdir()) / "pytest_saliency_sanity_calibration"
    return folder / f"{judged_by()}-{machine.fingerprint()}.jsonl"


def compute(wanted: Sequence[Key], jobs: int, file: Path) -> dict[Key, str]:
    """The outcomes of these trials; those that stand in the file are not tried again, and others are added to it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    done = dict(read(file))
    missing = [key for key in wanted if key not in done]
    places: dict[tuple[str, str, int], list[Key]] = {}
    for key in missing:
        places.setdefault((key.check, key.network, key.seed), []).append(key)
    work = functools.partial(_tried, file)
    # The dear ones first, so that no process is left alone with them.
    order = sorted(places.values(), key=lambda own: own[0].check)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for number, _ in enumerate(pool.imap_unordered(work, order), 1):
            print(f"{number} of {len(order)} places", file=sys.stderr, flush=True)
    done = dict(read(file))
    return {key: done[key] for key in wanted}


def read(file: Path) -> Iterator[tuple[Key, str]]:
    """The trials of a file; a last line that was cut off is none."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in lines:
        try:
            *key, outcome = json.loads(line)
            yield Key(*key), outcome
        except (ValueError, TypeError):
            continue


def _tried(file: Path, own: Sequence[Key]) -> None:
    """All explainers at one place, in a process of its own."""
    torch.set_num_threads(1)
    first, tried = own[0], CHECKS[own[0].check]
    model, images, labels = tried.setting(first.network, first.seed)
    for key in own:
        few = images[: key.images], labels[: key.images]
        trial = trial_of(tried.check, key.explainer, model, *few, (key.network, key.seed))
        _append(file, json.dumps([*key, letter(trial)]))


def letter(trial: Trial) -> str:
    """Of its outcome."""
    return LETTERS[trial.outcome]


def _append(file: Path, line: str) -> None:
    """In one write, as other processes write too."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def text(stored: Stored) -> str:
    """JSON with a line for each check, network, number of images and explainer: a letter a seed."""
    rows: dict[str, dict[int, str]] = {}
    for key, outcome in stored.outcomes.items():
        rows.setdefault(f"{key.check}/{key.network}/{key.images}/{key.explainer}", {})[key.seed] = outcome
    lines = [
        f'  "{name}": "{"".join(row[seed] for seed in sorted(row))}"' for name, row in sorted(rows.items())
    ]
    head = {"command": COMMAND, "fingerprint": stored.fingerprint, "machine": stored.machine}
    shown = json.dumps(head, indent=1).removesuffix("\n}")
    return (
        f'{shown},\n "letters": {json.dumps(LETTERS)},\n "outcomes": {{\n' + ",\n".join(lines) + "\n }\n}\n"
    )


def parsed(stored: str) -> Stored:
    """What `text` wrote."""
    found = json.loads(stored)
    outcomes = {
        Key(check, network, seed, int(images), explainer): outcome
        for name, row in found["outcomes"].items()
        for check, network, images, explainer in [name.split("/")]
        for seed, outcome in enumerate(row)
    }
    return Stored(outcomes, found["fingerprint"], found["machine"])


def load() -> Stored:
    """What is stored."""
    return parsed(FILE.read_text(encoding="utf-8"))


def save(stored: Stored) -> None:
    """Stores it."""
    FILE.write_text(text(stored), encoding="utf-8")


def sample(stored: Stored) -> list[Key]:
    """Random explainers at random places, drawn by the code's fingerprint, so that nobody chooses them."""
    places: dict[tuple[str, str, int, int], list[Key]] = {}
    for key in stored.outcomes:
        places.setdefault(key[:4], []).append(key)
    stream = random.Random(judged_by())
    chosen = stream.sample(sorted(places), min(SAMPLED[0], len(places)))
    return [
        key for place in chosen for key in stream.sample(places[place], min(SAMPLED[1], len(places[place])))
    ]


def turned(stored: Outcomes, found: Outcomes) -> list[str]:
    """Which of these verdicts are other ones now; inconclusive is one of its own only where a network is the same.

    Networks that are trained on another processor, or with another torch, are other networks.
    """
    return [
        f"{' '.join(map(str, key))}: was {stored[key]}, is {one}"
        for key, one in found.items()
        if one != stored[key] and "i" not in (one, stored[key])
    ]


def sides(outcomes: Outcomes, checks: Iterable[str] = CHECKS) -> tuple[dict[Key, str], dict[Key, str]]:
    """The trials of honest explainers and of faulty ones, without those whose method does not exist for the network."""
    wanted = set(checks)
    tried = {key: one for key, one in outcomes.items() if one != "r" and key.check in wanted}
    honest = {key: one for key, one in tried.items() if key.explainer in CHECKS[key.check].honest}
    return honest, {key: one for key, one in tried.items() if key not in honest}
