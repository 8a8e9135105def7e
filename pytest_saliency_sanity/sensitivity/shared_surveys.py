"""Surveys of controls that the processes of a run share: whoever is first makes a part, the others read it from files.

A part is the first maps, or what one look wants of some measures; it is written once. Its files are those of the store
of trained networks: nothing is unpickled, and what is damaged counts as none. Where a part cannot be shared, each
process makes it for itself, as without a folder.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.first_maps import Examination, glanced
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.sensitivity.growth import is_grown
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure
from pytest_saliency_sanity.sensitivity.survey import Cell, Survey, chunks_for, original_of
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.trained_networks import store
from pytest_saliency_sanity.trained_networks.fingerprints import (
    code_fingerprint,
    combined,
    model_fingerprint,
    tensor_fingerprint,
)

_SHARE = 0.5  # of the time that is left which a process waits for another one's part
_LONGEST = 600.0  # seconds of it, where there is no budget
_Content = tuple[dict[str, Tensor], dict[str, Any]]


def shared_name(subject: Subject, asked: str) -> str:
    """What a control's survey is called in the folder of the run, the same in each of its processes.

    "" where there is no folder, and where a part of what it depends on cannot be told across processes: a forward
    function that is a lambda, a closure or a method, a model whose attributes cannot be read.
    """
    if _folder() is None or not _is_by_reference(subject.forward):
        return ""
    try:
        return combined(*_depends_on(subject), asked)
    except Exception as error:  # of any kind: a model's attributes may be anything
        if is_interruption(error):
            raise
        return ""


def first_maps(subject: Subject, name: str, meter: Meter, make: Callable[[], Examination]) -> Examination:
    """The first maps of a control, which another process has made, or which are made now."""
    made: list[Examination] = []

    def written() -> _Content:
        made.append(make())
        return _of_first(made[0])

    def read(entry: store.Entry) -> None:
        made.append(_first(subject, entry))

    _once(combined(name, "first maps"), meter, read, written) if name else made.append(make())
    return made[0]


def grown(
    begun: Survey,
    look: Look,
    measures: Sequence[Measure],
    subject: Subject,
    meter: Meter,
    make: Callable[[], None],
) -> None:
    """Let a survey grow to a look by what another process has made; `make` does the rest.

    Args:
        make: () -> None, grows the survey in this process.
    """
    if not begun.shared or is_grown(begun, look, measures):
        return make()
    names = [measure.name for measure in measures]
    chunks = chunks_for(begun, look.images)

    def written() -> _Content:
        make()
        return _of_part(begun, names, chunks, look.draws)

    def read(entry: store.Entry) -> None:
        _fill(begun, subject, entry)

    _once(combined(begun.shared, *names, chunks, look.draws), meter, read, written)
    return make()


# One process makes a part, the others read it.


def _once(
    key: str, meter: Meter, read: Callable[[store.Entry], None], written: Callable[[], _Content]
) -> None:
    folder = _folder()
    with _alone(folder, key, meter) as place:
        entry = None if folder is None else _loaded(folder, key)
        if entry is not None:
            with contextlib.suppress(_Misfit):
                return read(entry)
        content = written()
        if place is not None:
            _save(place, key, content)
    return None


def _folder() -> Path | None:
    """The folder of the run, where this process sees it: it may be another machine's."""
    shared = settings.current().shared
    return Path(shared) if shared is not None and Path(shared).is_dir() else None


@contextlib.contextmanager
def _alone(folder: Path | None, key: str, meter: Meter) -> Iterator[Path | None]:
    """Within this context no other process makes the same part; the folder to write it to, None where it is not shared.

    Who waits too long makes it, and writes nothing. Without locks all write: the same, each file at once.
    """
    if folder is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        place: Path | None = folder
        try:
            stack.enter_context(store.locked(folder, key, _patience(meter)))
        except store.Busy:
            place = None
        except OSError:
            pass
        yield place


def _patience(meter: Meter) -> float:
    return min(max(meter.deadline - time.monotonic(), 0.0) * _SHARE, _LONGEST)


def _loaded(folder: Path, key: str) -> store.Entry | None:
    try:
        return store.load(folder, key)
    except store.Damaged:
        return None


