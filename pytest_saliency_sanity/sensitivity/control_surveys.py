"""Surveys of the control explainers, made once for each model, images and seed."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from types import MethodType
from typing import Any

from pytest_saliency_sanity.audited.sharing import found_once
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.perturbations.restoring.changes import checksum
from pytest_saliency_sanity.sensitivity.survey import Survey

_KEPT = 8  # control surveys kept, the oldest dropped first


class ControlSurveys:
    """Surveys of the control explainers, made once per model, images and seed and shared by all explainers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Survey] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> Survey | None:
        """The survey kept under `key`."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: tuple[Any, ...], begun: Survey) -> Survey:
        """Keep `begun`, dropping the oldest."""
        self._kept[key] = begun
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return begun


def fingerprint(subject: Subject) -> tuple[Any, ...]:
    """What the maps of a control depend on: the layers, the weights, the images, the targets, the seed."""
    state = (*subject.model.parameters(), *subject.model.buffers(), *subject.inputs)
    values = found_once(subject.known, "values", lambda: tuple(map(checksum, state)))
    values = (*values, checksum(subject.targets))
    shape = (*subject.inputs[0].shape, subject.channel_axis, subject.embed)
    return repr(subject.model), values, shape, _weakly(subject.forward), subject.seed


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
