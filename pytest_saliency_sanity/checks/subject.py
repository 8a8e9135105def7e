"""What is audited: the user's arguments, checked, cast and put in order, as one frozen value."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.checks import integer_inputs, model_batches, stand_ins
from pytest_saliency_sanity.checks.different_images import Chosen, chosen
from pytest_saliency_sanity.layout import check_channel_axis, space_of
from pytest_saliency_sanity.loans import entered, loan
from pytest_saliency_sanity.outputs import Forward, check_targets, read_logits, unreadable, using_forward
from pytest_saliency_sanity.perturbations import Snapshot, evaluating, preserved, replayed
from pytest_saliency_sanity.perturbations.changes import restructured
from pytest_saliency_sanity.perturbations.modes import has_own_train, mode_of
from pytest_saliency_sanity.perturbations.process import keeping_process
from pytest_saliency_sanity.text import shown


@dataclass(frozen=True)
class Subject:
    """An explainer, a model and the images they are audited on.

    Attributes:
        explainer: callable (model, inputs, targets) -> map.
        name: the explainer's name in messages.
        model: the user's own object.
        inputs: one (N, C, *S) tensor for each input of the model, on its device, in its dtype.
        packed: whether the model takes a tuple of inputs.
        targets: (N,) int64 or (N, K) weights.
        scores: (N, K) logits of the images, on the CPU.
        labels: (N,) int64, (N, K) of 0 and 1 for several labels an image, or None.
        forward: the user's forward function, or None.
        seed: the seed of the check.
        amounts: the profile that holds.
        notes: what a reader of the verdict must know about these arguments.
        stand_ins: whether the images are photographs that stand in for the user's.
        snapshot: of the model, while it is `held`.
        order: (N,) which of the user's images these are.
        different: how many of the images are different ones: all, or 1 where there is but one image many times.
        left_out: how many of the user's images were left out, each for one that it equals, or nearly does.
        alone: whether the explainer is called with one image at a time.
        batch_effect: how far the model's own logits of an image move in another batch, see `model_batches`; 0 for most.
        channel_axis: where the channels of the inputs are; None where nobody said so, which is read as 1.
    """

    explainer: Callable[..., Any]
    name: str
    model: nn.Module
    inputs: tuple[Tensor, ...]
    packed: bool
    targets: Tensor
    scores: Tensor
    labels: Tensor | None
    forward: Forward | None
    seed: int
    amounts: settings.Profile
    notes: tuple[str, ...] = ()
    stand_ins: bool = False
    snapshot: Snapshot | None = None
    order: Tensor | None = None
    different: int = 2
    left_out: int = 0
    alone: bool = False
    batch_effect: float = 0.0
    channel_axis: int | None = None

    @property
    def model_name(self) -> str:
        """The class of the model."""
        return type(self.model).__name__

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.inputs[0])

    @property
    def classes(self) -> int:
        """How many logits the model has."""
        return self.scores.shape[1]

    def chosen(self, index: Tensor) -> Any:
        """Fresh clones of the images at `index`, as the model takes them."""
        parts = tuple(part.index_select(0, index.to(part.device)) for part in self.inputs)
        return parts if self.packed else parts[0]

    def by(self, explainer: Callable[..., Any], name: str) -> Subject:
        """The same model and images, explained by another explainer."""
        return replace(self, explainer=explainer, name=name)


def subject(
    explainer: Any,
    model: Any,
    inputs: Any,
    targets: Any,
    *,
    labels: Any = None,
    name: str | None = None,
    seed: int | None = None,
    profile: str | None = None,
    max_seconds: float | None = None,
    forward: Forward | None = None,
    input_shape: tuple[int, ...] | None = None,
    channel_axis: int | None = None,
    limit: int | None = None,
) -> Subject:
    """Check and cast the arguments of a check.

    Args:
        limit: use at most this many images, chosen by the seed; None means twice the profile's number. Images that
            equal one another, or nearly do, count once.

    Raises:
        TypeError, ValueError: one sentence with the value and the choices.
    """
    _check_explainer(explainer)
    _check_model(model)
    given = settings.overridden(settings.current(), seed=seed, profile=profile, max_seconds=max_seconds)
    limit = 2 * given.amounts.images if limit is None else limit
    asked = _Asked(model, inputs, input_shape, forward, limit, given.seed, channel_axis)
    read = _read(asked)
    if read.builds:
        _build(asked, read)
        read = _read(asked)
    order, classes = read.used.order, read.scores.shape[1]
    targets = (
        read.scores.argmax(1) if targets is None else _rows(targets, read.count, classes, order, "targets")
    )
    labels = None if labels is None else _labels(labels, read.count, classes, order)
    return Subject(
        explainer=explainer,
        name=_checked_name(name) or name_of(explainer),
        model=model,
        inputs=read.parts,
        packed=read.packed,
        targets=targets.to(read.parts[0].device),
        scores=read.scores,
        labels=labels,
        forward=forward,
        seed=given.seed,
        amounts=given.amounts,
        notes=(
            *read.notes,
            *_mode_note(model),
            *_left_out_note(read.used),
            *model_batches.note(read.batch_effect),
        ),
        stand_ins=inputs is None,
        order=order,
        different=read.used.different,
        left_out=read.used.left_out,
        batch_effect=read.batch_effect,
        channel_axis=check_channel_axis(channel_axis, read.parts),
    )


@dataclass(frozen=True)
class _Asked:
    """What the user has given, and how many images are wanted."""

    model: nn.Module
    inputs: Any
    input_shape: tuple[int, ...] | None
    forward: Forward | None
    limit: int
    seed: int
    channel_axis: Any = None


@dataclass(frozen=True)
class _Read:
    """The images as the model takes them, and what it makes of them.

    Attributes:
        count: of the user's images.
        builds: whether the model has built modules in its forward pass, which are gone again.
    """

    packed: bool
    parts: tuple[Tensor, ...]
    notes: tuple[str, ...]
    count: int
    used: Chosen
    scores: Tensor
    batch_effect: float
    builds: bool


def _read(asked: _Asked) -> _Read:
    model, forward, seed = asked.model, asked.forward, asked.seed
    with (
        keeping_process(),
        _given_back(model) as snapshot,
        evaluating(model),
        using_forward(forward),
        entered(torch.no_grad()),
        replayed(seed),
    ):
        packed, parts, notes = _images(model, asked.inputs, asked.input_shape, asked.channel_axis)
        used, count = chosen(parts, asked.limit, seed), len(parts[0])
        parts = tuple(_like_model(part[used.order.to(part.device)], model) for part in parts)
        scores = _scores(model, parts if packed else parts[0], forward)
        effect = model_batches.depends_by(model, parts, packed, forward, seed)
        builds = snapshot is not None and restructured(snapshot)
    return _Read(packed, parts, notes, count, used, scores, effect, builds)


def _build(asked: _Asked, read: _Read) -> None:
    """One forward pass whose modules stay: the model is not complete without them, as with torch's lazy layers."""
    few = tuple(part[:2] for part in read.parts)
    with keeping_process(), evaluating(asked.model), entered(torch.no_grad()), replayed(asked.seed):
        read_logits(asked.model, few if read.packed else few[0], asked.forward)


