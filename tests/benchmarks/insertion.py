"""`python -m tests.benchmarks.insertion`: what insertion and deletion curves cost, beside forward passes and peers.

ResNet-18 with random weights, images of 224×224, RISE's 225 evaluations, batches of 4, two threads. A turn is a group
of four images, of which one after the other are asked for, in the same process:

- our curves, and nothing but forward passes of as many images, half of them before and half after;
- our curves and RISE's program: both modes, a step at a time, the images of a group in one batch;
- our deletion curve and Quantus' PixelFlipping, which moves each channel apart: 168 steps of 4 × 224 values, since it
  takes no number of values that does not divide the number of pixels;
- our curves and torchcam's DeletionInsertionMetric, both modes with the infill zero.

The targets are known to all but torchcam, whose own forward pass for its map is part of its time; ours gets its map
from the first convolution, as torchcam does, outside of it. What is printed are medians over the groups. Peers that are
not installed are left out (`pip install pytest-saliency-sanity[bench]`).
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.perturbations.infills import blurred
from pytest_saliency_sanity.perturbations.insertion import perturbation_curves
from tests.benchmarks.bars import at_least, at_most, in_turn, seconds

BATCH, GROUP, SIZE = 4, 4, 224
DEAREST = 1.10  # times the pure forward passes


@dataclass(frozen=True)
class Work:
    """What is measured: the images of one group, their maps and targets, and the number of steps."""

    model: torch.nn.Module
    images: Tensor
    maps: Tensor
    targets: Tensor
    steps: int

    @property
    def pixels(self) -> int:
        """Of a step."""
        return SIZE * SIZE // self.steps


def setting(images: int, steps: int) -> list[Work]:
    """The network, the images, and a random map of each, in groups."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    inputs, maps = torch.randn(images, 3, SIZE, SIZE), torch.randn(images, SIZE, SIZE)
    model = resnet18(weights=None).eval()
    groups = zip(inputs.split(GROUP), maps.split(GROUP), strict=True)
    return [
        Work(model, own, of_own, torch.zeros(len(own), dtype=torch.long), steps) for own, of_own in groups
    ]


# Ours, and nothing but passes.


def ours(work: Work, **options: Any) -> Any:
    return perturbation_curves(
        work.model, work.images, work.maps, work.targets, steps=work.steps, batch_size=BATCH, **options
    )


def passed(work: Work) -> int:
    """How many images the network sees: the ends are shared by both modes, and there are two infills."""
    return len(work.images) * (1 + 2) + 2 * len(work.images) * (work.steps - 1)


@torch.no_grad()
def passes(work: Work, count: int) -> None:
    batch = work.images[torch.arange(BATCH) % len(work.images)]
    for start in range(0, count, BATCH):
        work.model(batch[: count - start])


def beside_passes(work: Work) -> float:
    """Our seconds over those of as many images in pure passes, half of them before and half after."""
    count = passed(work)
    half = count // BATCH // 2 * BATCH
    before = seconds(lambda: passes(work, half))
    own = seconds(lambda: ours(work))
    return own / (before + seconds(lambda: passes(work, count - half)))


# Peers.


@torch.no_grad()
def rise(work: Work) -> None:
    """`CausalMetric.evaluate` of RISE's evaluation.py in both modes, on the CPU, with targets that are known."""
    model = torch.nn.Sequential(work.model, torch.nn.Softmax(dim=1))
    order = np.flip(np.argsort(work.maps.numpy().reshape(len(work.maps), -1), axis=1), axis=-1)
    row = np.arange(len(work.images))[:, None]
    for start, finish in (
        (work.images.clone(), torch.zeros_like(work.images)),
        (blurred(work.images), work.images.clone()),
    ):
        begun, finished = (one.numpy().reshape(len(one), 3, -1) for one in (start, finish))
        scores = np.empty((work.steps + 1, len(start)))
        for step in range(work.steps + 1):
            for first in range(0, len(start), BATCH):
                found = model(start[first : first + BATCH]).numpy()
                scores[step, first : first + BATCH] = found[range(len(found)), 0]
            moved = order[:, work.pixels * step : work.pixels * (step + 1)]
            begun[row, :, moved] = finished[row, :, moved]


def pixel_flipping(work: Work) -> None:
    import quantus

    metric = quantus.PixelFlipping(
        features_in_step=4 * work.pixels, perturb_baseline="black", disable_warnings=True, normalise=False
    )
    maps = work.maps[:, None].expand_as(work.images).numpy()
    metric(
        model=work.model, x_batch=work.images.numpy(), y_batch=work.targets.numpy(), a_batch=maps, device="cpu",
        batch_size=BATCH, softmax=True,
    )  # fmt: skip


def torchcam(work: Work) -> None:
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    with GradCAM(work.model, target_layer="conv1") as extractor:
        metric = DeletionInsertionMetric(
            extractor, partial(torch.softmax, dim=-1), steps=work.steps, batch_size=BATCH
        )
        metric.update(work.images, class_idx=work.targets.tolist())


Action = Callable[[Work], Any]
PEERS: Mapping[str, tuple[str, Action, Action]] = {
    "RISE's program, both modes": ("numpy", ours, rise),
    "Quantus PixelFlipping, deletion": (
        "quantus",
        lambda work: ours(replace(work, steps=3 * work.steps // 4), modes="deletion", infill="zero"),
        pixel_flipping,
    ),
    "torchcam DeletionInsertionMetric": ("torchcam", lambda work: ours(work, infill="zero"), torchcam),
}


def beside(peer: str, groups: list[Work], turns: int) -> str:
    """A row of the table."""
    module, mine, theirs = PEERS[peer]
    if importlib.util.find_spec(module) is None:
        return f"{peer}: not installed"
    found = [in_turn(partial(mine, work), partial(theirs, work), turns) for work in groups]
    own, other = (median(group[column] for group in found) for column in (0, 1))
    ratio = median(value for group in found for value in group[3])
    return f"{peer}: ours {own:.1f} s, theirs {other:.1f} s a group: {at_least(ratio, 1)} faster"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=224)
    parser.add_argument("--turns", type=int, default=1, help="of each group (default: 1)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-peers", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    groups = setting(given.images, given.steps)
    passes(groups[0], 2 * BATCH)  # the first passes of a process are slower than all others
    ratios = [beside_passes(work) for work in groups for _ in range(given.turns)]
    total = sum(map(passed, groups))
    print(
        f"{given.images} images, {given.steps + 1} evaluations of each mode, {total} images through the network: "
        f"curves / passes alone {at_most(median(ratios), DEAREST)}",
        flush=True,
    )
    for peer in PEERS if not given.without_peers else ():
        print(beside(peer, groups, given.turns), flush=True)


if __name__ == "__main__":
    main()
