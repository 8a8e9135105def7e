"""What has to hold before a verdict means something: accuracy, living copies, controls, repeatability."""

from __future__ import annotations

import weakref
import zlib
from collections import OrderedDict
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.checks import accuracy, model_batches
from pytest_saliency_sanity.checks.liveness import USABLE
from pytest_saliency_sanity.checks.subject import Subject
from pytest_saliency_sanity.checks.survey import Sample, Survey
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.statistics import mismatched_similarity, rank
from pytest_saliency_sanity.verdict import Finding

CHANCE_LEVEL = 0.05  # the model must beat chance at this level
SAME_FOR_ALL = 0.1  # N - X at or below this: the map does not depend on the image
REPEATABLE = 0.2  # N - X below this, for an explainer that cannot be replayed: nothing can be seen
MOSTLY_CONSTANT = 0.75  # share of constant maps on re-initialized networks above which nothing can be seen
_EDGES_ON = 8  # images that Sobel is tried on
_KEPT = 8  # control surveys kept, the oldest dropped first


def accuracy_findings(subject: Subject) -> tuple[Finding, ...]:
    """With labels: inconclusive unless the model predicts them better than chance, see `accuracy.p_value`."""
    if subject.labels is None or accuracy.p_value(subject) < CHANCE_LEVEL:
        return ()
    total = subject.labels.numel()
    hits = round(float(accuracy.hits(subject).mean()) * total)
    if accuracy.is_one_answer(subject):
        sentence = (
            f"all {subject.images} labels are {subject.labels[0].tolist()}: whoever always answers so is as accurate "
            f"as the model ({hits} of {total}); add images of other classes"
        )
        return (Finding("gate.accuracy", "inconclusive", sentence),)
    sentence = (
        f"the model predicts {hits} of {total} labels correctly, no better than chance "
        f"({accuracy.chance(subject):.2f}, that of a constant answer); its maps cannot show whether they depend on "
        f"what it learned"
    )
    return (Finding("gate.accuracy", "inconclusive", sentence),)


def batch_findings(subject: Subject) -> tuple[Finding, ...]:
    """Inconclusive where a check needs the logits of changed images, and these depend on the batch as well."""
    if not subject.batch_effect:
        return ()
    sentence = (
        "the model's own logits depend on the batch, and this check compares logits of other batches; give the model "
        "running statistics, or static quantization"
    )
    return (Finding("gate.batch", "inconclusive", sentence),)


def caveats(subject: Subject) -> tuple[str, ...]:
    """What the summary has to say of the images: stand-ins, and an accuracy that nobody checked."""
    return (*image_caveats(subject), *(("accuracy not checked",) if subject.labels is None else ()))


def image_caveats(subject: Subject) -> tuple[str, ...]:
    """What the summary has to say of images that are not the user's, or fewer than they seem."""
    if subject.stand_ins:
        found = (f"{subject.images} stand-in photographs",)
    else:
        found = (f"{subject.images} different images",) if subject.left_out else ()
    return (*found, *model_batches.caveat(subject.batch_effect))


def image_findings(sample: Sample, begun: Survey) -> tuple[Finding, ...]:
    """Of the shallowest depth: a map that is the same for every image, or one that cannot be repeated."""
    scale = float((sample.repeated[:, None] - sample.mismatched).mean())
    if begun.replay and scale < REPEATABLE:
        sentence = (
            f"two runs of it agree only {float(sample.repeated.mean()):.2f}, and it cannot be replayed: it draws "
            f"from a generator of its own; let it draw from torch's global generator, or raise its number of samples"
        )
        return (Finding("gate.repeatability", "inconclusive", sentence),)
    if not begun.replay and scale <= SAME_FOR_ALL:
        sentence = (
            f"depends on neither image nor model: its map of an image has a rank correlation of "
            f"{float(sample.mismatched.mean()):.2f} with its maps of other images on re-initialized models"
        )
        return (Finding("input_independent", "fail", sentence),)
    return ()


