"""Networks that differ only in their labels and their seeds: taken from the cache, or trained."""

from __future__ import annotations

import inspect
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from pytest_saliency_sanity import predictions
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, like_model, read_logits
from pytest_saliency_sanity.perturbations import evaluating, replayed
from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.trained_networks import descent, regularization, scores, training
from pytest_saliency_sanity.trained_networks.datasets import TrainingSet
from pytest_saliency_sanity.trained_networks.fingerprints import (
    code_fingerprint,
    combined,
    model_fingerprint,
    versions,
)
from pytest_saliency_sanity.trained_networks.safekeeping import Making, is_kept, kept, turn
from pytest_saliency_sanity.trained_networks.training import Options, accuracy, fit

Train = Callable[[nn.Module, Dataset[Any], int], nn.Module]
_KEPT = (
    10  # networks that are kept in memory for the next explainer of the same run, the oldest dropped first
)
_IN_MEMORY: OrderedDict[str, Network] = OrderedDict()


@dataclass(frozen=True)
class TrueAndPermuted:
    """Networks that are already trained: on the true labels, and on permuted ones.

    Attributes:
        true: at least two networks of different seeds.
        permuted: as many or more, trained on labels permuted over the samples until these were memorized.
    """

    true: Sequence[nn.Module]
    permuted: Sequence[nn.Module]


@dataclass(frozen=True)
class Network:
    """One trained network and how it came about.

    Attributes:
        model: in evaluation mode.
        labels: "true" or "permuted".
        seed: of its initial weights and its training; None for a network that was passed in.
        accuracy: on its training set in evaluation mode; None where unknown.
        epochs: how many it was trained for; None where unknown.
        seconds: what the training took.
        ended: "accuracy", "epochs", "seconds", "not finite", or "trainer" for the user's own.
        cached: whether it was loaded instead of trained.
    """

    model: nn.Module
    labels: str
    seed: int | None = None
    accuracy: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    ended: str = "trainer"
    cached: bool = False

    def facts(self) -> dict[str, Any]:
        """Everything but the model."""
        return {name: value for name, value in vars(self).items() if name != "model"}


@dataclass(frozen=True)
class Recipe:
    """How networks are made.

    Attributes:
        make_model: a function without arguments that returns an untrained network.
        train: the user's training, or None for `training.fit`.
        options: of `training.fit`.
        forward: forward(model, inputs) -> logits, or None.
        cache: the directory of trained networks, or None.
        deadline: `time.monotonic()` at which training ends.
        stream: where progress is shown, or None.
        may_train: False if only cached networks may be used.
        code: a hash of how networks are trained, taken before the first one is: a trainer may keep a log.
    """

    make_model: Callable[[], nn.Module]
    train: Train | None
    options: Options
    forward: Forward | None
    cache: Path | None
    deadline: float
    stream: TextIO | None
    may_train: bool = True
    code: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", _code(self))


class NotTrained(Exception):
    """A network is not cached, and the recipe may not train."""


def network(recipe: Recipe, data: TrainingSet, labels: str, seed: int, title: str) -> Network:
    """A network trained on `data` from `seed`: taken from memory or from the cache, or trained now.

    Args:
        labels: "true" or "permuted".
        seed: of the initial weights and the training.
        title: what the progress bar calls it.

    Raises:
        TypeError, ValueError: for a model, a trainer or labels that do not fit, in one sentence.
        NotTrained: when it would have to be trained, and the recipe may not.
        store.Busy: when another process has been training it until the deadline.
    """
    model = _untrained(recipe, seed)
    making = Making(
        key=_key(recipe, data, model, seed),
        blank=lambda: model,
        kind=Network,
        train=lambda: _trained(recipe, data, model, labels, seed, title),
        lasting=lambda made: made.ended != "seconds",
    )
    return kept(making, _IN_MEMORY, cache=recipe.cache, deadline=recipe.deadline, most=_KEPT)


