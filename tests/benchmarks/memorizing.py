"""`python -m tests.benchmarks.memorizing`: how fast permuted labels are memorized; do networks train faster together?

Every kind of network in tests/networks, 1,000 digits whose labels are permuted, the default trainer; then the same
number of Adam steps for several networks one after the other, and all at once through torch.func.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.label_permutation import permuted
from pytest_saliency_sanity.trained_networks.training import Options, fit
from tests.digits import train_digits
from tests.networks import DEVELOPMENT, EVALUATION

SAMPLES = 1_000


def memorize(name: str, seed: int) -> str:
    """A row of the table: one network, trained on permuted labels."""
    images, labels = (part[:SAMPLES] for part in train_digits())
    with replayed(seed):
        model = {**EVALUATION, **DEVELOPMENT}[name]()
        result = fit(model, (images,), permuted(labels, seed).labels, seed)
    return (
        f"{name:24} {seed:4} {result.epochs:7} {result.seconds:8.1f} {result.accuracy:9.3f}  {result.ended}"
    )


def together(make: Callable[[], nn.Module], count: int) -> float:
    """How many times faster `count` networks train at once than one after the other."""
    models, batches = [make() for _ in range(count)], _batches()
    return _fastest(lambda: _one_by_one(models, batches)) / _fastest(lambda: _at_once(models, batches))


def _one_by_one(models: list[nn.Module], batches: list[tuple[Tensor, Tensor]]) -> None:
    for model in models:
        adam = torch.optim.Adam(model.parameters())
        for images, labels in batches:
            adam.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            adam.step()


def _at_once(models: list[nn.Module], batches: list[tuple[Tensor, Tensor]]) -> None:
    parameters, _ = stack_module_state(models)
    parameters = {name: value.detach() for name, value in parameters.items()}

    def loss(own: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(models[0], own, (images,)), labels)

    gradients, adam = vmap(grad(loss), in_dims=(0, None, None)), torch.optim.Adam(parameters.values())
    for images, labels in batches:
        for name, gradient in gradients(parameters, images, labels).items():
            parameters[name].grad = gradient
        adam.step()


def _batches() -> list[tuple[Tensor, Tensor]]:
    size = Options().batch_size
    images, labels = (part[:SAMPLES].split(size) for part in train_digits())
    return list(zip(images, labels, strict=True))


def _fastest(call: Callable[[], None], repeat: int = 4) -> float:
    call()
    return min(_timed(call) for _ in range(repeat))


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def mlp() -> nn.Module:
    """The MLP of tests/networks, without the dropout that vmap would have to draw."""
    return EVALUATION["mlp"]().eval()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="train with the seeds 0 to N - 1 (default: 1)")
    given = parser.parse_args()
    print(f"{Options()}, {torch.get_num_threads()} threads")
    print(f"{'network':24} seed  epochs  seconds  accuracy  ended by")
    for name in given.names or [*EVALUATION, *DEVELOPMENT]:
        for seed in range(given.seeds):
            print(memorize(name, seed), flush=True)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, make in {"mlp": mlp, "plain_cnn": EVALUATION["plain_cnn"]}.items():
            ratios = ", ".join(f"{count} networks ×{together(make, count):.2f}" for count in (2, 4))
            print(f"{name}, {threads} threads, speed at once over one by one: {ratios}", flush=True)


if __name__ == "__main__":
    main()
