"""`python -m tests.mutation.libraries`: one node of captum's or zennit's code is changed at a time.

What does the kit say? Mutants are drawn among those on lines that run when a method makes its maps. One whose maps
stay the same is equivalent; one that raises is broken; the others are put to the kit, through its adapters, until two
networks convict them. Outcomes are printed, and stored with `--write`, which also writes the manual's tables;
`--resume` leaves out what is stored.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tests.calibration import pages
from tests.mutation import library_tables
from tests.mutation.copies import changed, copied, in_process
from tests.mutation.faults import PAGE
from tests.mutation.judged import Found
from tests.mutation.library_trials import Cases, covered, everything, maps, trial
from tests.mutation.methods import METHODS
from tests.mutation.mutator import Mutant, mutants
from tests.mutation.scenes import NETWORKS, SCENES

RESULTS = Path(__file__).parent / "results" / "libraries.json"
DRAWN = {"captum": 170, "zennit": 55}  # mutants, by the seed
SEED = 0


@dataclass(frozen=True)
class Planned:
    """A mutant that is to be tried.

    Attributes:
        library, file: what is changed.
        mutant: how.
        methods: whose lines these are, the cheapest first.
    """

    library: str
    file: str
    mutant: Mutant
    methods: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is stored under."""
        was, becomes = (" ".join(text.split()) for text in (self.mutant.was, self.mutant.becomes))
        return f"{self.library}/{self.file}:{self.mutant.line} {self.mutant.kind}: {was} → {becomes}"


def all_cases() -> Cases:
    """By network and place, as `scenes` makes them."""
    return {network: {p: made(network) for p, made in SCENES["images"].items()} for network in NETWORKS}


def planned(library: str, copy: Path, lines: Mapping[str, Mapping[str, Sequence[int]]]) -> list[Planned]:
    """The mutants that the seed draws."""
    found: dict[str, Planned] = {}
    for file in dict.fromkeys(file for name in lines for file in METHODS[name].files):
        running = {name: set(own.get(file, ())) for name, own in lines.items() if file in METHODS[name].files}
        source = (copy / file).read_text(encoding="utf-8")
        for mutant in mutants(source, set().union(*running.values())):
            one = Planned(library, file, mutant, tuple(n for n, own in running.items() if mutant.line in own))
            found.setdefault(one.name, one)
    names = sorted(found)
    return [found[name] for name in random.Random(SEED).sample(names, min(DRAWN[library], len(names)))]


def run(
    library: str, cases: Cases, known: Mapping[str, Any], limit: int | None = None, only: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """What is stored, item by item: the unchanged methods' verdicts first, then each mutant that is not known.

    With `only`, those mutants, whether they are known or not.
    """
    own = [name for name, method in METHODS.items() if method.library == library]
    with copied(library) as copy:
        lines = in_process(lambda: {name: covered(METHODS[name], cases, copy) for name in own}, copy)
        right = dict(known.get("right", {}))
        for name in own:
            if name not in right:
                right[name] = in_process(lambda n=name: _right(n, cases), copy, seconds=3600)
                yield f"right {name}", right[name]
        kept = copy.parent / "maps.pt"
        in_process(lambda: torch.save({n: _maps(n, cases) for n in own}, kept), copy)
        right_maps = torch.load(kept, weights_only=True)
        told = {
            n: {net: {c: Found(*v) for c, v in cells.items()} for net, cells in of.items()}
            for n, of in right.items()
        }
        drawn = planned(library, copy, lines)
        asked = [one for one in drawn if (one.name in only if only else one.name not in known["mutants"])]
        for one in asked[:limit]:
            began = time.perf_counter()
            with changed(copy, one.file, one.mutant.source):
                found = in_process(lambda o=one: trial(o.methods, cases, right_maps, told), copy)
            found = found or {
                "outcome": "broken",
                "method": one.methods[0],
                "by": {"all": "it hangs, or ends the process"},
            }
            print(
                f"{found['outcome']:10} {time.perf_counter() - began:4.0f} s  {one.name[:150]}",
                file=sys.stderr,
                flush=True,
            )
            yield one.name, found


def again(names: Sequence[str]) -> list[str]:
    """The mutants whose outcome is another one than is stored."""
    record, cases = load(), all_cases()
    changed_: list[str] = []
    for library in dict.fromkeys(name.partition("/")[0] for name in names):
        for name, found in run(library, cases, record, only=names):
            stored = record["mutants"][name]["outcome"]
            if found["outcome"] != stored:
                changed_.append(f"{name}: was {stored}, is {found['outcome']}")
    return changed_


def _right(name: str, cases: Cases) -> dict[str, Any]:
    return {network: everything(METHODS[name], of_network) for network, of_network in cases.items()}


def _maps(name: str, cases: Cases) -> dict[str, Any]:
    return {network: maps(METHODS[name], of_network["digits"]) for network, of_network in cases.items()}


def load() -> dict[str, Any]:
    """What is stored; an empty frame if there is no file."""
    empty: dict[str, Any] = {"versions": {}, "right": {}, "mutants": {}}
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else empty


def save(record: Mapping[str, Any]) -> None:
    """Stores it, one line a method or a mutant."""
    parts = [f'"versions": {json.dumps(record["versions"])}']
    for part in ("right", "mutants"):
        own = record[part]
        lines = [
            f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(own[name], ensure_ascii=False)}"
            for name in sorted(own)
        ]
        parts.append(f'"{part}": {{\n  ' + ",\n  ".join(lines) + "\n }")
    unfinished = RESULTS.with_suffix(".new")
    unfinished.write_text("{\n " + ",\n ".join(parts) + "\n}\n", encoding="utf-8")
    unfinished.replace(RESULTS)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.libraries", description=__doc__)
    parser.add_argument("--libraries", nargs="+", choices=DRAWN, default=list(DRAWN))
    parser.add_argument("--limit", type=int, help="how many mutants of each, at most")
    parser.add_argument("--write", action="store_true", help="store outcomes, and write the manual's tables")
    parser.add_argument("--resume", action="store_true", help="leave out what is stored; with --write")
    parser.add_argument(
        "--again", nargs="+", metavar="NAME", help="try stored mutants again, and exit 1 if one differs"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if given.again:
        raise SystemExit("\n".join(again(given.again)) or 0)
    record = load() if given.write and given.resume else {"versions": {}, "right": {}, "mutants": {}}
    cases = all_cases()
    for library in given.libraries:
        record["versions"][library] = version(library)
        for name, found in run(library, cases, record, given.limit):
            if name.startswith("right "):
                record["right"][name.removeprefix("right ")] = found
            else:
                record["mutants"][name] = found
            if given.write:
                save(record)
    for block, shown in rendered(record).items():
        print(f"{block}\n\n{shown}\n")
    if given.write:
        pages.write(PAGE, rendered(record))


def rendered(record: Mapping[str, Any]) -> dict[str, str]:
    """The blocks of the page."""
    return {f"libraries.{block}": shown for block, shown in library_tables.blocks(record).items()}


if __name__ == "__main__":
    main()
