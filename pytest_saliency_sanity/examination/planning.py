"""What a check of the unchanged model would take: the calls of the first maps, and those that it makes itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.audited.planned import planned_only
from pytest_saliency_sanity.audited.subject import Subject, held
from pytest_saliency_sanity.examination.first_maps import first_batch
from pytest_saliency_sanity.examination.meter import Stopped
from pytest_saliency_sanity.examination.trial import Calls, Trial, in_chunks, of_sizes, tried
from pytest_saliency_sanity.plan import Plan, Planned
from pytest_saliency_sanity.text import name_of
from pytest_saliency_sanity.verdict import Verdict


@dataclass(frozen=True)
class Load:
    """What a check takes after the first maps.

    Attributes:
        explanations: maps that it makes.
        if_random: the same of an explainer that draws random numbers; None means as many.
        slower: how many times what such a map takes as an ordinary one.
        beside: seconds of what it does beside the explainer, of the held subject; None for what is quick.
    """

    explanations: int = 0
    if_random: int | None = None
    slower: float = 1.0
    beside: Callable[[Subject], float] | None = None


def is_planned() -> bool:
    """Whether checks only plan."""
    return settings.current().planning is not None


def plan_instead(
    check: str, audited: Subject, began: float, load: Load = Load(), settled: bool = False
) -> None:
    """Where checks only plan: end this one with its plan.

    Args:
        check: its name.
        audited: what it audits.
        began: `time.monotonic()` at which it began.
        load: beside the first maps.
        settled: whether the images have settled it, so that the explainer is not called.

    Raises:
        Planned: where checks only plan.
    """
    if is_planned():
        raise Planned(_nothing(check, audited) if settled else _plan(check, audited, began, load))


def of_another_package(check: str, explainer: Any = None, model: Any = None, **options: Any) -> Verdict:
    """What stands for the verdict of a check of another package, which is not run, and whose cost nobody knows."""
    name = options.get("name") or name_of(explainer)
    return planned_only(Plan(check, name, type(model or options.get("model")).__name__))


def first_calls(audited: Subject, trial: Trial) -> Calls:
    """What `first_maps.examine` makes."""
    n = first_batch(audited.images)
    odd, few = min(5, n), min(3, n)
    if audited.batch_effect:
        return of_sizes(n, n, n, *([n] if trial.random else []))
    if trial.random:
        return of_sizes(n, n, n, n, odd, n)
    if trial.alone:
        return of_sizes(n, n, 1, *[n] * 10)
    return of_sizes(n, n, 1, odd, few, n)


def troubled(check: str, audited: Subject, problem: Stopped) -> Plan:
    """The plan of an explainer that cannot explain two images."""
    return Plan(check, audited.name, audited.model_name, problem=problem.finding.sentence)


def _nothing(check: str, audited: Subject) -> Plan:
    return Plan(check, audited.name, audited.model_name, explanations=0, seconds=0.0)


def _plan(check: str, audited: Subject, began: float, load: Load) -> Plan:
    prepared = time.monotonic() - began
    with held(audited) as kept:
        try:
            trial = tried(kept)
            beside = load.beside(kept) if load.beside else 0.0
        except Stopped as stopped:
            return troubled(check, audited, stopped)
    number = load.if_random if trial.random and load.if_random is not None else load.explanations
    first, own = first_calls(audited, trial), in_chunks(number)
    seconds = trial.seconds(first) + load.slower * trial.seconds(own) + beside
    return Plan(
        check,
        audited.name,
        audited.model_name,
        explanations=(first + own).images,
        seconds=prepared + seconds,
        memory=trial.memory,
    )
