"""Trains every network and prints how good it is: `python -m tests.networks [--seeds N] [NAME ...]`."""

from __future__ import annotations

import argparse
import time

import torch

from tests.digits import held_out_digits, train_digits
from tests.networks.training import NETWORKS, accuracy, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.networks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="train with the seeds 0 to N - 1 (default: 1)")
    options = parser.parse_args()
    print(f"{'network':24} parameters seed  train held out  training  gradient")
    for name in options.names or NETWORKS:
        for seed in range(options.seeds):
            print(_row(name, seed), flush=True)


def _row(name: str, seed: int) -> str:
    start = time.perf_counter()
    model = train(name, seed)
    seconds = time.perf_counter() - start
    parameters = sum(parameter.numel() for parameter in model.parameters())
    train_accuracy, held_out = accuracy(model, train_digits()), accuracy(model, held_out_digits())
    return (
        f"{name:24} {parameters:10,} {seed:4} {train_accuracy:6.1%} {held_out:8.1%} {seconds:7.1f} s "
        f"{_gradient_milliseconds(model):6.1f} ms"
    )


def _gradient_milliseconds(model: torch.nn.Module, runs: int = 5) -> float:
    """One forward pass and input gradient of 16 digits."""
    images = held_out_digits().images[:16].requires_grad_()
    torch.autograd.grad(model(images).sum(), images)
    start = time.perf_counter()
    for _ in range(runs):
        torch.autograd.grad(model(images).sum(), images)
    return (time.perf_counter() - start) / runs * 1000


if __name__ == "__main__":
    main()
