"""`python -m tests.benchmarks.memorizing`: how fast permuted labels are memorized; do networks train faster together?

Every kind of network in tests/networks, 1,000 digits whose labels are permuted, the default trainer (A); beside it a
plain loop of Adam over as many epochs, with batches of the same size, which looks at nothing (B). `--turns 2` is
A B A B; what is printed are the medians, of the ratio too. Then the same number of Adam steps for several networks one
after the other, and all at once through torch.func.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.label_permutation import permuted
from pytest_saliency_sanity.trained_networks.training import Options, Training, fit
from tests.benchmarks.bars import seconds
from tests.digits import train_digits
from tests.networks import DEVELOPMENT, EVALUATION

SAMPLES = 1_000
NETWORKS = {**EVALUATION, **DEVELOPMENT}


def memorize(name: str, seed: int, turns: int) -> str:
    """A row of the table: one network, trained on permuted labels."""
    runs = []
    for _ in range(turns):
        result = trained(name, seed)
        runs.append((result.seconds, seconds(lambda epochs=result.epochs: plain(name, seed, epochs))))
    own, alone = (median(column) for column in zip(*runs, strict=True))
    ratio = median(ours / theirs for ours, theirs in runs)
    return (
        f"{name:24} {seed:4} {result.epochs:7} {own:8.1f} {alone:8.1f}  ×{ratio:4.2f} {result.accuracy:9.3f}  "
        f"{result.ended}"
    )


def trained(name: str, seed: int) -> Training:
    """By the default trainer, until the labels are memorized."""
    images, labels = permuted_digits(seed)
    with replayed(seed):
        return fit(NETWORKS[name](), (images,), labels, seed)


def plain(name: str, seed: int, epochs: int) -> None:
    """The loop that one would write, for as many epochs."""
    images, labels = permuted_digits(seed)
    with replayed(seed):
        model = NETWORKS[name]().train()
        adam = torch.optim.Adam(model.parameters(), Options().learning_rate)
        for _ in range(epochs):
            for batch in torch.randperm(len(labels)).split(Options().batch_size):
                loss = F.cross_entropy(model(images[batch]), labels[batch])
                adam.zero_grad()
                loss.backward()
                adam.step()


def permuted_digits(seed: int) -> tuple[Tensor, Tensor]:
    images, labels = (part[:SAMPLES] for part in train_digits())
    return images, permuted(labels, seed).labels


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
    return min(seconds(call) for _ in range(repeat))


def mlp() -> nn.Module:
    """The MLP of tests/networks, without the dropout that vmap would have to draw."""
    return EVALUATION["mlp"]().eval()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="train with the seeds 0 to N - 1 (default: 1)")
    parser.add_argument("--turns", type=int, default=1, help="of the trainer and the plain loop (default: 1)")
    parser.add_argument("--alone", action="store_true", help="leave out how networks train together")
    given = parser.parse_args()
    print(f"{Options()}, {torch.get_num_threads()} threads")
    print(f"{'network':24} seed  epochs  seconds    plain  ratio  accuracy  ended by")
    for name in given.names or NETWORKS:
        for seed in range(given.seeds):
            print(memorize(name, seed, given.turns), flush=True)
    for threads in () if given.alone else (1, 2):
        torch.set_num_threads(threads)
        for name, make in {"mlp": mlp, "plain_cnn": EVALUATION["plain_cnn"]}.items():
            ratios = ", ".join(f"{count} networks ×{together(make, count):.2f}" for count in (2, 4))
            print(f"{name}, {threads} threads, speed at once over one by one: {ratios}", flush=True)


if __name__ == "__main__":
    main()