def scored(audited: Subject, model: nn.Module) -> Tensor:
    """(N, K) logits of the subject's images by another network, on the CPU."""
    with (
        keeping_process(),
        preserved(model),
        evaluating(model),
        entered(torch.no_grad()),
        replayed(audited.seed),
    ):
        parts = tuple(_like_model(part, model) for part in audited.inputs)
        return _scores(model, parts if audited.packed else parts[0], audited.forward)


@loan
def held(audited: Subject) -> Iterator[Subject]:
    """Within this context the model is in evaluation mode and every step of a check may change it and the streams.

    Yields the subject with the one snapshot that all steps go back to.
    """
    with (
        evaluating(audited.model),
        using_forward(audited.forward),
        keeping_process(),
        replayed(audited.seed),
        preserved(audited.model) as snapshot,
    ):
        yield replace(audited, snapshot=snapshot)


def name_of(explainer: Any) -> str:
    """A readable name: the function's, with a partial's options; an object's class."""
    if isinstance(explainer, functools.partial):
        options = ", ".join(f"{key}={value!r}" for key, value in explainer.keywords.items())
        return f"{name_of(explainer.func)}({options})"
    return getattr(explainer, "__name__", None) or type(explainer).__name__


def _given_back(model: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """A forward pass may count its calls; lazy modules have no values to give back before the first one."""
    tensors = (*model.parameters(), *model.buffers())
    return contextlib.nullcontext() if any(map(is_lazy, tensors)) else preserved(model)


def _checked_name(name: Any) -> str | None:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, what messages call the explainer, not {shown(name)}")
    return name


def _check_explainer(explainer: Any) -> None:
    if isinstance(explainer, type):
        raise TypeError(
            f"the explainer is the class {explainer.__name__} itself; pass a function "
            f"explainer(model, inputs, targets), or an object of the class that can be called so"
        )
    if not callable(explainer):
        raise TypeError(
            f"an explainer is called as explainer(model, inputs, targets); {shown(explainer)} is not callable"
        )


def _check_model(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"the model must be a torch.nn.Module, not {type(model).__name__}: {shown(model)}")


def _images(
    model: nn.Module, inputs: Any, input_shape: tuple[int, ...] | None, channel_axis: Any
) -> tuple[bool, tuple[Tensor, ...], tuple[str, ...]]:
    if inputs is None:
        if channel_axis not in (None, 1):
            raise ValueError(
                f"channel_axis={shown(channel_axis)} needs inputs=: stand-in photographs are (N, C, H, W)"
            )
        photographs, note = stand_ins.photographs(model, input_shape)
        return False, (photographs,), (note,)
    packed = isinstance(inputs, (tuple, list)) and all(
        isinstance(part, (Tensor, np.ndarray)) for part in inputs
    )
    parts = tuple(_floating(part, model) for part in (inputs if packed else [inputs]))
    _check_images(parts, channel_axis)
    return packed, parts, ()


def _floating(part: Any, model: nn.Module) -> Tensor:
    _check_unmasked(part, "inputs")
    if isinstance(part, np.ndarray) and part.dtype.kind not in "fiub":
        raise TypeError(f"inputs must be floating point, normalized as the model expects, not {part.dtype}")
    if isinstance(part, np.ndarray) and part.dtype.itemsize > 8:
        part = part.astype(np.float64)
    if isinstance(part, np.ndarray):  # torch takes neither negative strides nor foreign bytes
        part = np.ascontiguousarray(part, part.dtype.newbyteorder("="))
    tensor = torch.from_numpy(part) if isinstance(part, np.ndarray) else part
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"inputs must be a tensor (N, C, *S) or a tuple of tensors, not {type(part).__name__}"
        )
    if reason := unreadable(tensor):
        raise TypeError(f"inputs must be tensors (N, C, *S) of numbers; this one is {reason}")
    if not tensor.is_floating_point():
        found = integer_inputs.advice(tensor, model)
        raise TypeError(
            f"inputs must be floating point, normalized as the model expects, not {tensor.dtype}"
            f"{f'; {found}' if found else ''}"
        )
    return tensor.detach()


