"""Tasks on which sanity checks have been criticized, and small networks that are trained on them.

Both kinds of networks know where in the image something is. Weights stay with those of `tests.networks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.planted import (
    PlantedImages,
    images,
    planted_backgrounds,
    planted_edges,
    planted_images,
    planted_suppressors,
    shapes,
    tasks,
)
from tests.digits import Digits
from tests.networks import training
from tests.networks.evaluation import ResidualBlock
from tests.networks.training import CACHE, _save, fit

SIZE = 24
TRAINING_SEED = 20_000  # images of this seed, plus the network's, are trained on: use others to explain
TRAINING_IMAGES = 1_600


@dataclass(frozen=True)
class Shown:
    """Images of a task.

    Attributes:
        images: (N, 1, S, S).
        labels: (N,) int64.
        regions: (N, S, S) bool, what the label depends on, and a network that reads it.
    """

    images: Tensor
    labels: Tensor
    regions: Tensor


def _objects(make: Callable[..., PlantedImages], count: int, seed: int) -> Shown:
    data = make(count, seed, size=SIZE)
    return Shown(data.images, data.labels, data.masks)


def _suppressors(count: int, seed: int) -> Shown:
    """The regions are both: what the class changes, and what it takes to read it."""
    data = planted_suppressors(count, seed, size=SIZE)
    return Shown(data.images, data.labels, data.masks | data.suppressors)


TASKS: Mapping[str, Callable[[int, int], Shown]] = {
    "edges": partial(_objects, planted_edges),
    "background": partial(_objects, planted_backgrounds),
    "center": partial(_objects, partial(planted_images, position="center")),
    "suppressors": _suppressors,
    "dead_class": partial(_objects, partial(planted_images, shapes=("cross", "ring", "frame"), contrast=0.5)),
}


def classes_of(task: str) -> int:
    """How many logits a network of the task has; of "dead_class" one more than there are labels."""
    return 2 if task == "suppressors" else 4


def task_network(task: str, kind: str, seed: int = 0) -> nn.Module:
    """A network of one of `KINDS` that is trained on one of `TASKS`, in eval mode.

    In the task "dead_class" the last class has no weights and a bias below all others. Equal arguments give equal
    weights; the global random state stays as it was.
    """
    weights = CACHE / f"task-{task}-{kind}-{seed}-{_fingerprint()}.pt"
    model = _initial(kind, seed, classes_of(task))
    if weights.exists():
        model.load_state_dict(torch.load(weights, weights_only=True))
    else:
        data = TASKS[task](TRAINING_IMAGES, TRAINING_SEED + seed)
        fit(model, Digits(data.images, data.labels), seed)
        _save(model, weights)
    if task == "dead_class":
        _kill(model)
    return model.eval()


def _kill(model: nn.Module) -> None:
    """Take away the last class's weights, and let it never win."""
    *_, head = (module for module in model.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        head.weight[-1] = 0
        head.bias[-1] = -20


def _initial(kind: str, seed: int, classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return KINDS[kind](classes)


def _grid(classes: int) -> nn.Module:
    """Convolutions, the maximum in each cell of a grid, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveMaxPool2d(4),
        nn.Flatten(), nn.Linear(384, 48), nn.ReLU(), nn.Linear(48, classes),
    )  # fmt: skip


class _Residual(nn.Module):
    """Residual blocks, and the mean of each cell of a grid before the head."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.blocks = nn.Sequential(ResidualBlock(12, 24, 2), ResidualBlock(24, 24, 1))
        self.head = nn.Linear(24 * 16, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(self.stem(images))
        return self.head(nn.functional.adaptive_avg_pool2d(features, 4).flatten(1))


KINDS: Mapping[str, Callable[[int], nn.Module]] = {"grid_cnn": _grid, "grid_residual": _Residual}


@cache
def _fingerprint() -> str:
    """Changes with the images' source, the training's, this file and torch."""
    digest = hashlib.sha256(torch.__version__.encode())
    for file in (images.__file__, shapes.__file__, tasks.__file__, training.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]
