"""What the first maps foretell: whether a check can be done within its budget, and within the memory.

No call of an explainer holds more images than the first one does (one more, where one is left over), so a later call
takes as much memory as the first. What is foretold is that

- the first call took most of what was left: it will again, and whatever else grows meanwhile is too much;
- processes of one run (`-n 4`) will take more than there is when they explain at the same time;
- what each call leaves behind (stored graphs, activations) will add up to more than is left.

A first call that does not fit at all is past foretelling: on a GPU it is an exception, and where there is none the
system ends the process.
"""

from __future__ import annotations

from itertools import pairwise

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.advice import LESS_MEMORY
from pytest_saliency_sanity.examination.memory import Memory, held_of, memory_of
from pytest_saliency_sanity.examination.meter import Meter

CLOSE = 0.8  # of what was left; a call that takes more leaves no room for anything else
_WATCHED = 8  # calls before which it is noted what is held
_FEWEST = 3  # of them, each of which has to leave something behind


def foretell(audited: Subject, meter: Meter, needed: int) -> None:
    """Say so where a check will run out of its budget or of memory, and how it is made cheaper.

    Args:
        audited: what is audited.
        meter: of the first maps.
        needed: how many maps the check takes at least to pass.
    """
    tell = settings.current().tell
    if tell is None or not meter.images:
        return
    for sentence in (_of_time(audited, meter, needed), _of_what_stays(audited, meter, needed)):
        if sentence:
            tell(sentence)


def before_first(audited: Subject) -> Memory | None:
    """The memory before the first call; None where nobody would be told, or nobody says."""
    return memory_of(audited.inputs[0].device) if settings.current().tell is not None else None


def foretell_memory(audited: Subject, images: int, before: Memory | None) -> None:
    """Say so where a call such as the first takes too much memory, and how it is made cheaper.

    Args:
        audited: what is audited.
        images: of the first call.
        before: see `before_first`.
    """
    present = settings.current()
    after = memory_of(audited.inputs[0].device) if before is not None else None
    if present.tell is None or before is None or after is None or after.peak <= before.peak:
        return
    taken = after.peak - before.held
    if why := _too_much(before, taken, present.processes):
        present.tell(f"{audited.name} takes {_bytes(taken)} of memory for {images} images at once{why}")


def note_held(audited: Subject, meter: Meter) -> None:
    """Note, before one of the first calls, what the process holds."""
    if meter.calls < _WATCHED and settings.current().tell is not None:
        meter.held.append((meter.images, held_of(audited.inputs[0].device)))


def _of_time(audited: Subject, meter: Meter, needed: int) -> str:
    each, budget = meter.seconds / meter.images, audited.amounts.max_seconds
    if each * needed <= budget:
        return ""
    return (
        f"{audited.name} takes {each:.2g} s a map; {needed} maps take about {each * needed:.0f} s, and the budget "
        f"is {budget:g} s. Cheaper: fewer steps or samples of the explainer, smaller images, a profile with less; "
        f"or raise max_seconds"
    )


def _of_what_stays(audited: Subject, meter: Meter, needed: int) -> str:
    total = _left_behind(meter) * needed
    now = memory_of(audited.inputs[0].device) if total else None
    if now is None or total <= now.left:
        return ""
    return (
        f"each map of {audited.name} leaves {_bytes(total / needed)} of memory taken; {needed} maps leave about "
        f"{_bytes(total)}, and {_bytes(now.left)} are left. Cheaper: return maps.detach(), and keep no graph, no "
        f"activation and no hook's output from one call to the next"
    )


def _left_behind(meter: Meter) -> float:
    """The bytes that each map leaves behind: the least of all calls but the first, which fills caches."""
    each = [
        (held - before) / (images - earlier)
        for (earlier, before), (images, held) in pairwise(meter.held[1:])
        if images > earlier
    ]
    return max(min(each), 0.0) if len(each) >= _FEWEST else 0.0


def _too_much(before: Memory, taken: int, processes: int) -> str:
    """Why what a call takes is too much, and what would be less; "" where it is not."""
    if processes > 1 and processes * taken > before.total:
        return (
            f"; {processes} processes take {_bytes(processes * taken)} when they explain at the same time, and there "
            f"are {_bytes(before.total)}. Cheaper: fewer processes (-n), {LESS_MEMORY}"
        )
    if taken > CLOSE * before.left:
        return f", as each call will, and {_bytes(before.left)} were left before. Cheaper: {LESS_MEMORY}"
    return ""


def _bytes(size: float) -> str:
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:.{0 if size >= 10 * unit else 1}f} {name}"
