"""The first maps of an explainer: whether it keeps its contract, and how it behaves when it is called again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination import layouts
from pytest_saliency_sanity.examination.batches import (
    Batch,
    agreement,
    check_deterministic,
    check_places,
    check_stochastic,
    constant_images,
    distance,
    rounding,
)
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.forecast import before_first, foretell_memory
from pytest_saliency_sanity.examination.image_dependence import (
    SAME,
    gradients_share,
    linear_note,
    same_findings,
    shared_by_images,
)
from pytest_saliency_sanity.examination.liveness import dead_findings
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Breach, Meter
from pytest_saliency_sanity.examination.own_doing import OwnDoing, watched
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.perturbations import Snapshot, changes, evaluating, preserved, replayed
from pytest_saliency_sanity.verdict import Finding, Verdict

FIRST = 8  # images of the first batch
_REPLAYED = 2  # images by which a control shows that it can be replayed
_FORBIDDEN = ("weights", "buffers", "modes", "hooks", "modules", "requires_grad")


@dataclass(frozen=True)
class Examination:
    """The first maps of an explainer, and how it behaves when it is called again.

    Attributes:
        index: the images explained.
        maps: their maps.
        deterministic: whether a call with another random stream gave the same maps.
        repeated: (n,) rank correlation of a call with its replay on the same random stream.
        free: (n,) rank correlation of two calls on different random streams.
        constant: (n,) whether a map has one value everywhere.
        alone: whether it is called with one image at a time, since its maps differ with the size of the batch.
        shared: how alike the maps of different images are, see `shared_by_images`.
        gradients: the same of the plain gradient, where the explainer's are the same for every image.
        dead: why no maps could tell anything else, where the explainer's are constant, or the same for every image.
        channel_axis: of the inputs, as the user says, or as the maps show.
        signals: the shape of inputs that may as well be embeddings (N, L, D), and are read as signals.
    """

    index: Tensor
    maps: Maps
    deterministic: bool
    repeated: Tensor
    free: Tensor
    constant: Tensor
    alone: bool = False
    shared: float | None = None
    gradients: float | None = None
    dead: tuple[Finding, ...] = ()
    channel_axis: int | None = None
    signals: tuple[int, ...] | None = None

    def applied(self, audited: Subject) -> Subject:
        """The subject, called as the explainer has to be, its maps read as they are."""
        return replace(audited, alone=self.alone, channel_axis=self.channel_axis)


def examine(audited: Subject, meter: Meter) -> Examination:
    """Explain the first images, watched, and again: on another stream, in other batches, beside other images.

    Raises:
        Breach: for everything that the contract forbids; what was changed has been undone.
        Refusal: when the method does not exist for this model.
    """
    index, stream = _first(audited)
    with preserved(audited.model, audited.snapshot) as snapshot:
        before = before_first(audited)
        maps = explain(audited, meter, index, stream, watch_inputs=True)
        foretell_memory(audited, len(index), before)
        audited = layouts.shown_by(audited, maps)
        observation.first_maps(audited, index, maps)
        _check_unchanged(snapshot, audited, lambda: explain(audited, meter, index, stream))
        again = explain(audited, meter, index, stream_of(audited.seed, "free", 0))
        deterministic = bool((distance(maps, again) <= rounding(audited)).all())
        free = torch.ones(len(index)) if deterministic else agreement(maps, again)
        batch = Batch(audited, meter, stream, maps, None if deterministic else free)
        found = _examined(batch, index, deterministic, free)
        _check_unchanged(snapshot, audited, lambda: _examined(batch, index, deterministic, free))
    return found


def glance(audited: Subject, meter: Meter) -> Examination:
    """The first maps of an explainer of this package, of which only one thing is not known: what a replay gives.

    Raises:
        Breach, Refusal: as `examine`.
    """
    index, stream = _first(audited)
    with preserved(audited.model, audited.snapshot):
        maps = explain(audited, meter, index, stream, watch_inputs=True)
        few = explain(audited, meter, index[:_REPLAYED], stream)
        same = bool((distance(tuple(part[:_REPLAYED] for part in maps), few) <= rounding(audited)).all())
        repeated = torch.ones(len(index)) if same else agreement(maps, explain(audited, meter, index, stream))
    return glanced(audited, maps, repeated, same)


def glanced(audited: Subject, maps: Maps, repeated: Tensor, same: bool) -> Examination:
    """What `glance` knows of the first maps, and of how well they are replayed."""
    return Examination(
        _first(audited)[0],
        maps,
        same,
        repeated,
        repeated,
        constant_images(maps),
        alone=audited.alone,
        channel_axis=audited.channel_axis,
    )


def first_batch(images: int) -> int:
    """How many of so many images the first batch holds: one more where that one would be left alone."""
    return images if images == FIRST + 1 else min(FIRST, images)


def _first(audited: Subject) -> tuple[Tensor, int]:
    """The images of the first batch, and its random stream."""
    return torch.arange(first_batch(audited.images)), stream_of(audited.seed, "images", 0)


def _examined(batch: Batch, index: Tensor, deterministic: bool, free: Tensor) -> Examination:
    if batch.audited.batch_effect:
        return _examined_in_one_batch(batch, index, deterministic, free)
    return _examined_twice(batch, index) if deterministic else _examined_noise(batch, index, free)


def _examined_twice(batch: Batch, index: Tensor) -> Examination:
    """Of an explainer that gives the same maps on any stream."""
    maps, stays = batch.maps, torch.ones(len(index))
    alone = check_deterministic(batch)
    if alone:
        check_places(batch, shared_by_images(batch.audited, batch.meter, index, batch.stream, maps))
        batch = replace(batch, audited=replace(batch.audited, alone=True))
        maps = explain(batch.audited, batch.meter, index, batch.stream)
        observation.first_maps(batch.audited, index, maps)
    return _examination(replace(batch, maps=maps), index, True, stays, stays)


def _examined_in_one_batch(batch: Batch, index: Tensor, deterministic: bool, free: Tensor) -> Examination:
    """Of a model whose logits depend on the batch: no explainer's maps could stay the same in another one."""
    if deterministic:
        return _examination(batch, index, True, free, free)
    repeated = agreement(batch.maps, explain(batch.audited, batch.meter, index, batch.stream))
    return _examination(batch, index, False, repeated, free)


