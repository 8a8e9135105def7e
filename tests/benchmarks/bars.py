"""`python -m tests.benchmarks.bars`: every benchmark that has a bar, one after the other, and which bars are met.

It takes about two hours on two cores that do nothing else; `--only NAME` asks for some. What the benchmarks print goes
to the screen as it comes; at the end stand the lines with a bar. The other functions here are what benchmarks share.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

COMMANDS = {
    "model_sensitivity": ["--resume"],
    "audit": ["--calls"],
    "insertion": [],
    "similarities": [],
    "growth": ["--with", "draws", "depths"],
    "executor": [],
    "plan": ["--processor-time"],
}


def seconds(action: Callable[[], Any]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def in_turn(
    ours: Callable[[], Any], theirs: Callable[[], Any], turns: int
) -> tuple[float, float, float, list[float]]:
    """A B A B …: the medians of our seconds and theirs, and of their ratio theirs / ours, and all ratios."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(turns)]
    ratios = [their / our for our, their in pairs]
    our, their = (median(column) for column in zip(*pairs, strict=True))
    return our, their, median(ratios), ratios


def at_most(value: float, bar: float, sign: str = "×") -> str:
    """The value, and whether it is at most the bar."""
    return f"{sign}{value:.3g} (bar: at most {sign}{bar:g}, {'met' if value <= bar else 'missed'})"


def at_least(value: float, bar: float, sign: str = "×") -> str:
    """The value, and whether it is at least the bar."""
    return f"{sign}{value:.3g} (bar: at least {sign}{bar:g}, {'met' if value >= bar else 'missed'})"


def below(value: float, bar: float) -> str:
    """The value, and whether it is below the bar."""
    return f"{value:.1e} (bar: below {bar:g}, {'met' if value < bar else 'missed'})"


def lines(name: str) -> Iterator[str]:
    """What a benchmark prints, as it comes."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}", *COMMANDS[name]]
    print(f"python -m tests.benchmarks.{' '.join([name, *COMMANDS[name]])}", flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(f"    {line}", end="", flush=True)
            yield line.strip()


def main() -> None:
    """Run them; exit with 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS), metavar="NAME")
    given = parser.parse_args()
    with_bar = [f"{name}: {line}" for name in given.only for line in lines(name) if "(bar" in line]
    print("\n".join(["", *with_bar]))
    sys.exit(1 if any("missed" in line for line in with_bar) else 0)


if __name__ == "__main__":
    main()
