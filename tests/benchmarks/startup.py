"""What the plugin costs at every start of pytest: `python -m tests.benchmarks.startup [pairs]`.

Runs `pytest --help` with and without the plugin, in turns, each in a fresh interpreter, and prints the
medians of the times, of their paired differences and of their paired ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

_HELP = [sys.executable, "-m", "pytest", "--help", "-p", "no:cacheprovider"]
_WITHOUT = [*_HELP, "-p", "no:saliency_sanity"]
_SET_ASIDE = ("PYTEST_ADDOPTS", "PYTHONDONTWRITEBYTECODE")
_LIMIT = 30.0  # milliseconds


def main(pairs: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as empty:
        _milliseconds(_HELP, empty), _milliseconds(_WITHOUT, empty)  # fills the caches of compiled modules
        times = [_pair(empty, swapped=bool(turn % 2)) for turn in range(pairs)]
    with_plugin, without = zip(*times, strict=True)
    difference = statistics.median(a - b for a, b in times)
    print(f"pytest --help, {pairs} pairs, medians")
    print(f"  without the plugin  {statistics.median(without):7.1f} ms")
    print(f"  with the plugin     {statistics.median(with_plugin):7.1f} ms")
    print(f"  paired difference   {difference:7.1f} ms   (limit {_LIMIT:.0f} ms)")
    print(f"  paired ratio        {statistics.median(a / b for a, b in times):7.3f}")


def _pair(directory: str, *, swapped: bool) -> tuple[float, float]:
    """(with, without) the plugin; every other pair in the other order, so that a drift cancels."""
    if swapped:
        without = _milliseconds(_WITHOUT, directory)
        return _milliseconds(_HELP, directory), without
    return _milliseconds(_HELP, directory), _milliseconds(_WITHOUT, directory)


def _milliseconds(command: list[str], directory: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in _SET_ASIDE}
    environment["PYTHONPYCACHEPREFIX"] = (
        directory  # compiled modules are cached, as they are where pip installs
    )
    start = time.perf_counter()
    subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="?", type=int, default=21, help="of runs (default: 21)")
    main(parser.parse_args().pairs)