def _examined_noise(batch: Batch, index: Tensor, free: Tensor) -> Examination:
    """Of an explainer that gives other maps on another stream."""
    if check_stochastic(batch):
        repeated = torch.ones(len(index))
    else:
        repeated = agreement(batch.maps, explain(batch.audited, batch.meter, index, batch.stream))
    return _examination(batch, index, False, repeated, free)


def _examination(
    batch: Batch, index: Tensor, deterministic: bool, repeated: Tensor, free: Tensor
) -> Examination:
    audited, meter = batch.audited, batch.meter
    shared = shared_by_images(audited, meter, index, batch.stream, batch.maps)
    alike = shared is not None and shared >= SAME
    constant = constant_images(batch.maps)
    suspected = alike or bool(constant.all())
    return Examination(
        index=index,
        maps=batch.maps,
        deterministic=deterministic,
        repeated=repeated,
        free=free,
        constant=constant,
        alone=audited.alone,
        shared=shared,
        gradients=gradients_share(audited, meter.deadline, index, batch.stream) if alike else None,
        dead=dead_findings(audited, meter.deadline) if suspected else (),
        channel_axis=audited.channel_axis,
        signals=layouts.doubtful(audited),
    )


def blind_findings(examination: Examination) -> tuple[Finding, ...]:
    """A fail when every map is constant, or when all are one map: the explainer need not be called again.

    Not for noise, which is the same for every image as well where its stream is replayed: a check has more to say of
    it, see `unless_blind`.
    """
    if not examination.deterministic:
        return constant_findings(examination)
    return constant_findings(examination) or same_for_every_image(examination)