def _save(folder: Path, key: str, content: _Content) -> None:
    state, facts = content
    if state and folder.is_dir() and all(part.is_contiguous() for part in state.values()):
        with contextlib.suppress(OSError, TypeError):  # a full disk; a dtype that the format does not have
            store.save(folder, key, state, facts)


# What is written, and how it is read.


class _Misfit(Exception):
    """What was stored is no such part."""


def _of_first(first: Examination) -> _Content:
    state = {**_named("maps", first.maps), "repeated": first.repeated}
    return state, {"inputs": len(first.maps), "same": first.deterministic}


def _first(subject: Subject, entry: store.Entry) -> Examination:
    with _fitting():
        state, facts = entry.state, entry.facts
        maps = _maps(subject, state, "maps", facts["inputs"])
        return glanced(subject, maps, state["repeated"].clone(), facts["same"])


def _of_part(begun: Survey, names: Sequence[str], chunks: int, draws: int) -> _Content:
    """The originals but those of the first maps, and the cells of these measures."""
    state: dict[str, Tensor] = {}
    for chunk in range(1, chunks):
        original = begun.originals[chunk]
        state |= _named(f"maps {chunk}", original.maps)
        state[f"repeated {chunk}"] = torch.from_numpy(original.repeated)
    cells = [cell for cell in begun.cells if cell[0] in names and cell[1] < chunks and cell[2] < draws]
    for number, cell in enumerate(cells):
        for kind, (matched, mismatched) in begun.cells[cell].similarities.items():
            state[f"{number} {kind}"] = torch.from_numpy(np.stack([matched, mismatched]))
    listed = [[*cell, begun.cells[cell].constant] for cell in cells]
    return state, {"inputs": len(begun.originals[0].maps), "chunks": chunks, "cells": listed}


def _fill(begun: Survey, subject: Subject, entry: store.Entry) -> None:
    with _fitting():
        cells = {
            tuple(cell): Cell(_similarities(entry.state, number), constant, {})
            for number, (*cell, constant) in enumerate(entry.facts["cells"])
        }
        with preserved(subject.model, subject.snapshot):
            for chunk in range(len(begun.originals), entry.facts["chunks"]):
                maps = _maps(subject, entry.state, f"maps {chunk}", entry.facts["inputs"])
                repeated = entry.state[f"repeated {chunk}"].numpy().copy()
                begun.originals.append(original_of(begun, begun.chunks[chunk], maps, repeated))
        begun.cells.update({cell: found for cell, found in cells.items() if cell not in begun.cells})


def _similarities(state: Mapping[str, Tensor], number: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    found = {
        name.partition(" ")[2]: part for name, part in state.items() if name.partition(" ")[0] == str(number)
    }
    return {kind: (part[0].numpy().copy(), part[1].numpy().copy()) for kind, part in found.items()}


def _named(name: str, maps: Maps) -> dict[str, Tensor]:
    return {f"{name}.{number}": part for number, part in enumerate(maps)}


def _maps(subject: Subject, state: Mapping[str, Tensor], name: str, inputs: int) -> Maps:
    """In memory of their own, on the CPU, as `explain` returns them."""
    if inputs != len(subject.explained):
        raise ValueError(f"maps of {inputs} inputs for a model of {len(subject.explained)}")
    return tuple(state[f"{name}.{number}"].clone() for number in range(inputs))


@contextlib.contextmanager
def _fitting() -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _Misfit from error


# What a survey depends on.


def _depends_on(subject: Subject) -> tuple[str | int | None, ...]:
    return (
        model_fingerprint(subject.model),
        *map(tensor_fingerprint, (*subject.inputs, subject.targets)),
        None if subject.forward is None else code_fingerprint(subject.forward),
        str(subject.channel_axis),
        subject.embed,
        subject.seed,
        subject.name,
        *_numerics(subject),
    )


def _numerics(subject: Subject) -> tuple[str | int, ...]:
    """What else decides how numbers are rounded."""
    return (
        torch.__version__,
        torch.backends.cpu.get_cpu_capability(),
        str(subject.inputs[0].device),
        torch.get_num_threads(),
        str(torch.get_default_dtype()),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
    )


def _is_by_reference(function: Any) -> bool:
    """Whether another process finds the same function by its name."""
    if function is None:
        return True
    found: Any = sys.modules.get(getattr(function, "__module__", ""))
    return isinstance(function, FunctionType) and getattr(found, function.__qualname__, None) is function
