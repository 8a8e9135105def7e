"""How a sample grows: the images, draws and depths that a look needs and does not have yet are explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.meter import Breach, Meter, Refusal, Stopped
from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import logits
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.sensitivity.interim_analyses import EARLY, Look, Measure
from pytest_saliency_sanity.sensitivity.survey import Sample, Survey, chunks_for, explain_originals, fill
from pytest_saliency_sanity.verdict import Finding

SHOWN_DRAWS = EARLY[1]  # draws of a depth that is shown and not judged: those of the early look
Perturbation = Callable[
    [Subject, Sequence[Measure], int], AbstractContextManager[Iterable[tuple[Measure, Tensor | None]]]
]
Cell = tuple[str, int, int]  # depth, chunk, draw


def grow(
    begun: Survey,
    subject: Subject,
    meter: Meter,
    look: Look,
    measures: Sequence[Measure],
    perturbation: Perturbation,
) -> None:
    """Fill the sample of `begun` up to what `look` wants.

    Args:
        perturbation: context manager (subject, measures, draw) that yields the measures one after the other, with
            the model perturbed for each, and with the targets to explain (None: the subject's own).
    """
    chunks = chunks_for(begun, look.images)
    explain_originals(subject, meter, begun, chunks)
    for draw in range(look.draws):
        missing = [measure for measure in measures if _wanted(begun, measure, chunks, draw)]
        if missing:
            with perturbation(subject, missing, draw) as perturbed:
                for measure, targets in perturbed:
                    for cell in _wanted(begun, measure, chunks, draw):
                        _fill_cell(subject, meter, begun, cell, targets)


def is_grown(begun: Survey, look: Look, measures: Sequence[Measure]) -> bool:
    """Whether the sample is as large as `look` wants."""
    chunks = chunks_for(begun, look.images)
    return len(begun.originals) >= chunks and not any(
        _wanted(begun, measure, chunks, draw) for draw in range(look.draws) for measure in measures
    )


def samples(
    begun: Survey, measures: Sequence[Measure], chunks: int, draws: int, reduced: Callable[[Sample], Sample]
) -> dict[str, Sample]:
    """By measure what was sampled, each `reduced`; those of fewer than two images are left out."""
    rectangles = {
        measure.name: (chunks, draws) if measure.judged else (1, min(draws, SHOWN_DRAWS))
        for measure in measures
    }
    found = {name: reduced(begun.sample(name, *rectangle)) for name, rectangle in rectangles.items()}
    return {name: sample for name, sample in found.items() if len(sample.repeated) > 1}


def unusable(what: str) -> Finding:
    """The finding that no map can be compared on a copy of the model."""
    return Finding(
        "gate.randomization",
        "inconclusive",
        f"{what}; such a copy of the model cannot show anything",
    )


def predicted(subject: Subject, index: Tensor) -> Tensor:
    """(n, K) logits of the images at `index`, of the model in its present state, on the CPU."""
    with entered(torch.no_grad()), replayed(subject.seed):
        return logits(subject.model, subject.chosen(index), subject.forward).float().cpu()


def _wanted(begun: Survey, measure: Measure, chunks: int, draw: int) -> list[Cell]:
    """The cells of a draw that are missing; what is only shown is measured on the first chunk, a few draws."""
    if not measure.judged:
        chunks = 1 if draw < SHOWN_DRAWS else 0
    cells = [(measure.name, chunk, draw) for chunk in range(chunks)]
    return [cell for cell in cells if cell not in begun.cells]


def _fill_cell(subject: Subject, meter: Meter, begun: Survey, cell: Cell, targets: Tensor | None) -> None:
    try:
        fill(subject, meter, begun, cell, targets)
    except Breach as breach:
        if (
            breach.finding.reason == "contract.finite"
            and not predicted(subject, begun.chunks[cell[1]]).isfinite().all()
        ):
            raise Stopped(unusable(f"the logits at {cell[0]!r} are not finite")) from breach
        sentence = f"{breach.finding.sentence} (at {cell[0]!r})"
        raise Breach(breach.finding.reason, sentence, breach.cause) from breach
    except Refusal as refusal:
        raise Refusal(f"{refusal.finding.sentence} (at {cell[0]!r})", refusal.cause) from refusal
