"""Whether an explainer leaves something behind outside of the model: hooks, or memory that grows with every call.

While the contract is examined, each call is watched at no cost worth mentioning. Where hooks or memory were left by the
calls after the first, it is called again, with the same images, up to `REPEATED` times, and stops at the first call
that leaves nothing: a cache that is filled once, or that knows these images already, does not grow. What grows in
every one of these calls is a leak, unless plain calls of the model leave as much, or a bounded cache keeps it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination import left_hooks
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.keepers import Keeper, keepers_of_new
from pytest_saliency_sanity.examination.kept_memory import (
    Held,
    NewTensors,
    alone,
    held_by,
    held_now,
    noting_tensors,
    tracing_arrays,
)
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Breach, Meter, Stopped
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.loans import entered, loan
from pytest_saliency_sanity.outputs import Inputs, raw_outputs
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.restoring.process_hooks import keeping_process_hooks, process_hooks

LEAKS = ("contract.hooks_elsewhere", "contract.memory")  # of which no map is the worse
REPEATED = 16  # calls that have to leave something behind, each of them
_WARMING = 2  # calls before them, which may fill a cache
_IMAGES = 2  # in each of them: what it keeps of every image is more than one map a call
_NOISE = 8 * 1024  # bytes that only the allocators know, which a call leaves where nothing is kept
_CLOSE = 64 * 1024  # such bytes in every call, below which they may be the allocators' own
_OF_THE_MODEL = (
    "plain calls of the model leave hooks or memory behind: the explainer's own cannot be told from them"
)


@dataclass(eq=False)
class Watched:
    """An explainer whose calls are watched. Mutable: it notes what they leave.

    Attributes:
        explainer: the explainer.
        tensors: those that are made meanwhile.
        made: the hooks that were registered and are still there.
        left: hooks found on the inputs, and for the whole process, in words.
        calls: how many there were.
        begun: what was held when the second and the third one began.
        last: what tensors held when the latest one after them began.
    """

    explainer: Callable[..., Any]
    tensors: NewTensors
    made: list[left_hooks.Left] = field(default_factory=list)
    left: tuple[str, ...] = ()
    calls: int = 0
    begun: list[Held] = field(default_factory=list)
    last: int = 0

    def __call__(self, model: nn.Module, inputs: Inputs, targets: Tensor) -> Any:
        """The explainer's maps."""
        self.calls += 1
        given = [*(inputs if isinstance(inputs, tuple) else (inputs,)), targets]
        if self.calls == 2:
            self.made.clear()
        if self.calls in (2, 3):
            self.begun.append(held_now(self.tensors, given))
        if self.calls > 3:
            self.last = held_by(self.tensors.lasting()) - held_by(given)
        before = process_hooks()
        with left_hooks.noting_hooks(self.made):
            maps = self.explainer(model, inputs, targets)
        self.left = self.left or before.added() or left_hooks.on_inputs(inputs)
        self.made[:] = left_hooks.still_there(self.made, model)
        return maps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.explainer, name)


@dataclass(frozen=True)
class Sample:
    """What is held after a call, and how many hooks are left."""

    held: Held
    hooks: int


@dataclass(frozen=True)
class Watch:
    """A subject, and its explainer, which is watched."""

    subject: Subject
    explainer: Watched


@loan
def watched(audited: Subject) -> Iterator[Watch]:
    """The subject with its explainer watched; on leaving, hooks for the whole process are as they were."""
    with keeping_process_hooks(), noting_tensors() as made:
        explainer = Watched(audited.explainer, made)
        yield Watch(audited.by(explainer, audited.name), explainer)


def check_leaks(watching: Watch, examination: Examination) -> tuple[str, ...]:
    """A note where the model's own calls leave as much, so that nothing can be said of the explainer's.

    Args:
        watching: a subject that has been examined under watch.
        examination: what was found.

    Raises:
        Breach: when the explainer leaves hooks outside the model, or more memory with each call.
    """
    audited, watch = watching.subject, watching.explainer
    if watch.left:
        raise Breach("contract.hooks_elsewhere", f"it left hooks outside the model: {', '.join(watch.left)}")
    unit = _bytes_of_a_map(examination.maps)
    if not _suspected(audited, watch, unit):
        return ()
    once = _calling(examination.applied(audited))
    with tracing_arrays():
        growth = _growth(once, watch, unit)
        if growth is not None and _grows_with_the_model(audited, watch.tensors, unit):
            return (_OF_THE_MODEL,)
    if growth is not None:
        _report(growth, watch, once, unit)
    return ()


def _suspected(audited: Subject, watch: Watched, unit: int) -> bool:
    """Whether the calls after the first have left hooks, tensors, or what only the allocators know."""
    if watch.calls < 2 or not alone():
        return False
    with replayed(audited.seed):  # as when a call begins, the states of the generators are held
        if watch.made or _more_beside_tensors(watch, unit):
            return True
        return _more_tensors(watch, unit)


