"""The images of two classes among those that a check is given, and their targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.options import check_images
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.explainers.distancing_options import checked_classes
from pytest_saliency_sanity.text import shown


def of_two_classes(
    audited_by: Callable[..., Subject], classes: Any, inputs: Any, targets: Any, labels: Any
) -> Subject:
    """The subject of the images that are of the two classes; of all images where there are no labels.

    Args:
        audited_by: `audited.subject.subject`, called with inputs, targets and labels=.
        classes: the two.
        inputs: (N, C, H, W).
        targets: (N,) of the two classes; None means the one that the model ranks higher.
        labels: (N,) or None.

    Raises:
        TypeError, ValueError: for bad arguments, and for fewer than two images of the classes; in one sentence.
    """
    pair = checked_classes(classes)
    if inputs is None:
        raise ValueError(
            "distancing needs inputs= with images of two classes that the model knows; the stand-in photographs "
            "show no such classes"
        )
    audited = audited_by(inputs, targets, labels=labels)
    check_images(audited, "GAD explains images")
    _check_range(pair, audited.classes)
    rows = torch.arange(len(inputs)) if labels is None else _labeled(labels, pair)
    if len(rows) < len(inputs):
        audited = _left(audited_by, rows, inputs, targets, labels)
    return _targeted(audited, targets, pair)


def _check_range(classes: tuple[int, int], count: int) -> None:
    if max(classes) >= count:
        raise ValueError(f"class {max(classes)} is out of range: the model has {count} logits")


def _labeled(labels: Any, classes: tuple[int, int]) -> Tensor:
    """The numbers of the images of the two classes."""
    found = _values(labels)
    if found.ndim != 1:
        raise ValueError(
            f"labels must be (N,) integers, one class per image, not of shape {tuple(found.shape)}; leave out images "
            f"of several labels, and pass labels.argmax(1)"
        )
    rows = torch.isin(found, torch.tensor(classes)).nonzero()[:, 0]
    if len(rows) < 2:
        raise ValueError(
            f"labels assign {len(rows)} of {len(labels)} images to the classes {classes[0]} and {classes[1]}; at "
            f"least 2 are needed"
        )
    return rows


def _left(
    audited_by: Callable[..., Subject], rows: Tensor, inputs: Any, targets: Any, labels: Any
) -> Subject:
    """The subject of the images at `rows` alone."""
    per_image = targets is not None and np.ndim(targets) > 0
    audited = audited_by(
        _values(inputs)[rows], _values(targets)[rows] if per_image else targets, labels=_values(labels)[rows]
    )
    note = f"{len(inputs) - len(rows)} of {len(inputs)} images have labels of other classes and were left out"
    order = rows if audited.order is None else rows[audited.order]
    return replace(audited, order=order, notes=(note, *audited.notes))


def _values(given: Any) -> Tensor:
    return (given if isinstance(given, Tensor) else torch.from_numpy(np.array(given))).detach().cpu()


def _targeted(audited: Subject, targets: Any, classes: tuple[int, int]) -> Subject:
    """The subject with targets of the two classes."""
    first, second = classes
    if targets is None:
        ranked = torch.where(audited.scores[:, first] >= audited.scores[:, second], first, second)
        return replace(audited, targets=ranked.to(audited.targets.device))
    if audited.targets.dim() != 1 or not torch.isin(audited.targets.cpu(), torch.tensor(classes)).all():
        raise ValueError(f"targets must be of the classes {first} and {second}, got {shown(targets)}")
    return audited
