"""Support networks: copies of a network, trained to tell two classes apart by a wider distance (GAD)."""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity import outputs
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.perturbations.restoring.streams import stream as random_stream
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks import descent, pairs
from pytest_saliency_sanity.trained_networks.fingerprints import (
    code_fingerprint,
    combined,
    model_fingerprint,
    versions,
)
from pytest_saliency_sanity.trained_networks.pairs import Pair, shifted
from pytest_saliency_sanity.trained_networks.progress import Bar, progress
from pytest_saliency_sanity.trained_networks.safekeeping import Making, kept, turn

_KEPT = 16  # networks that are kept in memory, or as many as are asked for at once: those of four explained models
_EVALUATED = 256  # images a batch
_WORSE = -0.05  # an agreement further below an untouched copy's 0 than rounding brings it
_IN_MEMORY: OrderedDict[str, Support] = OrderedDict()


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


@dataclass(frozen=True)
class Support:
    """One support network and how well it does what it was trained for.

    Attributes:
        model: in evaluation mode.
        alpha: what was subtracted from the other class's logit.
        agreement: 1 - sum (out - target)² / sum (f - target)²: 0 for an untouched copy, 1 for a perfect regression.
        error: root mean square of out - target, in logits.
        epochs: how many it was trained for.
        seconds: what the training took.
        cached: whether it was loaded instead of trained.
    """

    model: nn.Module
    alpha: float
    agreement: float
    error: float
    epochs: int
    seconds: float
    cached: bool = False

    def facts(self) -> dict[str, Any]:
        """Everything but the model."""
        return {name: value for name, value in vars(self).items() if name != "model"}

    @property
    def finite(self) -> bool:
        """Whether its logits are finite on all images."""
        return math.isfinite(self.error)

    @property
    def shown(self) -> str:
        """The agreement in words: three decimals, two digits where it is far below 0."""
        if not self.finite:
            return "not finite"
        return f"{self.agreement:.3f}" if self.agreement > -10 else f"{self.agreement:.2g}"

    @property
    def advice(self) -> str:
        """What may bring a network that did not learn its distance nearer to it."""
        if self.finite and self.agreement == -math.inf:
            return "use larger alphas=: next to logits as large as these, the distance is lost to rounding"
        return "use a lower learning_rate=" if self.agreement < _WORSE else "train longer, with epochs="