def _more_tensors(watch: Watched, unit: int) -> bool:
    """Whether calls have left half a map each: until now, or until the last one, for the model is restored since."""
    more = held_by(watch.tensors.lasting()) - watch.begun[0].tensors
    if more > (watch.calls - 1) * unit / 2:
        return True
    return watch.calls > 3 and watch.last - watch.begun[1].tensors > (watch.calls - 3) * unit / 2


def _more_beside_tensors(watch: Watched, unit: int) -> bool:
    """Whether the second call, which explains the same images, has left more than a map of other memory."""
    before, after = watch.begun if len(watch.begun) == 2 else (*watch.begun, held_now(watch.tensors))
    return after.rest - before.rest > max(unit, _NOISE)


# Called again.


@dataclass(frozen=True)
class Growth:
    """What every one of the repeated calls has left.

    Attributes:
        hooks: how many, at least.
        memory: bytes, the median; 0 where some call left no more than a map.
    """

    hooks: int
    memory: int


def _calling(audited: Subject) -> Callable[[], object]:
    """A call with the first images, whose maps are dropped; it is not one of those that the contract takes."""
    index = torch.arange(min(_IMAGES, audited.images))
    return partial(explain, audited, Meter(), index, stream_of(audited.seed, "images", 0))


def _growth(once: Callable[[], object], watch: Watched, unit: int) -> Growth | None:
    """What repeated calls leave, each of them; None as soon as one leaves nothing."""
    for _ in range(_WARMING):
        once()
    before, steps = _sample(watch), list[Sample]()
    while len(steps) < REPEATED:
        once()
        after = _sample(watch)
        steps.append(Sample(after.held.growth(before.held), after.hooks - before.hooks))
        before = after
        if not _of_all(steps, unit):
            return None
    return _of_all(steps, unit)


def _sample(watch: Watched) -> Sample:
    return Sample(held_now(watch.tensors), len(watch.made))


def _of_all(steps: Sequence[Sample], unit: int) -> Growth | None:
    """What all of these steps have in common; None for nothing."""
    known = [step.held.tensors + step.held.arrays for step in steps]
    other = [step.held.rest for step in steps]
    beyond = min(other) > max(unit, _CLOSE)
    total = (
        [a + b for a, b in zip([step.held.tensors for step in steps], other, strict=True)]
        if beyond
        else known
    )
    memory = int(statistics.median(total)) if beyond or min(known) > unit else 0
    hooks = min(step.hooks for step in steps)
    return Growth(max(hooks, 0), memory) if hooks > 0 or memory else None


def _grows_with_the_model(audited: Subject, tensors: NewTensors, unit: int) -> bool:
    """Whether the plain gradient leaves something with every call as well, or the forward pass where there is none."""
    plain = Watched(gradient, tensors)
    try:
        return _growth(_calling(audited.by(plain, "gradient")), plain, unit) is not None
    except Stopped:
        return _growth(partial(_forward_pass, audited), plain, unit) is not None


def _forward_pass(audited: Subject) -> None:
    with replayed(audited.seed), entered(torch.enable_grad()):
        raw_outputs(
            audited.model, audited.chosen(torch.arange(min(_IMAGES, audited.images))), audited.forward
        )


# What is said of it.


def _report(growth: Growth, watch: Watched, once: Callable[[], object], unit: int) -> None:
    on = left_hooks.owners(watch.made) if growth.hooks else ()
    if on:
        raise _of_hooks(growth.hooks, on)
    if not growth.memory:
        return
    keepers = keepers_of_new(once)
    if not keepers or not all(keeper.bounded for keeper in keepers):
        raise _of_memory(growth.memory, [keeper for keeper in keepers if not keeper.bounded], unit)


def _of_hooks(count: int, on: Sequence[str]) -> Breach:
    sentence = (
        f"it leaves hooks outside the model: {count} more after each of {REPEATED} calls, on {', '.join(on)}"
    )
    return Breach(
        "contract.hooks_elsewhere", sentence, evidence={"hooks_per_call": count, "left_on": list(on)}
    )


def _of_memory(grown: int, keepers: Sequence[Keeper], unit: int) -> Breach:
    names = list(dict.fromkeys(keeper.name for keeper in keepers))
    where = f"kept in {' and in '.join(names)}" if names else "what keeps it has no name"
    maps = grown / unit
    sentence = (
        f"its memory grows with every call: by {grown:,} bytes, as much as {maps:.1f} maps, in each of {REPEATED} "
        f"calls with the same {_IMAGES} images; {where}"
    )
    evidence = {
        "calls": REPEATED,
        "images": _IMAGES,
        "bytes_per_call": grown,
        "maps_per_call": maps,
        "kept_in": names,
    }
    return Breach("contract.memory", sentence, evidence=evidence)


def _bytes_of_a_map(maps: Maps) -> int:
    return sum(part[0].numel() * part.element_size() for part in maps)
