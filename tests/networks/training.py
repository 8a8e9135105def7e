"""Trains a network on the digits in seconds, and once: weights stay among the system's temporary files."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import machine
from tests.digits import DIGITS_FILE, Digits, train_digits
from tests.networks.development import DEVELOPMENT
from tests.networks.evaluation import EVALUATION

NETWORKS = {**EVALUATION, **DEVELOPMENT}
CACHE = Path(tempfile.gettempdir()) / "pytest_saliency_sanity_networks" / machine.fingerprint()

BATCH = 32
LEARNING_RATE = 4e-3
EASY_ACCURACY = 0.9
EASY_EPOCHS = 14
DECAY_EPOCHS = 4


def train(name: str, seed: int = 0) -> nn.Module:
    """The network of that name in `EVALUATION` or `DEVELOPMENT`, trained on `train_digits()`, in eval mode.

    Each call returns a module of its own. Equal seeds give equal weights, whatever the number of threads;
    the global random state stays as it was.
    """
    constructor = NETWORKS[name]
    weights = CACHE / f"{name}-{seed}-{_fingerprint(constructor.__module__)}.pt"
    with _seeded(seed):
        model = constructor()
        if weights.exists():
            model.load_state_dict(torch.load(weights, weights_only=True))
        else:
            _fit(model, train_digits())
            _save(model, weights)
    return model.eval()


def fit(model: nn.Module, digits: Digits, seed: int = 0) -> nn.Module:
    """Trains `model` in place on `digits` as `train` does, without the cache; returns it in eval mode."""
    with _seeded(seed):
        _fit(model, digits)
    return model.eval()


def accuracy(model: nn.Module, digits: Digits) -> float:
    """The fraction of `digits` that `model` reads right."""
    with torch.no_grad():
        return (model(digits.images).argmax(1) == digits.labels).float().mean().item()


def _fit(model: nn.Module, digits: Digits) -> None:
    """Adam at a constant rate until most shifted digits are read right, then at a rate that falls to zero.

    The first part takes a convolutional network 2 epochs and a transformer 8; the second is what makes
    weights steady, with a gain of 2 to 4 % on the held-out digits.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    epoch_steps = -(-len(digits.labels) // BATCH)
    _run(model, optimizer, digits, [(step + 1) / epoch_steps for step in range(epoch_steps)])
    for _ in range(EASY_EPOCHS - 1):
        if _run(model, optimizer, digits, [1.0] * epoch_steps) >= EASY_ACCURACY:
            break
    decay_steps = DECAY_EPOCHS * epoch_steps
    rates = [1 - step / decay_steps for step in range(decay_steps)]
    for start in range(0, decay_steps, epoch_steps):
        _run(model, optimizer, digits, rates[start : start + epoch_steps])


def _run(model: nn.Module, optimizer: torch.optim.Optimizer, digits: Digits, rates: list[float]) -> float:
    """One epoch, a step for each of `rates`; returns the accuracy while it trained."""
    hits = 0
    for rate, batch in zip(rates, torch.randperm(len(digits.labels)).split(BATCH), strict=True):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate
        scores = model(_shifted(digits.images[batch]))
        optimizer.zero_grad()
        F.cross_entropy(scores, digits.labels[batch]).backward()
        optimizer.step()
        hits += int((scores.argmax(1) == digits.labels[batch]).sum())
    optimizer.zero_grad()
    return hits / len(digits.labels)


def _shifted(images: Tensor) -> Tensor:
    """Each image moved by up to one pixel: 2,000 digits alone are too few for a transformer."""
    windows = F.pad(images, (1, 1, 1, 1)).unfold(2, images.shape[2], 1).unfold(3, images.shape[3], 1)
    down, right = torch.randint(3, (2, len(images)))
    return windows[torch.arange(len(images)), :, down, right]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The CPU's random stream of `seed`, on one thread, since sums over threads round differently."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _save(model: nn.Module, path: Path) -> None:
    """Writes beside `path` and renames: another process may be training the same network."""
    path.parent.mkdir(exist_ok=True, parents=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    torch.save(model.state_dict(), unfinished)
    unfinished.replace(path)


@cache
def _fingerprint(module: str) -> str:
    """Changes with the networks' source, this file, the digits and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (sys.modules[module].__file__, __file__, DIGITS_FILE):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]
