"""`python -m tests.benchmarks.growth`: how seconds and peak memory grow with images, draws, depths and pixels.

Model sensitivity of the gradient, on a convolutional network with random weights. Each size is a process of its own:
its seconds are those of the processor on one thread, its memory is what the highest resident set has grown since the
same check of a small size. Printed is each size, and the exponent: the slope of a line through the logarithms. The bar:
peak memory does not grow with the number of draws or depths (an exponent of .1 at most).

`--peaks` prints instead the peak memory of what the other benchmarks compare, ours and the peers', at their sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

BAR = 0.1
PLAIN = {"images": 16, "draws": 5, "depths": 3, "pixels": 64}
SIZES: dict[str, Sequence[int]] = {
    "images": (16, 32, 64), "draws": (5, 10, 20), "depths": (1, 2, 3, 12), "pixels": (48, 96, 192),
}  # fmt: skip
CONSTANT = ("draws", "depths")  # with which memory does not grow
DEPTHS = ("upper", "half", "all")


def network() -> nn.Module:
    """Eleven convolutions and a linear layer, for images of any size."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    for _ in range(10):
        layers += [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 5)).eval()


def ask(images: int, draws: int, depths: int, pixels: int) -> int:
    """The check, made to take all it may; how many maps it took."""
    from pytest_saliency_sanity import check_model_sensitivity, settings
    from pytest_saliency_sanity.explainers import gradient

    every = depths > len(DEPTHS)
    profile = settings.Profile("growth", images, draws, DEPTHS[:depths], 36_000.0, "fail")
    settings.PROFILES = {**settings.PROFILES, "growth": profile}
    inputs = torch.randn(images, 3, pixels, pixels)
    verdict = check_model_sensitivity(
        gradient, network(), inputs, depths="every" if every else DEPTHS[:depths], profile="growth"
    )
    return int(verdict.evidence["cost"]["images"])


def one(size: dict[str, int]) -> None:
    """Print seconds, peak memory in bytes and the maps of one size, as JSON."""
    torch.set_num_threads(1)
    ask(**{**PLAIN, "pixels": 32, "images": 8, "draws": 3})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    maps = ask(**size)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([seconds, peak * 1024, maps]))


def measured(size: dict[str, int]) -> tuple[float, int, int]:
    """The same, of a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--one", json.dumps(size)]
    # Memory that is free is given back, or the highest set depends on what the allocator keeps.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, peak, maps = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak, maps


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def show(what: str, sizes: Sequence[int]) -> None:
    """Print what each size takes, and the exponents."""
    found: list[Any] = [measured({**PLAIN, what: size}) for size in sizes]
    for size, (seconds, peak, maps) in zip(sizes, found, strict=True):
        print(f"{size:4d} {what}: {maps:5d} maps, {seconds:6.1f} s, {peak / 2**20:6.1f} MiB", flush=True)
    in_time, in_memory = (exponent(sizes, [max(one[k], math.ulp(1.0)) for one in found]) for k in (0, 1))
    met = f" (bar: at most {BAR:g}: {'met' if in_memory <= BAR else 'missed'})" if what in CONSTANT else ""
    print(
        f"exponents with {what}: {in_time:.2f} of the seconds, {in_memory:.2f} of the memory{met}", flush=True
    )


def compared() -> Mapping[str, Callable[[], Any]]:
    """What the other benchmarks compare, in fewer steps: none of it keeps anything of a step."""
    from tests.benchmarks import insertion, similarities

    work, maps = insertion.setting(4, 8)[0], similarities.maps(64, 224)
    found: dict[str, Callable[[], Any]] = {
        "forward passes of ResNet-18, 16 images": lambda: insertion.passes(work, 16),
        "insertion and deletion": lambda: insertion.ours(work),
    }
    found |= {name: partial(theirs, work) for name, (_, _, theirs) in insertion.PEERS.items()}
    for name, (peer, _) in similarities.PEERS.items():
        found[f"{name} of 64 maps"] = partial(similarities.figure, name, *maps)
        found[f"{name} of 64 maps, a loop"] = partial(
            similarities.looped, peer, *map(similarities.scaled, maps)
        )
    return found


def peak_of(name: str) -> None:
    """Print MiB above those of the same process with the network and the images."""
    action, before = compared()[name], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    action()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10)


def peaks() -> None:
    """Print the peak memory of each, of a process of its own."""
    for name in compared():
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--peak", name], capture_output=True, text=True, check=True
        )
        print(f"{name}: {float(done.stdout.splitlines()[-1]):.0f} MiB", flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--with", dest="chosen", nargs="+", choices=SIZES, default=list(SIZES), metavar="WHAT"
    )
    parser.add_argument("--peaks", action="store_true")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        one(given.one)
    elif given.peak:
        peak_of(given.peak)
    elif given.peaks:
        peaks()
    else:
        for what in given.chosen:
            show(what, SIZES[what])


if __name__ == "__main__":
    main()
