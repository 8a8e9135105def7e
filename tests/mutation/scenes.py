"""What an explainer is tried on: three kinds of networks, each trained on digits and on planted images, in color.

Pictures of one channel are tinted, each with a color of its own, and a first layer makes them gray. Without colors
no explainer could mix channels up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Case
from pytest_saliency_sanity.planted import planted_images
from tests.calibration.trials import held_out
from tests.digits import train_digits
from tests.networks import train
from tests.networks.training import NETWORKS as KINDS
from tests.planted import stored_network

NETWORKS = {"plain": "plain_cnn", "vgg": "vgg_bn", "residual": "residual"}  # planted, and of digits
IMAGES = 32
TRAINED_ON = 1000
GRAY = (0.3, 0.5, 0.2)


class Colored(nn.Module):
    """A network of gray images behind a layer that makes color gray."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.gray = nn.Conv2d(3, 1, 1, bias=False)
        with torch.no_grad():
            self.gray.weight.copy_(torch.tensor(GRAY).view(1, 3, 1, 1))
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.gray(images))


class Pair(nn.Module):
    """Two networks, one an input, whose scores are added."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.first(one) + self.second(other)


def tinted(images: Tensor, seed: int = 0) -> Tensor:
    """Each image in a color of its own, as bright as it was."""
    generator = torch.Generator().manual_seed(seed)
    colors = 0.4 + 0.6 * torch.rand(len(images), 3, 1, 1, generator=generator)
    brightness = (colors * torch.tensor(GRAY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return images * colors / brightness


def digits(kind: str, count: int = IMAGES) -> Case:
    """A trained reader of digits and images that it was not trained on, with what it takes to train another one."""
    images, labels = held_out(0)
    return Case(
        model=Colored(train(NETWORKS[kind], 0)).eval(),
        inputs=tinted(images[:count]),
        labels=labels[:count],
        make_model=functools.partial(untrained, NETWORKS[kind]),
        train_set=_train_set(),
    )


def planted(kind: str, count: int = IMAGES) -> Case:
    """A trained reader of planted images, and where in new images the object is."""
    data = planted_images(count, 20)
    model = Colored(stored_network(kind)).eval()
    return Case(model=model, inputs=tinted(data.images), labels=data.labels, regions=data.masks)


def pairs(kind: str, count: int = IMAGES) -> Case:
    """Two readers, whose scores are added, and pairs of digits of the same class."""
    images, labels = held_out(0)
    others, classes = held_out(1)
    partners = torch.stack([others[classes == label][0] for label in labels])
    model = Pair(Colored(train(NETWORKS[kind], 0)), Colored(train(NETWORKS[kind], 1))).eval()
    return Case(
        model=model, inputs=(tinted(images)[:count], tinted(partners, 1)[:count]), labels=labels[:count]
    )


def untrained(name: str) -> nn.Module:
    """A network of digits in color that has learned nothing."""
    return Colored(KINDS[name]())


@functools.cache
def _train_set() -> tuple[Tensor, Tensor]:
    known = train_digits()
    return tinted(known.images[:TRAINED_ON]), known.labels[:TRAINED_ON]


SCENES: dict[str, dict[str, Callable[..., Case]]] = {
    "images": {"digits": digits, "planted": planted},
    "pairs": {"digits": pairs},
}
