"""Support networks: copies of a network, trained to tell two classes apart by a wider distance (GAD)."""

from __future__ import annotations

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

from pytest_saliency_sanity import outputs
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks import descent, logit_regression, pairs
from pytest_saliency_sanity.trained_networks.fingerprints import (
    code_fingerprint,
    combined,
    model_fingerprint,
    versions,
)
from pytest_saliency_sanity.trained_networks.logit_regression import (
    PUBLISHED,
    Clock,
    Regression,
    Task,
    all_logits,
    descend,
)
from pytest_saliency_sanity.trained_networks.pairs import Pair, shifted
from pytest_saliency_sanity.trained_networks.progress import progress
from pytest_saliency_sanity.trained_networks.safekeeping import Making, kept, turn

_KEPT = 16  # networks that are kept in memory, or as many as are asked for at once: those of four explained models
_WORSE = -0.05  # an agreement further below an untouched copy's 0 than rounding brings it
_IN_MEMORY: OrderedDict[str, Support] = OrderedDict()


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


def supports(
    original: nn.Module,
    images: Pair,
    alphas: Sequence[float],
    regression: Regression = PUBLISHED,
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
                _trained, blank, images, float(alpha), regression, seed, Clock(title, deadline), stream
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
    code = (inspect.getsource(module) for module in (descent, pairs, logit_regression, sys.modules[__name__]))
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
    clock: Clock,
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
        before = all_logits(model, images.inputs, clock, "looking at the data")
        task = Task(model, images.inputs, shifted(before, images, alpha))
        with progress(regression.epochs, clock.title, stream) as bar:
            descend(task, regression, seed, bar, clock)
        after = all_logits(model, images.inputs, clock, "being evaluated")
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