def _check_images(parts: tuple[Tensor, ...], channel_axis: Any = None) -> None:
    if not parts:
        raise ValueError("inputs is an empty tuple; pass a tensor (N, C, *S) or a tuple of such")
    for part in parts:
        if part.ndim < 2:
            raise ValueError(
                f"inputs must have the shape (N, C, *S), with N images; this one is {tuple(part.shape)}"
            )
        if part.ndim > 2:
            check_channel_axis(channel_axis, (part,))
        if math.prod(space_of(part, channel_axis) or part.shape[1:]) == 1:
            raise ValueError(
                f"inputs of shape {tuple(part.shape)} have one value an image; a map of one value has nothing to rank"
            )
        if not part.numel() and len(part):
            raise ValueError(f"inputs of shape {tuple(part.shape)} hold no values")
        if not part.isfinite().all():
            raise ValueError(f"inputs hold {int((~part.isfinite()).sum())} values that are NaN or infinite")
    sizes = {len(part) for part in parts}
    if len(sizes) > 1:
        raise ValueError(
            f"the inputs of the tuple hold {sorted(sizes)} images; each must hold the same number"
        )
    if sizes == {0}:
        raise ValueError("inputs hold no images; at least 2 are needed, 16 are better")
    if sizes == {1} and len({part.shape for part in parts}) == 1 < len(parts):
        raise ValueError(
            f"inputs are {len(parts)} tensors of shape {tuple(parts[0].shape)}, which reads as one image for a "
            f"model of {len(parts)} inputs; if they are {len(parts)} images, pass torch.stack(inputs)"
        )
    if sizes == {1}:
        raise ValueError(
            f"inputs hold one image, shape {tuple(parts[0].shape)}; at least 2 are needed "
            f"(a map has to differ between images), 16 are better"
        )


