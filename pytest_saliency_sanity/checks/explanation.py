"""One call of an explainer: fresh inputs, a stream of its own, the clock, and the shape of what comes back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.checks.subject import Subject
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.layout import axis_of, using_channel_axis
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import raw_outputs, unreadable, using_forward
from pytest_saliency_sanity.perturbations import preserved, replayed
from pytest_saliency_sanity.perturbations.process import keeping_process
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Finding

CANCELLED = "gate.channels"
_ROUNDING = 4.0  # times eps and the root of the channels; BERT's gradients before its LayerNorm reach 1.6
_NOTHING = 0.05  # of the largest value, in a dtype that is coarser
Maps = tuple[Tensor, ...]  # for each input of the model (n, *S): summed over the channels, with their sign


class Stopped(Exception):
    """The measurement cannot go on: carries the finding that says why, and the explainer's exception."""

    def __init__(self, finding: Finding, cause: BaseException | None = None) -> None:
        super().__init__(finding.sentence)
        self.finding, self.cause = finding, cause

    @property
    def raised(self) -> bool:
        """Whether the explainer raised an exception of its own."""
        return self.finding.reason in ("contract.exception", NOT_APPLICABLE)


class Breach(Stopped):
    """The explainer broke its contract."""

    def __init__(self, reason: str, sentence: str, cause: BaseException | None = None) -> None:
        super().__init__(Finding(reason, "error", sentence), cause)


class Refusal(Stopped):
    """The explainer says that its method does not exist for this model: nobody is accused."""

    def __init__(self, sentence: str, cause: BaseException | None = None) -> None:
        super().__init__(Finding(NOT_APPLICABLE, "inconclusive", sentence), cause)


class OutOfBudget(Exception):
    """The check's seconds are used up."""


@dataclass
class Meter:
    """What the explainer's calls cost, and when they have to end.

    Attributes:
        deadline: `time.monotonic()` at which no further call is begun.
    """

    deadline: float = float("inf")
    calls: int = 0
    images: int = 0
    seconds: float = 0.0

    def timed(self, call: Callable[[], Any], images: int) -> Any:
        """The call's result; its cost is added up."""
        if self.calls:
            self.check_deadline()
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.calls += 1
            self.images += images
            self.seconds += time.perf_counter() - start

    def check_deadline(self) -> None:
        """Raise OutOfBudget when the deadline has passed: for what takes long between the explainer's calls."""
        if time.monotonic() > self.deadline:
            raise OutOfBudget

    def evidence(self, total_seconds: float) -> dict[str, Any]:
        """calls, images and seconds of the explainer alone, beside the seconds of everything done around them."""
        return {
            "calls": self.calls,
            "images": self.images,
            "seconds": self.seconds,
            "total_seconds": total_seconds,
        }


def explain(
    subject: Subject,
    meter: Meter,
    index: Tensor,
    stream: int,
    targets: Tensor | None = None,
    watch_inputs: bool = False,
) -> Maps:
    """The maps of the images at `index`, drawn from the random stream `stream`; one by one if the subject says so.

    Args:
        targets: one row for each image of the subject; None means the subject's own.
        watch_inputs: compare the images and targets that were handed over with the subject's own afterwards.

    Raises:
        Breach: an exception in the explainer, something that is not a map, a wrong shape, NaN, changed inputs.
        Refusal: NotApplicable in the explainer.
        OutOfBudget: before the call, when the deadline has passed.
    """
    rows = (subject.targets if targets is None else targets)[index.to(subject.targets.device)]
    return explain_for(subject, meter, index, rows, stream, watch_inputs)


def explain_for(
    subject: Subject, meter: Meter, index: Tensor, rows: Tensor, stream: int, watch_inputs: bool = False
) -> Maps:
    """As `explain`, for targets `rows` (n,) or (n, K) of these very images: an image may be there twice."""
    if not subject.alone or len(index) == 1:
        return _explained_at_once(subject, meter, index, rows, stream, watch_inputs)
    each = [
        _explained_at_once(subject, meter, one, row, stream_of(stream, int(one)), watch_inputs)
        for one, row in zip(index.split(1), rows.split(1), strict=True)
    ]
    return tuple(map(torch.cat, zip(*each, strict=True)))


def _explained_at_once(
    subject: Subject, meter: Meter, index: Tensor, rows: Tensor, stream: int, watch_inputs: bool
) -> Maps:
    images, given = subject.chosen(index), rows.clone()
    with (
        replayed(stream),
        entered(torch.enable_grad()),
        using_forward(subject.forward),
        using_channel_axis(subject.channel_axis),
        keeping_process() as process,
    ):
        returned = meter.timed(lambda: _called(subject, images, given), len(index))
        switched = process.changes()
    forget_gradients(subject.model)
    if switched:
        raise Breach("contract.process", f"it changed {' and '.join(switched)} of the whole process; undone")
    expected = images if subject.packed else (images,)
    if watch_inputs:
        if _changed(subject, index, expected) and not _model_writes(subject, index):
            raise Breach("contract.inputs", "it changed the inputs that it was given, in place")
        if not torch.equal(given, rows):
            raise Breach("contract.inputs", "it changed the targets that it was given, in place")
    return tuple(
        _reduced(part, image, subject.channel_axis, watch_inputs)
        for part, image in zip(_parts(returned, len(expected)), expected, strict=True)
    )


