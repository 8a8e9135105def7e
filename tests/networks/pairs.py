"""Small networks that tell two classes apart, in the manner of ResNet-18 and VGG-16, trained once: for GAD.

Their inputs are centered: a pixel of 0 is the mean of all pixels, as where photographs are normalized.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from skimage.data import lfw_subset
from torch import Tensor, nn

from tests import machine
from tests.digits import Digits, held_out_digits, train_digits
from tests.networks import evaluation, training
from tests.networks.evaluation import ResidualBlock
from tests.networks.training import CACHE, _save, accuracy, fit

PAPER_COUNT = 256  # digits of each class
TRAINED_ON = 200  # of these


@dataclass(frozen=True)
class TwoClasses:
    """Images of two classes.

    Attributes:
        name: of the data.
        classes: the names of 0 and 1.
        images: (N, 1, S, S) float32, centered.
        labels: (N,) int64, 0 and 1.
        trained_on: (N,) bool.
    """

    name: str
    classes: tuple[str, str]
    images: Tensor
    labels: Tensor
    trained_on: Tensor

    def first(self, few: int) -> TwoClasses:
        """The first few images of each class."""
        chosen = torch.cat([(self.labels == k).nonzero()[:few, 0] for k in (0, 1)])
        kept = {name: getattr(self, name)[chosen] for name in ("images", "labels", "trained_on")}
        return replace(self, **kept)

    def part(self, chosen: Tensor) -> Digits:
        """The images and labels of a part, as the tests' training takes them."""
        return Digits(self.images[chosen], self.labels[chosen])


def digits(file: Path | None = None) -> TwoClasses:
    """Fours and nines, of each 200 to train on: the 240 that the project holds, or the first 256 of a file.

    Args:
        file: an npz with `images` (N, 28, 28) uint8 and `labels` (N,), such as all of MNIST: the paper takes 256.
    """
    images, labels = _held() if file is None else _read(file)
    chosen = torch.cat([(labels == k).nonzero()[:PAPER_COUNT, 0] for k in (4, 9)])
    place = torch.cat([torch.arange(int((labels[chosen] == k).sum())) for k in (4, 9)])
    name = "digits" if file is None else f"digits of {file.stem}"
    return TwoClasses(
        name, ("4", "9"), _centered(images[chosen]), (labels[chosen] == 9).long(), place < TRAINED_ON
    )


def _held() -> Digits:
    """All the project has: those to train on come first."""
    sets = train_digits(), held_out_digits()
    return Digits(*(torch.cat([one[part] for one in sets]) for part in (0, 1)))


def _read(file: Path) -> Digits:
    with np.load(file) as arrays:
        images = torch.from_numpy(arrays["images"]).unsqueeze(1).float() / 255
        return Digits(machine.like_another(images), torch.from_numpy(arrays["labels"]).long())


def faces() -> TwoClasses:
    """scikit-image's 100 faces (class 0) and 100 other pieces of photographs, 25×25; every other one is trained on."""
    images = machine.like_another(torch.from_numpy(lfw_subset()).float().unsqueeze(1))
    labels = (torch.arange(200) >= 100).long()
    return TwoClasses("faces", ("face", "other"), _centered(images), labels, torch.arange(200) % 2 == 0)


def _centered(images: Tensor) -> Tensor:
    return (images - images.mean()) / images.std()


class ResNetLike(nn.Module):
    """Four stages of two residual blocks each, as in ResNet-18, and global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True)
        )
        widths = (12, 12, 24, 48, 64)
        blocks = [
            nn.Sequential(ResidualBlock(before, width, 1 + (before < width)), ResidualBlock(width, width, 1))
            for before, width in pairwise(widths)
        ]
        self.stages = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.stages(self.stem(images)).mean((2, 3)))


def vgg_like() -> nn.Module:
    """Convolutions of 3×3 between poolings and three linear layers, without normalization, as in VGG-16."""
    return nn.Sequential(
        *_conv_relu(1, 12), *_conv_relu(12, 12), nn.MaxPool2d(2),
        *_conv_relu(12, 24), *_conv_relu(24, 24), nn.MaxPool2d(2),
        *_conv_relu(24, 48), *_conv_relu(48, 48), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(48 * 9, 96), nn.ReLU(inplace=True), nn.Linear(96, 48), nn.ReLU(inplace=True),
        nn.Linear(48, 2),
    )  # fmt: skip


def _conv_relu(channels: int, width: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, 3, padding=1)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return [convolution, nn.ReLU(inplace=True)]


PAIRS: Mapping[str, Callable[[], nn.Module]] = {"ResNet-like": ResNetLike, "VGG-like": vgg_like}
DATA: Mapping[str, Callable[[], TwoClasses]] = {"digits": digits, "faces": faces}


def pair_network(kind: str, data: TwoClasses, seed: int = 0) -> nn.Module:
    """A network of its own, one of `PAIRS`, trained on a part of `data`, in eval mode.

    Equal arguments give equal weights; the global random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = PAIRS[kind]()
    weights = CACHE / f"pair-{kind}-{data.name}-{seed}-{_fingerprint()}.pt".replace(" ", "-")
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        fit(model, data.part(data.trained_on), seed)
        _save(model, weights)
    return model.eval()


def pair_accuracy(model: nn.Module, data: TwoClasses) -> tuple[float, float]:
    """The fractions that `model` gets right of what it was trained on, and of the rest."""
    return tuple(accuracy(model, data.part(chosen)) for chosen in (data.trained_on, ~data.trained_on))


@cache
def _fingerprint() -> str:
    """Changes with this file, the training's, the blocks' and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (training.__file__, evaluation.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]