def _like_model(part: Tensor, model: nn.Module) -> Tensor:
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return part.to(tensor.device, tensor.dtype)
    return part


def _scores(model: nn.Module, images: Any, forward: Forward | None) -> Tensor:
    """The logits (N, K) of all images, in batches.

    Raises:
        ValueError: when the model raises; TypeError when it returns no logits.
    """
    parts = images if isinstance(images, tuple) else (images,)
    batches = []
    for start in range(0, len(parts[0]), model_batches.BATCH):
        batch = tuple(part[start : start + model_batches.BATCH] for part in parts)
        read = read_logits(model, batch if isinstance(images, tuple) else batch[0], forward)
        batches.append(read.float().cpu())
    scores = torch.cat(batches)
    if not scores.isfinite().all():
        raise ValueError(
            f"the model's logits are not finite on {int((~scores.isfinite()).any(1).sum())} of the images"
        )
    return scores


def _rows(values: Any, images: int, classes: int, order: Tensor, what: str) -> Tensor:
    rows = _tensor(values, f"{what} must be class indices or weights")
    if rows.ndim == 0:
        rows = rows.expand(images)
    if len(rows) != images:
        raise ValueError(f"{what} has {len(rows)} entries for {images} images; give one for each")
    return check_targets(rows[order], len(order), classes)


def _labels(labels: Any, images: int, classes: int, order: Tensor) -> Tensor:
    """(n,) int64, or (n, K) of 0 and 1 for a model of several labels."""
    rows = _tensor(labels, "labels must be (N,) integers")
    if rows.ndim == 2:
        return _multi_hot(rows, images, classes)[order]
    if rows.ndim != 1 or rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        advice = "; pass labels.long()" if rows.ndim == 1 and not rows.is_complex() else ""
        raise ValueError(
            f"labels must be (N,) integers, not {rows.dtype} of shape {tuple(rows.shape)}{advice}"
        )
    if len(rows) != images:
        raise ValueError(f"labels has {len(rows)} entries for {images} images; give one for each")
    wrong = rows[(rows < 0) | (rows >= max(classes, 2))]
    if len(wrong):
        raise ValueError(
            f"label {int(wrong[0])} is out of range; the model has the classes 0 to {max(classes, 2) - 1}"
        )
    return rows[order].long()


def _multi_hot(rows: Tensor, images: int, classes: int) -> Tensor:
    """Labels (N, K) of 0 and 1; (N,) classes where each row holds a single 1, or where the model has one output."""
    if rows.shape != (images, classes):
        raise ValueError(
            f"labels must be (N,) integers, not {rows.dtype} of shape {tuple(rows.shape)}; for several labels an "
            f"image they must be ({images}, {classes}) of 0 and 1, a column for each output of the model"
        )
    wrong = rows[(rows != 0) & (rows != 1)]
    if len(wrong):
        raise ValueError(
            f"labels of two dimensions must be 0 or 1, not {wrong[0].item()}: a 1 for each label that an image has"
        )
    if classes == 1:
        return rows[:, 0].long()
    return rows.argmax(1) if bool((rows.sum(1) == 1).all()) else rows.long()


def _tensor(values: Any, rule: str) -> Tensor:
    _check_unmasked(values, rule.partition(" ")[0])
    try:
        found = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values)).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"{rule}, not {shown(values)}") from None
    if reason := unreadable(found):
        raise ValueError(f"{rule}; this tensor is {reason}")
    return found.cpu()


def _check_unmasked(values: Any, what: str) -> None:
    hidden = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if hidden:
        raise ValueError(
            f"{what} is a masked array with {hidden} of {values.size} values masked; pass .filled(...)"
        )


def _mode_note(model: nn.Module) -> tuple[str, ...]:
    training = [module for module in model.modules() if mode_of(module)]
    if not training:
        return ()
    own = next((type(module).__name__ for module in training if has_own_train(module)), None)
    uncalled = (
        f"; {own}.train() was not called: if it prepares weights, call model.eval() first" if own else ""
    )
    return (f"the model was handed over in training mode; it was audited in evaluation mode{uncalled}",)


def _left_out_note(used: Chosen) -> tuple[str, ...]:
    if not used.left_out:
        return ()
    return (
        f"{used.left_out} of the images equal others, or nearly do, and are left out: {used.different} different ones "
        f"are used",
    )
