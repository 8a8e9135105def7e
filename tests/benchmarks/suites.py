"""`python -m tests.benchmarks.suites`: where the time of the example project's tests goes, and of this project's own.

The example project is run once in a process of its own, under cProfile and with one thread of torch: seconds of each of
its tests, and of what of this package, of torch and of others they were spent in. `--own` runs the default tests of
this project instead, as CI does (`-n 2`), and prints the seconds of each folder and the slowest tests.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KINDS = {  # part of a path, and what it is
    "<method": "torch, NumPy and Python, compiled", "<built-in": "torch, NumPy and Python, compiled",
    "/torch/": "torch, in Python", "pytest_saliency_sanity": "this package, in Python", "/_pytest/": "pytest",
    "pluggy": "pytest", "importlib": "imports", "/skimage/": "scikit-image", "/scipy/": "SciPy",
}  # fmt: skip


class Seconds:
    """A plugin of pytest that adds up how long tests take, with their fixtures."""

    def __init__(self) -> None:
        self.began, self.collected = time.perf_counter(), 0.0
        self.tests: Counter[str] = Counter()

    def pytest_collection_finish(self) -> None:
        """How long it took until here."""
        self.collected = time.perf_counter() - self.began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of each phase of a test."""
        self.tests[report.nodeid] += report.duration  # type: ignore[assignment]


def ran(flags: list[str]) -> None:
    """Run pytest in this folder, and print the seconds as JSON in the last line."""
    seconds, profile = Seconds(), cProfile.Profile()
    if "-n" not in flags:
        profile.enable()
    pytest.main(["-q", *flags], plugins=[seconds])
    profile.disable()
    found = {"collected": seconds.collected, "tests": seconds.tests, "kinds": kinds(profile)}
    print(f"\n{json.dumps(found)}")


def kinds(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds by what they were spent in, without what that called."""
    found: Counter[str] = Counter()
    if profile.getstats():
        for (file, _, name), values in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
            where = name if file == "~" else file
            found[next((kind for part, kind in KINDS.items() if part in where), "others")] += values[2]
    return dict(found)


def measured(folder: Path, flags: Iterable[str]) -> dict[str, Any]:
    """The seconds of a run of pytest in a folder, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--inner", *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    print(*(line for line in lines if line.startswith("FAILED") or " passed" in line), sep="\n")
    found: dict[str, Any] = json.loads(last)
    return found


def example() -> None:
    """Print where the time of the example project's tests goes."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(ROOT / "example_project", project, ignore=shutil.ignore_patterns(".pytest_cache"))
        found = measured(project, ["-p", "no:randomly"])
    whole = sum(found["tests"].values())
    print(
        f"the example project: {found['collected']:.1f} s until the first test, {whole:.1f} s in tests, under cProfile"
    )
    _show(found["tests"], whole, 8)
    print("what the seconds are spent in, without what that calls:")
    _show(found["kinds"], sum(found["kinds"].values()), 8)


def own() -> None:
    """Print where the time of this project's default tests goes."""
    found = measured(ROOT, ["-n", "2"])
    whole, folders = sum(found["tests"].values()), Counter[str]()
    for name, seconds in found["tests"].items():
        parts = name.partition("::")[0].split("/")
        folders["/".join(parts[:2]) if len(parts) > 2 else parts[-1]] += seconds
    print(f"this project: {len(found['tests'])} tests, {whole:.0f} s in them, shared by two processes")
    _show(folders, whole, 20)
    print("the slowest tests:")
    _show(found["tests"], whole, 20)


def _show(seconds: dict[str, float], whole: float, most: int) -> None:
    for name, value in Counter(seconds).most_common(most):
        print(f"    {value:6.1f} s  {value / whole:4.0%}  {name}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--own", action="store_true", help="the default tests of this project")
    parser.add_argument("--inner", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner is not None:
        ran(given.inner)
    elif given.own:
        own()
    else:
        example()


if __name__ == "__main__":
    main()
