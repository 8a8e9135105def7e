"""Trains a classifier until it has memorized its labels, whatever they say (Adebayo et al. 2018, section 4)."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TextIO

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

from pytest_saliency_sanity.outputs import Forward
from pytest_saliency_sanity.perturbations.restoring.modes import (
    in_evaluation_mode,
)
from pytest_saliency_sanity.perturbations.restoring.streams import stream as random_stream
from pytest_saliency_sanity.predictions import predicted_classes
from pytest_saliency_sanity.trained_networks.descent import Descent, descent, step
from pytest_saliency_sanity.trained_networks.progress import Bar, progress
from pytest_saliency_sanity.trained_networks.regularization import memorizing, train_what_needs_it
from pytest_saliency_sanity.trained_networks.scores import (
    Task,
    learned_share,
    loss_at_chance,
    loss_of,
    scores_of,
)

_RESTARTS = 3  # from the initial weights, each time with a third of the learning rate
_WARM_UP = 16  # steps
# Without a new lowest loss, before the rate is halved; the longer counts.
_PATIENCE_EPOCHS, _PATIENCE_STEPS = 4, 64
_SLOWEST = 1 / 64  # of the first learning rate
_LEARNING = 0.9  # of the loss at chance; above it a plateau is the beginning, not the end (a ConvNeXt's took 25 epochs)
# How far below its goal the accuracy of an epoch, whose weights moved, may be to be looked at again.
_HINT = 0.02


@dataclass(frozen=True)
class Options:
    """How a network is trained, by Adam; `python -m tests.benchmarks.memorizing` shows how well this works.

    Attributes:
        max_epochs: after which training ends without success.
        accuracy: of the training set in evaluation mode, at which training ends.
        batch_size: samples a step; batches of an epoch differ in size by one at most.
        learning_rate: after the warm-up; halved whenever the loss stalls.
    """

    max_epochs: int = 300
    accuracy: float = 0.99
    batch_size: int = 64
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        epochs: completed since the last start from the initial weights.
        accuracy: of the training set in evaluation mode, of the weights that were returned.
        seconds: all of it, restarts included.
        ended: "accuracy" (reached), "epochs", "seconds" (the deadline) or "not finite" (the loss, at every start).
    """

    epochs: int
    accuracy: float
    seconds: float
    ended: str


@dataclass(frozen=True)
class _Limits:
    options: Options
    deadline: float


@dataclass(frozen=True)
class _Descent:
    """Steps, and the schedules of their length."""

    steps: Descent
    warm_up: LinearLR
    plateau: ReduceLROnPlateau


@dataclass(frozen=True)
class _Epoch:
    loss: float
    accuracy: float


def fit(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    seed: int,
    *,
    packed: bool = False,
    forward: Forward | None = None,
    options: Options = Options(),
    deadline: float = math.inf,
    title: str = "",
    stream: TextIO | None = None,
) -> Training:
    """Train `model` in place on the given samples until it has memorized their labels.

    Nothing regularizes: no augmentation, no weight decay, no dropout. The network trains as it is evaluated, apart
    from BatchNorm and whatever else keeps running statistics, so that dropout of any spelling is off unless the
    model leaves it on in evaluation mode as well. It is returned in evaluation mode and without gradients; frozen
    parameters keep their values. After an exception its modes are what they were.

    Args:
        inputs: one CPU tensor (N, C, *S) for each input of the model; a batch is moved to the model's device and dtype.
        labels: (N,) int64; 0 and 1 for a model with a single logit, or with the sigmoid of one.
        seed: of the order of the samples. What the model draws itself is from the global generators.
        packed: whether the model takes several inputs.
        forward: forward(model, inputs) -> logits, or None.
        deadline: `time.monotonic()` at which training ends, looked at between batches.
        title: what the progress bar calls it.
        stream: where the progress bar is written, or None for none.

    Raises:
        ValueError: if every parameter of the model is frozen.
    """
    began, task = time.monotonic(), Task(model, inputs, labels, packed, forward)
    _check_trainable(model)
    with memorizing(model), progress(options.max_epochs, title, stream) as bar:
        epochs, ended = _with_restarts(task, _Limits(options, deadline), seed, bar)
    in_evaluation_mode(model)
    return Training(epochs, learned_share(task), time.monotonic() - began, ended)