def usable_findings(begun: Survey, chunks: int) -> tuple[Finding, ...]:
    """Inconclusive when fewer than two, or less than a quarter, of the maps are not constant.

    GradCAM honestly returns zero for an image whose weighted channels are all negative; such images are left out.
    """
    constant = sum(int(original.constant.sum()) for original in begun.originals[:chunks])
    total = sum(len(original.constant) for original in begun.originals[:chunks])
    if total - constant >= max(2, total * USABLE):
        return ()
    sentence = (
        f"{constant} of its {total} maps of the trained model are constant; too few are left to compare"
    )
    return (Finding("gate.constant_maps", "inconclusive", sentence),)


def copies_findings(begun: Survey, depths: list[str]) -> tuple[Finding, ...]:
    """Inconclusive when nearly all maps of the re-initialized networks are constant."""
    for depth in depths:
        share = begun.constant_share(depth)
        if share > MOSTLY_CONSTANT:
            sentence = (
                f"{share:.0%} of its maps are constant on the networks re-initialized at depth {depth!r}; "
                f"a constant map cannot show what survives"
            )
            return (Finding("gate.constant_copies", "inconclusive", sentence),)
    return ()


def edge_findings(subject: Subject) -> tuple[Finding, ...]:
    """Sobel's maps know no model, so T = N = 1: they fail wherever images differ in their edges (X below 1)."""
    if subject.inputs[0].ndim < 3:
        return ()
    index = torch.arange(min(_EDGES_ON, subject.images))
    images = subject.inputs[0][index.to(subject.inputs[0].device)]
    targets = subject.targets[index.to(subject.targets.device)]
    with using_channel_axis(subject.channel_axis):
        edges = rank(controls.sobel(subject.model, images, targets).flatten(1))
    shared = float(mismatched_similarity(edges, edges).mean())
    if edges.constant.all() or 1 - shared <= SAME_FOR_ALL:
        return (no_control(f"even Sobel's edges cannot tell the images apart (they share {shared:.2f})"),)
    return ()


def no_control(what: str) -> Finding:
    """The finding that a control explainer has not done what it has to."""
    return Finding(
        "gate.controls",
        "inconclusive",
        f"{what}; this model on these images cannot show whether an explainer depends on it",
    )


class ControlSurveys:
    """Surveys of the control explainers, made once per model, images and seed and shared by all explainers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, Survey] = OrderedDict()

    def get(self, key: tuple) -> Survey | None:
        """The survey kept under `key`."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: tuple, begun: Survey) -> Survey:
        """Keep `begun`, dropping the oldest."""
        self._kept[key] = begun
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return begun


def fingerprint(subject: Subject) -> tuple:
    """What the maps of a control depend on: the layers, the weights, the images, the targets, the seed."""
    state = (*subject.model.parameters(), *subject.model.buffers())
    weights = tuple(_digest(tensor) for tensor in state)
    images = tuple(_digest(part) for part in (*subject.inputs, subject.targets))
    shape = (*subject.inputs[0].shape, subject.channel_axis)
    return repr(subject.model), weights, images, shape, _weakly(subject.forward), subject.seed


def _weakly(function: Any) -> Any:
    """A key that is equal for the same function, and does not keep it (and the model that it may hold) alive."""
    if function is None:
        return None
    try:
        found = (weakref.WeakMethod if isinstance(function, MethodType) else weakref.ref)(function)
        hash(found)  # as long as it lives; a key that is dead is equal to itself alone
    except TypeError:  # of a class with slots, or one that cannot be hashed
        return function
    return found


def _digest(tensor: Tensor) -> int:
    """A checksum of the bytes; it tells states apart and protects against nothing."""
    copied = tensor.detach().to("cpu", copy=True)  # the storage of what numpy has seen can be resized no more
    return zlib.crc32(copied.reshape(-1).view(torch.uint8).numpy())
