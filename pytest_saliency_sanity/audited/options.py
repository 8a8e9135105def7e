"""Options that several checks take, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.outputs import unreadable
from pytest_saliency_sanity.perturbations.infills import as_values, broadcast, check_fits, named
from pytest_saliency_sanity.statistics import FIGURES
from pytest_saliency_sanity.text import shown


def check_thresholds(**thresholds: float) -> None:
    """Raise ValueError unless every threshold is a number between 0 and 1."""
    for label, value in thresholds.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < 1:
            raise ValueError(f"{label} must lie between 0 and 1, not {shown(value)}")


def check_flags(**flags: bool) -> None:
    """Raise TypeError unless every flag is True or False."""
    for label, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{label} must be True or False, not {shown(value)}")


def check_classes(classes: Any, count: int) -> tuple[int, ...]:
    """The classes that were asked for, one or several (a number, a sequence, a tensor), as a tuple; () for None.

    Raises:
        ValueError: for none, for one that the model's `count` logits do not have, and for one that is given twice.
    """
    if classes is None:
        return ()
    readable = not isinstance(classes, Tensor) or not unreadable(classes)
    listed = classes.tolist() if hasattr(classes, "tolist") and readable else classes
    given = tuple(listed) if isinstance(listed, Iterable) else (listed,)
    wrong = [
        k for k in given if not isinstance(k, Integral) or isinstance(k, bool) or not 0 <= int(k) < count
    ]
    if wrong or not given:
        found = shown(wrong[0]) if wrong else "an empty sequence"
        raise ValueError(f"classes must be numbers from 0 to {count - 1} (the model's logits), not {found}")
    if len(set(given)) < len(given):
        raise ValueError(f"classes must differ from one another, not {shown(given)}")
    return tuple(int(k) for k in given)


def check_images(audited: Subject, what: str) -> None:
    """Raise NotApplicable, beginning with `what`, unless the inputs are one tensor (N, C, H, W)."""
    if audited.packed or audited.inputs[0].ndim != 4:
        shapes = ", ".join(str(tuple(part.shape)) for part in audited.inputs)
        raise NotApplicable(f"{what}: inputs must be a tensor (N, C, H, W), not {shapes}")


def check_demands(**demands: float) -> None:
    """Raise ValueError unless every demand on a share is a number from 0 to 1, both included."""
    for label, value in demands.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
            raise ValueError(f"{label} must be a number from 0 to 1, not {shown(value)}")


def reached(least: float) -> float:
    """What a share has to be above to have reached `least`: there is nothing above 1, so 1 itself is enough there."""
    return math.nextafter(1.0, 0.0) if least == 1 else least


def kept_to(most: float) -> float:
    """What a share has to be below to have kept to `most`: there is nothing below 0, so 0 itself is enough there."""
    return math.nextafter(0.0, 1.0) if most == 0 else most


def of_images(infill: Any, index: Tensor, count: int) -> Any:
    """The rows at `index` of an infill (or of one for each mode) that has a row for each of `count` images."""
    if isinstance(infill, Mapping):
        return {mode: of_images(one, index, count) for mode, one in infill.items()}
    if isinstance(infill, Tensor) and infill.dim() == 4 and len(infill) == count > 1:
        return infill[index.to(infill.device)]
    return infill


def of_chosen(infill: Any, audited: Subject, inputs: Any) -> Any:
    """An infill (or one for each mode) for those of the user's images that are looked at; values become tensors.

    What is neither a name nor values comes back as it is.

    Raises:
        ValueError: for values that do not broadcast to the user's images.
    """
    if isinstance(infill, Mapping):
        return {mode: of_chosen(one, audited, inputs) for mode, one in infill.items()}
    values = as_values(infill)
    if values is None:
        return infill
    count = audited.images if inputs is None else len(inputs)
    check_fits(values, (count, *audited.inputs[0].shape[1:]))
    return values if inputs is None or audited.order is None else of_images(values, audited.order, count)


def fitted(infill: Any, images: Tensor) -> Any:
    """An infill (or one for each mode) with its values broadcast to the images, and "mean" as that of all of them.

    Raises:
        ValueError: for values that do not fit, or are not finite.
    """
    if isinstance(infill, Mapping):
        return {mode: fitted(one, images) for mode, one in infill.items()}
    if isinstance(infill, Tensor):
        return broadcast(infill, images)
    return named(images, infill) if infill == "mean" else infill


def figure_names(similarities: Sequence[str] | str) -> tuple[str, ...]:
    """The paper's figures that were asked for, one name or several.

    Raises:
        ValueError: for an unknown one, listing the choices.
    """
    several = isinstance(similarities, Iterable) and not isinstance(similarities, (str, bytes))
    names: tuple[Any, ...] = tuple(similarities) if several else (similarities,)
    for name in names:
        if not isinstance(name, str) or name not in FIGURES:
            raise ValueError(f"unknown similarity {shown(name)}; choose from {', '.join(FIGURES)}")
    return names
