"""One call of an explainer: fresh inputs, a stream of its own, the clock, and the shape of what comes back."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.adapters import UnusableExplainer
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.embedding import using_embed
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.examination.advice import advice_on
from pytest_saliency_sanity.examination.forecast import note_held
from pytest_saliency_sanity.examination.maps import Maps, parts_of, without_channels
from pytest_saliency_sanity.examination.meter import Breach, Meter, Refusal, Stopped
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import raw_outputs, using_forward
from pytest_saliency_sanity.perturbations import preserved, replayed
from pytest_saliency_sanity.perturbations.restoring.process import keeping_process
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.verdict import Finding


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
        watch_inputs: compare the images and targets that were passed in with the subject's own afterwards.

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
    note_held(subject, meter)
    with (
        replayed(stream),
        entered(torch.enable_grad()),
        using_forward(subject.forward),
        using_channel_axis(subject.channel_axis),
        using_embed(subject.embed),
        keeping_process() as process,
    ):
        returned = meter.timed(lambda: _called(subject, images, given), len(index))
        switched = process.changes()
    forget_gradients(subject.model)
    if switched:
        raise Breach(
            "contract.process",
            f"it changed process-wide settings: {' and '.join(switched)}; the original state was restored",
        )
    given_parts = images if subject.packed else (images,)
    expected = subject.explained_as(len(index))
    if watch_inputs:
        if _changed(subject, index, given_parts) and not _model_writes(subject, index):
            raise Breach("contract.inputs", "it changed its inputs in place")
        if not torch.equal(given, rows):
            raise Breach("contract.inputs", "it changed its targets in place")
    return tuple(
        without_channels(part, image, subject.channel_axis, watch_inputs)
        for part, image in zip(parts_of(returned, len(expected)), expected, strict=True)
    )


def check_scores(logits: Tensor, what: str) -> None:
    """Raise Stopped, inconclusive, unless the logits (n, K) of images that were changed are all finite.

    Args:
        logits: one row per image.
        what: describes these images, e.g. "with pixels deleted".
    """
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        sentence = (
            f"the model's logits are not finite for {broken} of {len(logits)} images {what}; try another infill=, "
            f"one that the model can handle"
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
        if isinstance(error, UnusableExplainer):
            raise Breach("contract.unusable", str(error), error) from error
        if isinstance(error, NotApplicable):
            raise Refusal(f"it does not apply to this model{first}", error) from error
        raise Breach(
            "contract.exception",
            f"it raised {type(error).__name__}{first}{advice_on(error, getattr(subject.explainer, 'called_as', ''))}",
            error,
        ) from error


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
