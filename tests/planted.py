"""Networks that read the planted images.

Verdicts of tests are given on a `stored_network`, whose weights are stored beside this file: a network that is trained
on the spot is another one on another processor, and where a verdict lies near its line there, so is the verdict.
`python -m tests.planted` trains and stores them anew. `planted_network` trains, once: its weights stay with those of
`tests.networks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pytest_saliency_sanity.planted import PlantedImages, images, planted_images, shapes
from tests import machine
from tests.digits import Digits
from tests.networks import training
from tests.networks.evaluation import ResidualBlock
from tests.networks.training import CACHE, _save, accuracy, fit

TRAINING_SEED = 10_000  # images of this seed, plus the network's, are trained on: use others to explain
TRAINING_IMAGES = 1_600
WEIGHTS = Path(__file__).with_name("weights")
STORED = {"plain": range(3), "residual": range(1)}  # seeds whose weights are there, in half precision


def planted_network(kind: str = "plain", seed: int = 0) -> nn.Module:
    """A network of its own, one of `KINDS`, that tells the four shapes apart anywhere in 32×32 pixels, in eval mode.

    Equal kinds and seeds give equal weights; the global random state stays as it was.
    """
    weights = CACHE / f"planted-{kind}-{seed}-{_fingerprint()}.pt"
    model = _initial(kind, seed)
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        fit(model, as_digits(planted_images(TRAINING_IMAGES, TRAINING_SEED + seed)), seed)
        _save(model, weights)
    return model.eval()


def planted_cnn(seed: int = 0) -> nn.Module:
    """The `stored_network` of the first kind: three convolutions and a linear head, in eval mode."""
    return stored_network("plain", seed)


def stored_network(kind: str, seed: int = 0) -> nn.Module:
    """The `planted_network` of that kind and seed as it was stored; one that is not stored is trained."""
    if seed not in STORED.get(kind, ()):
        return planted_network(kind, seed)
    model = _initial(kind, seed)
    model.load_state_dict(load_file(_stored(kind, seed)))
    machine.start_like_another(model.parameters())
    return model.eval()


def store() -> None:
    """Trains the networks that are stored, and writes them."""
    WEIGHTS.mkdir(exist_ok=True)
    for kind, seeds in STORED.items():
        for seed in seeds:
            weights = planted_network(kind, seed).state_dict()
            save_file({name: _halved(value) for name, value in weights.items()}, _stored(kind, seed))


def _stored(kind: str, seed: int) -> Path:
    return WEIGHTS / f"planted_{kind}_{seed}.safetensors"


def _halved(values: Tensor) -> Tensor:
    return values.half() if values.is_floating_point() else values


def planted_accuracy(model: nn.Module, data: PlantedImages) -> float:
    """The fraction of `data` that `model` reads right."""
    return accuracy(model, as_digits(data))


def as_digits(data: PlantedImages) -> Digits:
    """The images and labels, as the tests' training takes them."""
    return Digits(data.images, data.labels)


def _initial(kind: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return KINDS[kind]()


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip


def _vgg() -> nn.Module:
    """Pairs of convolutions and two linear layers, which know where in the image something is."""
    return nn.Sequential(
        *_pair(1, 12), nn.MaxPool2d(2), *_pair(12, 24), nn.MaxPool2d(2), *_pair(24, 32),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(128, 48), nn.ReLU(), nn.Linear(48, 4),
    )  # fmt: skip


def _pair(channels: int, width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
    ]  # fmt: skip


class _Residual(nn.Module):
    """Residual blocks, and the mean over the image before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(ResidualBlock(12, 32, 2), ResidualBlock(32, 32, 1))
        self.head = nn.Linear(32, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))


KINDS: Mapping[str, Callable[[], nn.Module]] = {"plain": _plain, "vgg": _vgg, "residual": _Residual}


@cache
def _fingerprint() -> str:
    """Changes with the images' source, the training's, this file and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (images.__file__, shapes.__file__, training.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    store()
