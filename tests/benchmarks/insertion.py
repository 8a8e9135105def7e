"""`python -m tests.benchmarks.insertion`: what insertion and deletion curves cost beside the forward passes.

ResNet-18 with random weights, images of 224×224, RISE's 225 evaluations of both modes, two threads. Half of the
pure passes run before the curves of a group of images and half after, in the same process, over the same number
of images in batches of the same size, so that a machine that slows down slows both. The bar is ×1.15.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

BATCH = 16
GROUP = 4  # images whose curves are measured between two halves of their pure passes


def setting(images: int) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network, the images, and a random map of each."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    inputs, maps = torch.randn(images, 3, 224, 224), torch.randn(images, 224, 224)
    return resnet18(weights=None).eval(), inputs, maps


def seconds(action: Callable[..., Any], *arguments: Any, **options: Any) -> float:
    """How long it takes."""
    start = time.perf_counter()
    action(*arguments, **options)
    return time.perf_counter() - start


def passes(model: torch.nn.Module, inputs: torch.Tensor, count: int) -> None:
    """Nothing but forward passes of `count` images."""
    batch = inputs[torch.arange(BATCH) % len(inputs)]
    with torch.no_grad():
        for start in range(0, count, BATCH):
            model(batch[: count - start])


def compare(images: int, steps: int) -> None:
    """Print the time of the curves as a ratio to the pure forward passes, group by group and in all."""
    model, inputs, maps = setting(images)
    passes(model, inputs, 2 * BATCH)  # the first passes of a process are slower than all others
    ours = pure = 0.0
    for group, group_maps in zip(inputs.split(GROUP), maps.split(GROUP), strict=True):
        curves, alone = both(model, group, group_maps, steps)
        print(
            f"{len(group)} images: curves {curves:.1f} s, passes {alone:.1f} s: ×{curves / alone:.3f}",
            flush=True,
        )
        ours, pure = ours + curves, pure + alone
    print(
        f"{images} images, {steps + 1} evaluations of each mode, {passed(images, steps)} images through the network: "
        f"curves {ours:.1f} s, passes alone {pure:.1f} s: ×{ours / pure:.3f}"
    )


def both(model: torch.nn.Module, inputs: torch.Tensor, maps: torch.Tensor, steps: int) -> tuple[float, float]:
    """Seconds of the curves, and of as many images in pure passes, half of them before and half after."""
    from pytest_saliency_sanity.perturbations.insertion import perturbation_curves

    targets = torch.zeros(len(inputs), dtype=torch.long)
    count = passed(len(inputs), steps)
    half = count // BATCH // 2 * BATCH
    before = seconds(passes, model, inputs, half)
    ours = seconds(perturbation_curves, model, inputs, maps, targets, steps=steps, batch_size=BATCH)
    return ours, before + seconds(passes, model, inputs, count - half)


def passed(images: int, steps: int) -> int:
    """How many images the network sees: the ends are shared by both modes, and there are two infills."""
    return images * (1 + 2) + 2 * images * (steps - 1)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=224)
    given = parser.parse_args()
    torch.set_num_threads(2)
    compare(given.images, given.steps)


if __name__ == "__main__":
    main()
