"""How a support network is trained: all its logits towards targets, by mean squared error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity import outputs
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations.restoring.streams import stream as random_stream
from pytest_saliency_sanity.trained_networks import descent
from pytest_saliency_sanity.trained_networks.progress import Bar

_EVALUATED = 256  # images a batch


class Unfinished(Exception):
    """The deadline has passed before a support network was trained; says how far it was."""


@dataclass(frozen=True)
class Regression:
    """How a support network is trained, by Adam on the mean squared error of all logits; the paper's values.

    Attributes:
        epochs: over all images.
        learning_rate: constant.
        batch_size: images a step; the last batch of an epoch may be smaller.
    """

    epochs: int = 10
    learning_rate: float = 4e-5
    batch_size: int = 32


PUBLISHED = Regression()


@dataclass(frozen=True)
class Clock:
    """Until when a network may be trained, `time.monotonic()`, and what it is called."""

    title: str
    deadline: float

    def check(self, progress: str) -> None:
        """Unfinished when the deadline has passed."""
        if time.monotonic() >= self.deadline:
            raise Unfinished(f"{self.title} was {progress}")


@dataclass(frozen=True)
class Task:
    """One regression; `targets` (N, K) are on the model's device, in at least single precision."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor


def descend(task: Task, regression: Regression, seed: int, bar: Bar, clock: Clock) -> None:
    """Train the network of the task in place; the seed is of the order of the images."""
    order = random_stream("support network", seed)
    with _thawed(task.model) as parameters:
        steps = descent.descent(parameters, regression.learning_rate)
        for epoch in range(regression.epochs):
            samples = torch.randperm(len(task.inputs), generator=order)
            for batch in torch.split(samples, regression.batch_size):
                clock.check(f"in epoch {epoch + 1} of {regression.epochs}")
                out = _logits(task.model, task.inputs[batch])
                descent.step(steps, F.mse_loss(out, task.targets[batch.to(out.device)]))
            bar.update()


def all_logits(model: nn.Module, inputs: Tensor, clock: Clock, progress: str) -> Tensor:
    """The logits (N, K) of all images, in at least single precision."""
    found = []
    with entered(torch.no_grad()):
        for batch in torch.split(inputs, _EVALUATED):
            clock.check(progress)
            found.append(_logits(model, batch))
    return torch.cat(found)


@contextlib.contextmanager
def _thawed(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Its parameters, all of which ask for gradients here; afterwards those do that did, and none has one."""
    parameters = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no parameters: there is nothing to train in its copies")
    asked = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    yield parameters
    for parameter, as_it_was in zip(parameters, asked, strict=True):
        parameter.requires_grad_(as_it_was).grad = None


def _logits(model: nn.Module, batch: Tensor) -> Tensor:
    known = next(
        (tensor for tensor in chain(model.parameters(), model.buffers()) if tensor.is_floating_point()), batch
    )
    whose = f"{type(model).__name__}, given the data that its support networks are trained on,"
    scores = outputs.read_logits(model, batch.to(known.device, known.dtype), whose=whose)
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