def check_scores(logits: Tensor, what: str) -> None:
    """Raise Stopped, inconclusive, unless the logits (n, K) of images that were changed are all finite.

    Args:
        logits: a row an image.
        what: describes these images, e.g. "with pixels deleted".
    """
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        sentence = (
            f"the model's logits are not finite for {broken} of {len(logits)} images {what}; another infill may be "
            f"one that the model can read"
        )
        raise Stopped(Finding("gate.scores", "inconclusive", sentence))


def stream_of(*key: int | str) -> int:
    """The seed of the random stream named `key`: the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=4).digest(), "little")


def forget_gradients(model: torch.nn.Module) -> None:
    """Drop what an explainer's `.backward()` has left on the parameters (the caller's own is stashed)."""
    for parameter in model.parameters():
        parameter.grad = None


def _called(subject: Subject, images: Any, rows: Tensor) -> Any:
    try:
        return subject.explainer(subject.model, images, rows)
    except Exception as error:
        if is_interruption(error):  # a timeout says nothing of the explainer
            raise
        text = str(error).strip().splitlines()
        first = f": {text[0]}" if text else ""
        if isinstance(error, NotApplicable):
            raise Refusal(f"it does not apply to this model{first}", error) from error
        raise Breach(
            "contract.exception",
            f"it raised {type(error).__name__}{first}{_advice(error)}",
            error,
        ) from error


def _advice(error: Exception) -> str:
    """What to do about it, in brackets; "" where nothing is known."""
    return _call(error) + _in_place(error) + _filtered(error) + _recomputed(error)


def _call(error: Exception) -> str:
    """A reminder, where the arguments may have been taken for others."""
    mistaken = isinstance(error, (TypeError, AttributeError, AssertionError))
    return " (it is called as explainer(model, inputs, targets))" if mistaken else ""


def _in_place(error: Exception) -> str:
    """What to do where a model writes into a leaf that requires a gradient."""
    written = isinstance(error, RuntimeError) and "used in an in-place operation" in str(error)
    return (
        " (does the model write into its inputs? call it with a copy, model(inputs.clone()))"
        if written
        else ""
    )


def _filtered(error: Exception) -> str:
    """Why a warning is an exception here, and how to let it be one no longer."""
    if not isinstance(error, Warning):
        return ""
    kind = type(error)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return (
        f" (it is a warning, of which a filter of this project makes an error; to let it be, put "
        f'@pytest.mark.filterwarnings("default::{where}{kind.__qualname__}") on the test, or that text into '
        f"filterwarnings of pytest's settings)"
    )


def _recomputed(error: Exception) -> str:
    """What to do about a backward pass that finds another forward pass than the one it saw."""
    recomputed = type(error).__name__ == "CheckpointError"
    return " (the model uses gradient checkpointing: switch it off)" if recomputed else ""


def _changed(subject: Subject, index: Tensor, images: tuple[Tensor, ...]) -> bool:
    """Whether these are not the images at `index` any more."""
    own = (part[index.to(part.device)] for part in subject.inputs)
    return any(
        image.shape != part.shape or not torch.equal(image.detach(), part)
        for part, image in zip(own, images, strict=True)
    )


def _model_writes(subject: Subject, index: Tensor) -> bool:
    """Whether the model writes into what it is called with: an explainer that hands its inputs on cannot help it."""
    images = subject.chosen(index)
    with preserved(subject.model), replayed(subject.seed):
        try:
            raw_outputs(subject.model, images, subject.forward)
        except Exception as error:
            if is_interruption(error):
                raise
    return _changed(subject, index, images if subject.packed else (images,))


def _parts(returned: Any, count: int) -> tuple[Any, ...]:
    if isinstance(returned, (tuple, list)):
        if len(returned) == count:
            return tuple(returned)
        needed = "one tensor" if count == 1 else f"a map for each of the {count} inputs of the model"
        raise Breach(
            "contract.type", f"it returned a {type(returned).__name__} of {len(returned)}; {needed} is needed"
        )
    if count > 1:
        raise Breach(
            "contract.type", f"it returned one {type(returned).__name__} for the {count} inputs of the model"
        )
    return (returned,)


def _reduced(returned: Any, image: Tensor, channel_axis: int | None, watch: bool) -> Tensor:
    part = _as_maps(returned)
    if part.ndim == 0 or len(part) != len(image):
        raise Breach(
            "contract.count",
            f"it returned {_shape(part)} for {len(image)} inputs; one map for each is needed",
        )
    axis = _channels_of(part, image, channel_axis)
    _check_finite(part)
    if axis is None or part.ndim < image.ndim:
        return part
    total = part.sum(axis)
    if watch:
        _check_sums(part, total, image.dtype)
    return total


def _check_sums(part: Tensor, total: Tensor, dtype: torch.dtype) -> None:
    """Stopped where the channels of all maps add up to 0, but for rounding in the model's `dtype`."""
    largest, channels = float(part.abs().max()), part.numel() / max(total.numel(), 1)
    rounding = min(_ROUNDING * torch.finfo(dtype).eps * channels**0.5, _NOTHING) * largest
    if channels < 2 or largest == 0 or float(total.abs().max()) > rounding:
        return
    sentence = (
        f"the channels of its maps add up to 0 everywhere (at most {float(total.abs().max()):.1e}, where values reach "
        f"{largest:.1e}), as those of a gradient before a LayerNorm do; return maps without channels that are summed "
        f"in another way, such as (gradient * inputs).sum(-1) or gradient.norm(dim=-1)"
    )
    raise Stopped(Finding(CANCELLED, "inconclusive", sentence))