def unless_blind(verdict: Verdict, examination: Examination | None) -> Verdict:
    """The verdict; a pass becomes a fail where the maps do not depend on the image."""
    if examination is None or verdict.outcome != "pass":
        return verdict
    blind = same_for_every_image(examination)
    return replace(verdict, findings=blind) if blind else verdict


def same_for_every_image(examination: Examination) -> tuple[Finding, ...]:
    """A fail when the maps of all images are one map, unless the images or the model make them so."""
    found = same_findings(examination.shared, examination.gradients)
    return examination.dead or found if found else ()


def constant_findings(examination: Examination) -> tuple[Finding, ...]:
    """A fail when every map is constant, unless the images or the model make them so."""
    if not examination.constant.all():
        return ()
    if examination.dead:
        return examination.dead
    sentence = f"returns constant maps: one value everywhere on all {len(examination.index)} images"
    return (Finding("constant", "fail", sentence),)


def notes_of(examination: Examination | None) -> tuple[str, ...]:
    """What a reader of any verdict has to know of how the explainer behaved."""
    if examination is None:
        return ()
    alone = (
        "its maps change with the batch size, as those of an explainer with a random seed of its own do: each "
        "image was explained alone"
    )
    return (
        *((alone,) if examination.alone else ()),
        *layouts.note(examination.signals),
        *linear_note(examination.shared, examination.gradients),
    )


def described(examination: Examination) -> dict[str, Any]:
    """The examination's numbers."""
    return {
        "deterministic": examination.deterministic,
        "repeated": float(examination.repeated.mean()),
        "free_runs_agree": float(examination.free.mean()),
        "constant_maps": int(examination.constant.sum()),
        "shared_by_images": examination.shared,
        "alone": examination.alone,
    }


def _check_unchanged(snapshot: Snapshot, audited: Subject, explain_again: Callable[[], Any]) -> None:
    """Breach when the explainer changed weights, modes or hooks; leaving `preserved` undoes it."""
    found = changes(snapshot)
    if not found.keys().isdisjoint(("buffers", "hooks", "modules")):
        own = _own_doing(snapshot, explain_again, "buffers" in found)
        excused = {aspect: own.of(aspect) for aspect in found}
        if "buffers" in found:
            excused["buffers"] |= _moved_by_the_model(audited, snapshot)
        found = {
            aspect: tuple(name for name in names if name not in excused[aspect])
            for aspect, names in found.items()
        }
    for aspect in _FORBIDDEN:
        if found.get(aspect):
            raise Breach(
                f"contract.{aspect}",
                f"it changed the model's {aspect} ({_listed(found[aspect])}); the original state was restored",
            )


def _own_doing(snapshot: Snapshot, explain_again: Callable[[], Any], buffers: bool) -> OwnDoing:
    """What the model leaves behind while the explainer calls it, once more and from the beginning."""
    _go_back(snapshot)
    own = OwnDoing()
    with preserved(snapshot.model, snapshot), watched(snapshot.model, own, buffers):
        explain_again()
    return own


def _go_back(snapshot: Snapshot) -> None:
    with preserved(snapshot.model, snapshot):
        pass  # its end undoes what was done since the snapshot


def _moved_by_the_model(audited: Subject, snapshot: Snapshot) -> set[str]:
    """The buffers that a forward pass of the model in its earlier state changes, also by its hooks.

    The end of a pass is seen before the model's own hooks run, and scripted modules are not seen at all.
    """
    _go_back(snapshot)  # what an observer has seen already moves it no further
    with (
        preserved(audited.model, snapshot),
        evaluating(audited.model),  # the explainer may have left it in another mode
        entered(torch.no_grad()),
        replayed(audited.seed),
    ):
        logits(audited.model, audited.chosen(torch.arange(2)), audited.forward)
        return set(changes(snapshot).get("buffers", ()))


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(name or "the model itself" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
