"""What is audited: the user's arguments, checked and converted, as one frozen value."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.adapters import adapted
from pytest_saliency_sanity.audited import model_batches, provenance
from pytest_saliency_sanity.audited.arguments import (
    check_model,
    checked_name,
    read_images,
    read_rows,
    read_tokens,
)
from pytest_saliency_sanity.audited.different_images import Chosen, chosen
from pytest_saliency_sanity.audited.labels import read_labels
from pytest_saliency_sanity.audited.sharing import found_once, once
from pytest_saliency_sanity.embedding import embeddings
from pytest_saliency_sanity.layout import check_channel_axis
from pytest_saliency_sanity.loans import entered, loan
from pytest_saliency_sanity.outputs import Forward, like_model, read_logits, unreadable, using_forward
from pytest_saliency_sanity.perturbations import Snapshot, evaluating, preserved, replayed
from pytest_saliency_sanity.perturbations.restoring.changes import checksum, restructured
from pytest_saliency_sanity.perturbations.restoring.modes import has_own_train, mode_of
from pytest_saliency_sanity.perturbations.restoring.process import keeping_process
from pytest_saliency_sanity.text import name_of


@dataclass(frozen=True)
class Subject:
    """An explainer, a model and the images they are audited on.

    Attributes:
        explainer: callable (model, inputs, targets) -> map.
        name: the explainer's name in messages.
        model: the user's own object.
        inputs: one (N, C, *S) tensor for each input of the model, on its device, in its dtype; token ids with `embed`.
        packed: whether the model takes a tuple of inputs.
        targets: (N,) int64 or (N, K) weights.
        scores: (N, K) logits of the images, on the CPU.
        labels: (N,) int64, (N, K) of 0 and 1 for several labels per image, or None.
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
        channel_axis: where the channels of the inputs are; None, if it was not given, means 1.
        embed: the layer whose output is explained in place of the inputs, or None.
        embedded: (N, L, D) that output.
        known: what checks have found out of the model on these images; it fills. In an `audit`, all its checks do.
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
    embed: str | None = None
    embedded: Tensor | None = None
    known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

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
        parts = _at(self.inputs, index)
        return parts if self.packed else parts[0]

    @property
    def explained(self) -> tuple[Tensor, ...]:
        """What the maps are of: the inputs, or the embeddings of token ids."""
        return self.inputs if self.embedded is None else (self.embedded,)

    def explained_at(self, index: Tensor) -> tuple[Tensor, ...]:
        """The same of the images at `index`."""
        return _at(self.explained, index)

    def explained_as(self, count: int) -> tuple[Tensor, ...]:
        """Tensors of the shape, dtype and device of `count` of them, without memory of their own."""
        return tuple(part[:1].expand(count, *part.shape[1:]) for part in self.explained)

    def by(self, explainer: Callable[..., Any], name: str) -> Subject:
        """The same model and images, explained by another explainer."""
        return replace(self, explainer=explainer, name=name)


