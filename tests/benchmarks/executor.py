"""`python -m tests.benchmarks.executor`: what an audit takes on a pool of two processes, beside this process alone.

A convolutional network with random weights, one thread of torch in each process, explainers of this package on the
checks that ask for a model and inputs alone. The two take turns, A B A B A; each B is held against the mean of the two
around it, for a machine's pace changes. Nothing that was made for one is kept for the next: in this process what is
kept is forgotten, and the pool is a new one, whose start (each process imports torch) is measured apart. Printed are
the seconds of each, those of the processors, whether the verdicts are the same, and whether the median of the ratios
reaches the bar of ×1.8 by two processes. A run in which other processes take a part of the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pytest_saliency_sanity import Audit, Case, audit
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.suite import evaluation
from tests.benchmarks.audit import TEN
from tests.suite.audits import same

CHECKS = ("contract", "model_sensitivity", "target_sensitivity", "consistency", "insertion_deletion")

BAR = 1.8  # by two processes
_STATISTICS = Path("/proc/stat")
_OTHERS = 0.05  # of the processors, from which a run does not count
_TRIES = 3  # runs for each one that counts
CHOSEN = ("gradient", "sobel", "input_x_gradient", "integrated_gradients", "smoothgrad", "guided_backprop")


def network(size: int, width: int) -> nn.Module:
    """Three convolutions and a linear layer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (3, width, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * width, 10)).eval()


@dataclass(frozen=True)
class Timed:
    """An audit, its seconds, those of its processes, of all processes of the machine, and what a pool took to start."""

    found: Audit
    seconds: float
    processors: float
    busy: float
    started: float = 0.0


def timed(case: Case, chosen: Mapping[str, Any], checks: Sequence[str], executor: Executor | None) -> Timed:
    """An audit, with nothing kept of any before in this process."""
    control_audit._SURVEYS = control_audit.ControlSurveys()
    evaluation._contracts.clear()
    began, own, whole = time.perf_counter(), time.process_time(), busy()
    found = audit(chosen, case, checks, progress=False, executor=executor)
    return Timed(found, time.perf_counter() - began, time.process_time() - own, busy() - whole)


def busy() -> float:
    """Processor seconds of all processes since the machine's start, its host's others included; 0 but on Linux."""
    if not _STATISTICS.exists():
        return 0.0
    user, nice, system, _idle, _waiting, *interrupts = map(int, _STATISTICS.read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def pooled(case: Case, chosen: Mapping[str, Any], checks: Sequence[str], workers: int) -> Timed:
    """An audit by a new pool."""
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        wait([pool.submit(ready, 8.0) for _ in range(workers)])
        started = time.perf_counter() - began
        before = spent(pool, workers)
        one = timed(case, chosen, checks, pool)
        after = spent(pool, workers)
    processors = one.processors + sum(after[process] - before.get(process, 0.0) for process in after)
    return replace(one, processors=processors, started=started)


def spent(pool: Executor, workers: int) -> dict[int, float]:
    """By process the processor seconds of each worker, which is kept busy for long enough that each answers once."""
    return dict(pool.map(processor_seconds, [0.5] * workers))


def processor_seconds(pause: float) -> tuple[int, float]:
    """Of this process."""
    time.sleep(pause)
    return os.getpid(), time.process_time()


def ready(seconds: float) -> None:
    """Ask each check of another network: a process's first passes are slower. Long enough that each gets one."""
    began = time.monotonic()
    torch.set_num_threads(1)
    small = Case(model=network(16, 4), inputs=torch.randn(4, 3, 16, 16))
    audit({"gradient": TEN["gradient"]}, small, CHECKS, progress=False)
    time.sleep(max(seconds - (time.monotonic() - began), 0.0))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=32, help="of an image, in pixels (default: 32)")
    parser.add_argument("--width", type=int, default=16, help="channels of each convolution (default: 16)")
    parser.add_argument("--explainers", nargs="+", choices=TEN, default=CHOSEN, metavar="NAME")
    parser.add_argument("--checks", nargs="+", default=CHECKS, metavar="CHECK")
    given = parser.parse_args()
    torch.set_num_threads(1)
    case = Case(model=network(given.size, given.width), inputs=torch.randn(16, 3, given.size, given.size))
    chosen = {name: TEN[name] for name in given.explainers}
    ratios: list[float] = []
    timed(case, chosen, given.checks, None)  # the first passes of a process are slower
    alone = timed(case, chosen, given.checks, None)
    for run in range(_TRIES * given.runs):
        before, shared = alone, pooled(case, chosen, given.checks, given.workers)
        alone = timed(case, chosen, given.checks, None)
        one = mean(before, alone)
        ratios += [] if disturbed(before, shared, alone) else [one.seconds / shared.seconds]
        print(f"run {run + 1}, {compared(one, shared, given.workers)}", flush=True)
        print("    (others used the machine)\n" * disturbed(before, shared, alone), end="", flush=True)
        if len(ratios) == given.runs:
            break
    print(f"median of {len(ratios)} runs: {judged(ratios, given.workers)}")


def disturbed(*audits: Timed) -> bool:
    """Whether other processes took a part of the machine that tells."""
    return any(one.busy - one.processors > _OTHERS * (os.cpu_count() or 1) * one.seconds for one in audits)


def mean(before: Timed, after: Timed) -> Timed:
    """Of the audits around another one: the machine's pace changes."""
    seconds, processors = before.seconds + after.seconds, before.processors + after.processors
    return replace(after, seconds=seconds / 2, processors=processors / 2)


def compared(alone: Timed, shared: Timed, workers: int) -> str:
    """What one run shows."""
    return (
        f"{len(alone.found)} checks: {alone.seconds:.1f} s in one process ({alone.processors:.1f} of the processor), "
        f"{shared.seconds:.1f} s in {workers} ({shared.processors:.1f} of the processors; and {shared.started:.1f} s "
        f"to start them): ×{alone.seconds / shared.seconds:.2f}; "
        f"the verdicts are {'the same' if same(alone.found, shared.found) else 'NOT the same'}"
    )


def judged(ratios: Sequence[float], workers: int) -> str:
    """The median, and for two processes whether it reaches the bar."""
    if not ratios:
        return "none, others used the machine"
    ratio = statistics.median(ratios)
    bar = f", bar ×{BAR}: {'met' if ratio >= BAR else 'NOT met'}" if workers == 2 else ""
    return f"×{ratio:.2f}{bar}"


if __name__ == "__main__":
    main()