def accuracy(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    labels: Tensor,
    *,
    packed: bool = False,
    forward: Forward | None = None,
) -> float:
    """The share of samples that `model` assigns to their label in evaluation mode; arguments as of `fit`."""
    return learned_share(Task(model, inputs, labels, packed, forward))


# Starting, and starting again.


def _with_restarts(task: Task, limits: _Limits, seed: int, bar: Bar) -> tuple[int, str]:
    initial = _values(task.model)
    for start in range(_RESTARTS + 1):
        epochs, ended = _run(task, limits, limits.options.learning_rate / 3**start, seed, bar)
        if ended != "not finite":
            break
        _restore(initial)
        bar.reset()
    return epochs, ended


def _run(task: Task, limits: _Limits, rate: float, seed: int, bar: Bar) -> tuple[int, str]:
    """The number of completed epochs, and what ended them."""
    options, order = limits.options, random_stream("batches", seed)
    schedule, at_chance = _descent(task, options, rate), loss_at_chance(task.labels)
    for epoch in range(1, options.max_epochs + 1):
        passed = _epoch(task, schedule, _batches(task, options, order), limits.deadline)
        if passed is None:
            return epoch - 1, "seconds"
        if not math.isfinite(passed.loss):
            return epoch, "not finite"
        _show(bar, passed, options)
        if _memorized(task, passed, options, is_last=epoch == options.max_epochs):
            return epoch, "accuracy"
        if passed.loss < _LEARNING * at_chance:
            schedule.plateau.step(passed.loss)
    return options.max_epochs, "epochs"


def _memorized(task: Task, passed: _Epoch, options: Options, is_last: bool) -> bool:
    is_near = passed.accuracy >= options.accuracy - _HINT
    return (is_near or is_last) and learned_share(task) >= options.accuracy


def _values(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(tensor, tensor.detach().clone()) for tensor in chain(model.parameters(), model.buffers())]


@torch.no_grad()
def _restore(values: list[tuple[Tensor, Tensor]]) -> None:
    for tensor, value in values:
        tensor.copy_(value)


# Descent.


def _descent(task: Task, options: Options, rate: float) -> _Descent:
    steps = descent(_trainable(task.model), rate)
    warm_up = LinearLR(steps.adam, start_factor=1 / _WARM_UP, total_iters=_WARM_UP - 1)
    patience = max(_PATIENCE_EPOCHS, math.ceil(_PATIENCE_STEPS / _steps(task, options)))
    plateau = ReduceLROnPlateau(
        steps.adam, factor=0.5, patience=patience, threshold=0, min_lr=rate * _SLOWEST
    )
    return _Descent(steps, warm_up, plateau)


def _epoch(task: Task, schedule: _Descent, batches: Sequence[Tensor], deadline: float) -> _Epoch | None:
    """Every sample once; None when the deadline has passed. Reads from the device only at the end."""
    loss: float | Tensor = 0.0
    seen: list[Tensor] = []
    train_what_needs_it(task.model)
    for batch in batches:
        if time.monotonic() >= deadline:
            return None
        scores = scores_of(task, batch)
        labels = task.labels[batch].to(scores.device)
        batch_loss = loss_of(scores, labels)
        step(schedule.steps, batch_loss)
        schedule.warm_up.step()
        loss += batch_loss.detach() * len(batch)
        seen.append(scores.detach())
    predicted = predicted_classes(torch.cat(seen))
    hits = predicted == task.labels[torch.cat(tuple(batches))].to(predicted.device)
    return _Epoch(float(loss) / len(task.labels), float(hits.sum()) / len(task.labels))


def _batches(task: Task, options: Options, order: torch.Generator) -> Sequence[Tensor]:
    # Of equal size: BatchNorm cannot train on a last batch of one sample.
    return torch.randperm(len(task.labels), generator=order).tensor_split(_steps(task, options))


def _steps(task: Task, options: Options) -> int:
    return math.ceil(len(task.labels) / options.batch_size)


# Scores.


# The model, given back.


def _trainable(model: nn.Module) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _check_trainable(model: nn.Module) -> None:
    if not _trainable(model):
        raise ValueError(
            f"{type(model).__name__} cannot be trained: none of its parameters has requires_grad=True"
        )


# Progress.


def _show(bar: Bar, passed: _Epoch, options: Options) -> None:
    bar.set_postfix_str(
        f"train accuracy {passed.accuracy:.2f}, waiting for {options.accuracy:.2f}", refresh=False
    )
    bar.update()