def _at(parts: tuple[Tensor, ...], index: Tensor) -> tuple[Tensor, ...]:
    return tuple(part.index_select(0, index.to(part.device)) for part in parts)


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
    embed: str | None = None,
    pictures: bool | None = None,
    limit: int | None = None,
) -> Subject:
    """Check and cast the arguments of a check.

    Args:
        limit: use at most this many images, chosen by the seed; None means twice the profile's number. Images that
            equal one another, or nearly do, count once.

    Raises:
        TypeError, ValueError: one sentence with the value and the choices.
    """
    called = adapted(explainer)
    check_model(model)
    given = settings.overridden(
        settings.current(), seed=seed, profile=profile, max_seconds=max_seconds, pictures=pictures
    )
    limit = 2 * given.amounts.images if limit is None else limit
    asked = _Asked(model, inputs, input_shape, forward, limit, given.seed, channel_axis, embed)
    read = once(lambda: _key(asked), asked, lambda: _read_whole(asked))
    order, classes = read.used.order, read.scores.shape[1]
    targets = (
        read.scores.argmax(1)
        if targets is None
        else read_rows(targets, read.count, classes, order, "targets")
    )
    labels = None if labels is None else read_labels(labels, read.count, classes, order)
    provenance.note(
        profile=given.profile,
        model=found_once(read.known, "model", lambda: provenance.of_model(model)),
        inputs=found_once(read.known, "inputs", lambda: provenance.of_tensors(read.parts)),
        targets=provenance.of_tensors([targets]),
    )
    return Subject(
        explainer=called,
        name=checked_name(name) or name_of(called),
        model=model,
        inputs=read.parts,
        packed=read.packed,
        targets=targets.to(read.parts[0].device),
        scores=read.scores,
        labels=labels,
        forward=forward,
        seed=given.seed,
        amounts=given.amounts,
        notes=_notes(model, read),
        stand_ins=inputs is None,
        order=order,
        different=read.used.different,
        left_out=read.used.left_out,
        batch_effect=read.batch_effect,
        channel_axis=check_channel_axis(channel_axis, read.parts) if embed is None else -1,
        embed=embed,
        embedded=read.embedded,
        known=read.known,
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
    embed: str | None = None


@dataclass(frozen=True)
class _Read:
    """The images as the model takes them, and what it makes of them.

    Attributes:
        count: of the user's images.
        builds: whether the model has built modules in its forward pass, which are gone again.
        known: see `Subject`.
    """

    packed: bool
    parts: tuple[Tensor, ...]
    notes: tuple[str, ...]
    count: int
    used: Chosen
    scores: Tensor
    batch_effect: float
    builds: bool
    embedded: Tensor | None = None
    known: dict[Any, Any] = field(default_factory=dict)


def _key(asked: _Asked) -> tuple[Any, ...]:
    """What the reading depends on: these very objects, as long as the values of the tensors are the same."""
    images = asked.inputs if isinstance(asked.inputs, (tuple, list)) else (asked.inputs,)
    tensors = (*asked.model.parameters(), *asked.model.buffers(), *images)
    values = tuple(
        checksum(one) for one in tensors if isinstance(one, Tensor) and not (is_lazy(one) or unreadable(one))
    )
    objects = id(asked.model), id(asked.inputs), id(asked.forward)
    return *objects, values, asked.input_shape, asked.limit, asked.seed, asked.channel_axis, asked.embed


def _read_whole(asked: _Asked) -> _Read:
    read = _read(asked)
    if read.builds:
        _build(asked, read)
        read = _read(asked)
    return read


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
        packed, parts, notes = (
            read_images(model, asked.inputs, asked.input_shape, asked.channel_axis)
            if asked.embed is None
            else read_tokens(asked.inputs, asked.embed, asked.channel_axis)
        )
        used, count = chosen(parts, asked.limit, seed), len(parts[0])
        parts = tuple(like_model(part[used.order.to(part.device)], model) for part in parts)
        scores = _scores(model, parts if packed else parts[0], forward)
        effect = model_batches.depends_by(model, parts, packed, forward, seed, scores[: model_batches.BATCH])
        embedded = None if asked.embed is None else _embedded(asked, asked.embed, parts, packed)
        builds = snapshot is not None and restructured(snapshot)
    return _Read(packed, parts, notes, count, used, scores, effect, builds, embedded)


def _embedded(asked: _Asked, layer: str, parts: tuple[Tensor, ...], packed: bool) -> Tensor:
    """(N, L, D) what the layer makes of all inputs, in batches."""
    batches = zip(*(part.split(model_batches.BATCH) for part in parts), strict=True)
    return torch.cat(
        [embeddings(asked.model, batch if packed else batch[0], layer, asked.forward) for batch in batches]
    )


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
        parts = tuple(like_model(part, model) for part in audited.inputs)
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


def _given_back(model: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """Restores the model after a forward pass, which may count calls; lazy modules have no values to restore yet."""
    tensors = (*model.parameters(), *model.buffers())
    return contextlib.nullcontext() if any(map(is_lazy, tensors)) else preserved(model)


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


def _notes(model: nn.Module, read: _Read) -> tuple[str, ...]:
    return (
        *read.notes,
        *_mode_note(model),
        *_left_out_note(read.used),
        *model_batches.note(read.batch_effect),
    )


def _mode_note(model: nn.Module) -> tuple[str, ...]:
    training = [module for module in model.modules() if mode_of(module)]
    if not training:
        return ()
    own = next((type(module).__name__ for module in training if has_own_train(module)), None)
    uncalled = (
        f"; {own} has a train() of its own, which was not called: if it prepares weights, call model.eval() "
        f"first"
        if own
        else ""
    )
    return (f"the model was passed in training mode and audited in evaluation mode{uncalled}",)


def _left_out_note(used: Chosen) -> tuple[str, ...]:
    if not used.left_out:
        return ()
    return (
        f"{used.left_out} of the images are identical or nearly identical to others and were left out: "
        f"{used.different} different images were used",
    )