@dataclass(frozen=True)
class _Task:
    """One regression; `targets` (N, K) are on the model's device, in at least single precision."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class _Clock:
    """Until when a network may be trained, `time.monotonic()`, and what it is called."""

    title: str
    deadline: float

    def check(self, progress: str) -> None:
        """Unfinished when the deadline has passed."""
        if time.monotonic() >= self.deadline:
            raise Unfinished(f"{self.title} was {progress}")


def supports(
    original: nn.Module,
    images: Pair,
    alphas: Sequence[float],
    regression: Regression = Regression(),
    *,
    seed: int = 0,
    cache: Path | None = None,
    stream: TextIO | None = None,
    deadline: float = math.inf,
) -> tuple[Support, ...]:
    """For each alpha a copy of a network that has learned the network's logits, the other class's alpha lower.

    The other class of an image is that of the two which it does not belong to. Rodrigues, Boutry and Najman: the
    support networks start at the original weights, and regress by mean squared error.

    The copies are trained in evaluation mode: no dropout, and BatchNorm with the original's running statistics.
    With those of the batch, the original itself would be far from its own logits, since batches of two classes have
    other statistics than what it was trained on (on digits, agreements at alpha = 2 were -4.7 and .86 with them, .98
    and .95 without). Frozen parameters are trained as well. Neither the network nor a global generator is touched,
    and the same seed gives the same copies.

    Args:
        original: with a logit for each of the two classes.
        images: of the two classes.
        alphas: above 0.
        regression: how they are trained.
        seed: of the order of the images, and of what the network draws itself.
        cache: the directory of trained networks, or None.
        stream: where progress is shown, or None.
        deadline: `time.monotonic()` at which training ends, looked at between batches. What is finished by then is
            cached, what is not is lost.

    Raises:
        ValueError: for a network that cannot be copied or trained, does not take the images, lacks a class, or ranks
            all images alike; one sentence.
        Unfinished: when the deadline has passed before all are trained.
        store.Busy: when another process has been training one of them until the deadline.
    """
    fingerprint = _fingerprint(original)
    blank, made = partial(_copied, original), []
    for number, alpha in enumerate(alphas):
        title = f"support network {number + 1} of {len(alphas)}, α = {alpha:g}"
        making = Making(
            key=combined(fingerprint, images.fingerprint, float(alpha), seed, repr(regression)),
            blank=blank,
            kind=Support,
            train=partial(
                _trained, blank, images, float(alpha), regression, seed, _Clock(title, deadline), stream
            ),
        )
        most = max(_KEPT, len(alphas))
        made.append(kept(making, _IN_MEMORY, cache=cache, deadline=deadline, most=most))
    return tuple(made)


def forget() -> None:
    """Drop the networks that are kept in memory."""
    _IN_MEMORY.clear()


# What a network depends on.


def _fingerprint(original: nn.Module) -> str:
    code = (inspect.getsource(module) for module in (descent, pairs, sys.modules[__name__]))
    known = repr(sorted(versions().items()))
    forward = code_fingerprint(outputs.current_forward())
    return combined(*code, model_fingerprint(original), forward, known, str(_device(original)))


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in _tensors(model)), torch.device("cpu"))


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


# Training.


def _copied(original: nn.Module) -> nn.Module:
    try:
        with entered(torch.inference_mode(False)), entered(torch.enable_grad()):
            return in_evaluation_mode(copy.deepcopy(original))
    except Exception as error:
        if is_interruption(error):
            raise
        name, line = type(original).__name__, str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{name} cannot be copied, but its support networks start from a copy: {line or repr(error)}"
        ) from error


def _trained(
    blank: Callable[[], nn.Module],
    images: Pair,
    alpha: float,
    regression: Regression,
    seed: int,
    clock: _Clock,
    stream: TextIO | None,
) -> Support:
    clock.check("not begun")
    model, began = blank(), time.monotonic()
    with (
        turn(_device(model), clock.deadline),
        replayed(seed),
        entered(torch.inference_mode(False)),
        entered(torch.enable_grad()),
    ):
        before = _all_logits(model, images.inputs, clock, "looking at the data")
        task = _Task(model, images.inputs, shifted(before, images, alpha))
        with progress(regression.epochs, clock.title, stream) as bar:
            _descend(task, regression, seed, bar, clock)
        after = _all_logits(model, images.inputs, clock, "being evaluated")
    left, first = (float((out - task.targets).double().square().sum()) for out in (after, before))
    measurable = math.isfinite(left) and first > 0  # beside very large logits alpha is rounded away
    return Support(
        model=model,
        alpha=alpha,
        agreement=1 - left / first if measurable else -math.inf,
        error=math.sqrt(left / after.numel()) if math.isfinite(left) else math.inf,
        epochs=regression.epochs,
        seconds=time.monotonic() - began,
    )


def _descend(task: _Task, regression: Regression, seed: int, bar: Bar, clock: _Clock) -> None:
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


def _all_logits(model: nn.Module, inputs: Tensor, clock: _Clock, progress: str) -> Tensor:
    found = []
    with entered(torch.no_grad()):
        for batch in torch.split(inputs, _EVALUATED):
            clock.check(progress)
            found.append(_logits(model, batch))
    return torch.cat(found)


def _logits(model: nn.Module, batch: Tensor) -> Tensor:
    known = next((tensor for tensor in _tensors(model) if tensor.is_floating_point()), batch)
    whose = f"{type(model).__name__}, given the data that its support networks are trained on,"
    scores = outputs.read_logits(model, batch.to(known.device, known.dtype), whose=whose)
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
