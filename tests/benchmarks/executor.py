"""`python -m tests.benchmarks.executor`: what an audit takes on a pool of two processes, beside this process alone.

A convolutional network with random weights, one thread of torch in each process, explainers of this package on the
checks that ask for a model and inputs alone. The two take turns, A B A B, and nothing that was made for one is kept for
the next: in this process what is kept is forgotten, and the pool is a new one, whose start (each process imports torch)
is measured apart. Printed are the seconds of each, the median of the ratios, and whether the verdicts are the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

import torch
from torch import nn

from pytest_saliency_sanity import Audit, Case, audit
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.suite import evaluation
from tests.benchmarks.audit import TEN
from tests.suite.audits import same

CHECKS = ("contract", "model_sensitivity", "target_sensitivity", "consistency", "insertion_deletion")

CHOSEN = ("gradient", "sobel", "input_x_gradient", "integrated_gradients", "smoothgrad", "guided_backprop")


def network(size: int, width: int) -> nn.Module:
    """Three convolutions and a linear layer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (3, width, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * width, 10)).eval()


def timed(case: Case, chosen: Mapping[str, Any], executor: Executor | None) -> tuple[float, Audit]:
    """The seconds of an audit, with nothing kept of any before in this process."""
    control_audit._SURVEYS = control_audit.ControlSurveys()
    evaluation._contracts.clear()
    began = time.perf_counter()
    found = audit(chosen, case, CHECKS, progress=False, executor=executor)
    return time.perf_counter() - began, found


def pooled(case: Case, chosen: Mapping[str, Any], workers: int) -> tuple[float, float, Audit]:
    """The seconds that a new pool takes to start, those of an audit by it, and the audit."""
    began = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        wait([pool.submit(ready, 8.0) for _ in range(workers)])
        started = time.perf_counter() - began
        seconds, found = timed(case, chosen, pool)
    return started, seconds, found


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
    given = parser.parse_args()
    torch.set_num_threads(1)
    case = Case(model=network(given.size, given.width), inputs=torch.randn(16, 3, given.size, given.size))
    chosen = {name: TEN[name] for name in given.explainers}
    ratios = []
    timed(case, chosen, None)  # the first passes of a process are slower
    for run in range(given.runs):
        alone, one = timed(case, chosen, None)
        started, shared, other = pooled(case, chosen, given.workers)
        ratios.append(alone / shared)
        print(
            f"run {run + 1}, {len(one)} checks: {alone:.1f} s in one process, {shared:.1f} s in {given.workers} "
            f"(and {started:.1f} s to start them): ×{ratios[-1]:.2f}; "
            f"the verdicts are {'the same' if same(one, other) else 'NOT the same'}",
            flush=True,
        )
    print(f"median of {given.runs} runs: ×{statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
