"""A network that reads the planted images, trained once: its weights stay with those of `tests.networks`."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import torch
from torch import nn

from pytest_saliency_sanity import planted
from pytest_saliency_sanity.planted import PlantedImages, planted_images
from tests.digits import Digits
from tests.networks import training
from tests.networks.training import CACHE, _save, accuracy, fit

TRAINING_SEED = 10_000  # images of this seed, plus the network's, are trained on: use others to explain
TRAINING_IMAGES = 1_600


def planted_cnn(seed: int = 0) -> nn.Module:
    """A network of its own that tells the four shapes apart anywhere in 32×32 pixels, in eval mode.

    Equal seeds give equal weights; the global random state stays as it was.
    """
    weights = CACHE / f"planted-{seed}-{_fingerprint()}.pt"
    model = _initial(seed)
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        fit(model, as_digits(planted_images(TRAINING_IMAGES, TRAINING_SEED + seed)), seed)
        _save(model, weights)
    return model.eval()


def planted_accuracy(model: nn.Module, data: PlantedImages) -> float:
    """The fraction of `data` that `model` reads right."""
    return accuracy(model, as_digits(data))


def as_digits(data: PlantedImages) -> Digits:
    """The images and labels, as the tests' training takes them."""
    return Digits(data.images, data.labels)


def _initial(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 4),
        )  # fmt: skip


@cache
def _fingerprint() -> str:
    """Changes with the images' source, the training's, this file and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (planted.__file__, training.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]
