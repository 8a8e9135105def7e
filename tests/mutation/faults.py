"""`python -m tests.mutation.faults`: which check catches which planted fault, and which escape.

Each fault of `planted_faults` is tried on three kinds of networks with every check that its user would run, and so is
each right explainer. Outcomes are printed, and stored with `--write`, which also writes the manual's tables; `--resume`
leaves out what is stored already. Parity with the right explainer is asked too, and does not count.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import torch

from tests.calibration import pages
from tests.manual import ROOT
from tests.mutation import stored, tables
from tests.mutation.judged import judged, parity
from tests.mutation.planted_faults import FAULTS
from tests.mutation.right import RIGHT
from tests.mutation.scenes import NETWORKS, SCENES
from tests.mutation.stored import Cells, Trials

NAME = "faults"
PAGE = ROOT / "docs" / "explanation" / "mutation.md"
Place = tuple[str, str]  # a name, a kind of network


def trial(name: str, network: str) -> Cells:
    """Everything that the kit says of a planted fault, or of a right explainer, on a kind of network."""
    fault = FAULTS.get(name)
    right = RIGHT[fault.base if fault else name]
    make = fault.make if fault else lambda: right.explainer
    cases = _cases("pairs" if right is RIGHT["gradient_of_pair"] else "images", network)
    found = judged(make, cases, right.axioms)
    if fault:
        found["digits parity"] = parity(make, right.explainer, cases["digits"])
    return found


@functools.cache
def _cases(scene: str, network: str):
    return {place: made(network) for place, made in SCENES[scene].items()}


def places(names: Sequence[str] = (), networks: Sequence[str] = ()) -> list[Place]:
    """The trials that are asked for: all of them, by default; of one kind of network after the other."""
    return [(name, kind) for kind in networks or NETWORKS for name in names or (*RIGHT, *FAULTS)]


def run(asked: Iterable[Place], jobs: int) -> Iterator[tuple[Place, Cells]]:
    """The trials, several at a time, as they come in."""
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_timed, asked)


def _timed(place: Place) -> tuple[Place, Cells]:
    torch.set_num_threads(1)
    began = time.perf_counter()
    cells = trial(*place)
    print(f"{' on '.join(place)}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return place, cells


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.faults", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="of faults or right explainers (default: all)"
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="store outcomes, and write the manual's tables")
    parser.add_argument("--resume", action="store_true", help="leave out what is stored; with --write")
    given = parser.parse_args(arguments)
    known = stored.load(NAME) if given.write else {}
    asked = [p for p in places(given.names, given.networks) if not (given.resume and p in known)]
    for place, cells in run(asked, given.jobs):
        known[place] = cells
        if given.write:
            stored.save(NAME, known)
    print(tables.outcomes(known, dict.fromkeys(given.names or (*RIGHT, *FAULTS))))
    if given.write and not missing(known):
        pages.write(PAGE, rendered(known))


def missing(trials: Trials) -> list[Place]:
    """The trials of the tables that are not there yet."""
    return [place for place in places() if place not in trials]


def rendered(trials: Trials) -> dict[str, str]:
    """The blocks of the page."""
    return {f"{NAME}.{block}": shown for block, shown in tables.blocks(trials).items()}


if __name__ == "__main__":
    main()