def untrained(recipe: Recipe, data: TrainingSet, seed: int) -> tuple[nn.Module, str, bool]:
    """A network as it is before its training, its key, and whether the trained one is in memory or in the cache."""
    model = _untrained(recipe, seed)
    key = _key(recipe, data, model, seed)
    return model, key, is_kept(key, _IN_MEMORY, recipe.cache)


def forget() -> None:
    """Drop the networks that are kept in memory."""
    _IN_MEMORY.clear()


def _untrained(recipe: Recipe, seed: int) -> nn.Module:
    with replayed(seed):
        model = recipe.make_model()
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"make_model() must return an untrained torch.nn.Module, not {type(model).__name__}: {shown(model)}"
        )
    if any(model is known.model for known in _IN_MEMORY.values()):
        raise TypeError("make_model() returned the same object twice; it must build a new network each time")
    return model


def _key(recipe: Recipe, data: TrainingSet, model: nn.Module, seed: int) -> str:
    known = repr(sorted(versions().items()))
    return combined(recipe.code, model_fingerprint(model), data.fingerprint(), seed, known)


def _code(recipe: Recipe) -> str:
    options = repr(sorted(asdict(recipe.options).items())) if recipe.train is None else ""
    trainer = _own_trainer() if recipe.train is None else code_fingerprint(recipe.train)
    return combined(trainer, code_fingerprint(recipe.forward), options)


def _own_trainer() -> str:
    return combined(
        *(inspect.getsource(module) for module in (training, scores, regularization, descent, predictions))
    )


# Training.


def _trained(
    recipe: Recipe, data: TrainingSet, model: nn.Module, labels: str, seed: int, title: str
) -> Network:
    if not recipe.may_train:
        raise NotTrained(title)
    _check_outputs(recipe, data, model, seed)
    began = time.monotonic()
    with turn(next(iter(model.parameters()), torch.empty(0)).device, recipe.deadline), replayed(seed):
        if recipe.train is None:
            return _fitted(recipe, data, model, labels, seed, title)
        model = _by_the_user(recipe.train, model, data, seed)
    reached = accuracy(model, data.inputs, data.labels, packed=data.packed, forward=recipe.forward)
    return Network(in_evaluation_mode(model), labels, seed, reached, None, time.monotonic() - began)


def _fitted(
    recipe: Recipe, data: TrainingSet, model: nn.Module, labels: str, seed: int, title: str
) -> Network:
    result = fit(
        model, data.inputs, data.labels, seed,
        packed=data.packed, forward=recipe.forward, options=recipe.options, deadline=recipe.deadline,
        title=title, stream=recipe.stream,
    )  # fmt: skip
    return Network(model, labels, seed, result.accuracy, result.epochs, result.seconds, result.ended)


def _by_the_user(train: Train, model: nn.Module, data: TrainingSet, seed: int) -> nn.Module:
    returned = train(model, data.dataset(), seed)
    if not isinstance(returned, nn.Module):
        raise TypeError(
            f"train(model, dataset, seed) must return the trained network, not {type(returned).__name__}"
        )
    if any(returned is known.model for known in _IN_MEMORY.values()):
        raise TypeError(
            "train(model, dataset, seed) returned the same object twice; train the model it is given"
        )
    return returned


def _check_outputs(recipe: Recipe, data: TrainingSet, model: nn.Module, seed: int) -> None:
    """One forward pass: the model takes the inputs, and has a logit for every label."""
    few = tuple(part[:2] for part in data.inputs)
    with entered(torch.no_grad()), replayed(seed):
        classes = _logits(recipe, data, model, few).shape[1]
    most = max(classes, 2)
    if data.classes > most:
        raise ValueError(
            f"label {data.classes - 1} of the training set is out of range; make_model() has {classes} logits, "
            f"for the classes 0 to {most - 1}"
        )


def _logits(recipe: Recipe, data: TrainingSet, model: nn.Module, parts: tuple[Tensor, ...]) -> Tensor:
    parts = tuple(like_model(part, model) for part in parts)
    images = parts if data.packed else parts[0]
    with evaluating(model):
        return read_logits(model, images, recipe.forward, "the network of make_model()")