def _channels_of(part: Tensor, image: Tensor, channel_axis: int | None) -> int | None:
    """The axis of the image that is none of the map's; None where the image has no axis of channels.

    Inputs of three dimensions may be signals (N, C, L) or embeddings (N, L, D) where nobody has said what they are: a
    map of their full shape is that of signals, one that has lost an axis tells which.
    """
    unsaid = channel_axis is None and image.ndim == 3
    axes = (1, 2) if unsaid else (axis_of(image, channel_axis),)
    fitting = [axis for axis in axes if tuple(part.shape) in _choices(image, axis)]
    if not fitting:
        choices = ", ".join(str(shape) for shape in _choices(image, axes[0]))
        raise Breach(
            "contract.shape", f"it returned {_shape(part)} for inputs {_shape(image)}; choose from {choices}"
        )
    if len(fitting) > 1 and part.shape != image.shape:
        sentence = (
            f"it returned {_shape(part)} for inputs {_shape(image)}, which may be signals (N, C, L) or embeddings "
            f"(N, L, D); pass channel_axis=1 for signals, channel_axis=-1 for embeddings"
        )
        raise Stopped(Finding("gate.channel_axis", "inconclusive", sentence))
    return fitting[0] if image.ndim > 2 else None


def _choices(image: Tensor, axis: int) -> tuple[tuple[int, ...], ...]:
    """The shapes that a map may have where the channels are on `axis`."""
    whole = tuple(image.shape)
    if image.ndim < 3:
        return (whole,)
    without = (*whole[:axis], *whole[axis + 1 :])
    return tuple(dict.fromkeys((whole, (*whole[:axis], 1, *whole[axis + 1 :]), without)))


def _as_maps(returned: Any) -> Tensor:
    if isinstance(returned, np.ma.MaskedArray) and (hidden := int(np.ma.getmaskarray(returned).sum())):
        raise Breach(
            "contract.finite",
            f"it returned a masked array with {hidden} of {returned.size} values masked; return .filled(0)",
        )
    if isinstance(returned, Tensor) and returned.is_floating_point() and returned.element_size() == 1:
        returned = returned.float()  # float8
    if isinstance(returned, Tensor) and (reason := unreadable(returned)):
        raise Breach("contract.type", f"it returned a tensor that is {reason}")
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "fiub":
        # torch takes native bytes and widths only; nothing is copied where it would have taken the array itself
        single = returned.dtype.kind == "f" and returned.dtype.itemsize <= 4
        returned = torch.from_numpy(np.ascontiguousarray(returned, np.float32 if single else np.float64))
    if not isinstance(returned, Tensor) or returned.is_complex():
        kind = returned.dtype if isinstance(returned, (Tensor, np.ndarray)) else type(returned).__name__
        raise Breach("contract.type", f"it returned {kind}; a tensor or an array of real numbers is needed")
    part = returned.detach()
    return part if part.dtype in (torch.float32, torch.float64) else part.float()


def _check_finite(part: Tensor) -> None:
    if part.sum().isfinite():  # ten times cheaper than a look at each value; an overflow takes the look
        return
    broken = ~part.isfinite().flatten(1).all(1)
    if broken.any():
        kind = "NaN" if part.isnan().any() else "infinite values"
        raise Breach("contract.finite", f"it returned {kind} in {int(broken.sum())} of {len(part)} maps")


def _shape(part: Tensor) -> str:
    return str(tuple(part.shape))
