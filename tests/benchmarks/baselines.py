"""How often a baseline accuses a network that differs in its seed only: the example's verdicts for four networks.

python -m tests.benchmarks.baselines
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from pytest_saliency_sanity.report.comparison import REGRESSION, Recorded, compared
from pytest_saliency_sanity.report.document import Report
from tests.manual import ROOT


def verdicts(seed: int, folder: Path) -> list[Recorded]:
    """Those of the example with a network of this seed."""
    path = folder / f"{seed}.json"
    line = [
        sys.executable, "-m", "pytest", "-q", "example_project", "-p", "no:cacheprovider",
        f"--saliency-json={path}", f"--saliency-cache={folder / 'networks'}",
    ]  # fmt: skip
    environment = {**os.environ, "DIGIT_READER_SEED": str(seed), "OMP_NUM_THREADS": "1"}
    subprocess.run(line, cwd=ROOT, env=environment, capture_output=True)
    return [entry.recorded for entry in Report.read(path).entries]


def rates(runs: list[list[Recorded]]) -> Counter[str]:
    """Over ordered pairs of runs: expected failures compared, those whose statistic or whole interval got worse."""
    counts: Counter[str] = Counter()
    for before, after in permutations(runs, 2):
        known = {one.key: one for one in before}
        for one in after:
            old = known.get(one.key)
            if old is None or not old.outcome == one.outcome == "fail":
                continue
            counts["expected failures compared"] += 1
            counts["the whole interval beyond the old one"] += _worse(old, one)
            same = replace(one, provenance=old.provenance)  # as if the weights were the same
            counts["the statistic beyond the old interval"] += _worse(old, same)
    return counts


def _worse(old: Recorded, new: Recorded) -> bool:
    return any(change.kind == REGRESSION for change in compared([old], [new]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4, help="networks (default: 4)")
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        for name, count in rates([verdicts(seed, Path(folder)) for seed in range(seeds)]).items():
            print(f"{count:4d}  {name}")


if __name__ == "__main__":
    main()
