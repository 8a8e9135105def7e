"""Insertion and deletion: the target's score while an image appears, or disappears, in the order of a ranking.

RISE's protocol (Petsiuk, Das, Saenko 2018, section 4.3, and `evaluation.py` and `Evaluation.ipynb` of its
repository) is the default: softmax probability of the target, pixels ranked over space with all channels moving
together, 224 steps (225 evaluations, both ends included; 224 pixels per step at 224×224), deletion to zero in
normalized space, insertion into the blurred image. Nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, as_targets, check_targets, logits
from pytest_saliency_sanity.perturbations.curves import Curves, area_between, auc, normalized
from pytest_saliency_sanity.perturbations.imputation import linearly_imputed
from pytest_saliency_sanity.perturbations.infills import (
    INFILLS,
    NOISE,
    Infill,
    blurred,
    chosen_infills,
    fillings,
)
from pytest_saliency_sanity.perturbations.noise import smooth_random_maps, wide
from pytest_saliency_sanity.perturbations.options import (
    MODES,
    SCORES,
    STEPS,
    check_choice,
    check_subject,
    chosen_modes,
    images_per_call,
    pixel_counts,
)
from pytest_saliency_sanity.perturbations.partial_images import Study, assembled, perturbed, plan
from pytest_saliency_sanity.perturbations.rankings import as_rankings, least_first, ranked
from pytest_saliency_sanity.predictions import probabilities, returns_probabilities

__all__ = [
    "INFILLS",
    "MODES",
    "NOISE",
    "RISE",
    "SCORES",
    "STEPS",
    "Curves",
    "Infill",
    "area_between",
    "auc",
    "blurred",
    "least_first",
    "linearly_imputed",
    "normalized",
    "perturbation_curves",
    "ranked",
    "smooth_random_maps",
]

RISE: Mapping[str, Infill] = MappingProxyType({"insertion": "blur", "deletion": "zero"})


@dataclass(frozen=True, eq=False)
class _Readout:
    """Which score of which model; `targets` are those of the n images."""

    model: Any
    targets: Tensor
    score: str
    forward: Forward | None


def perturbation_curves(
    model: Any,
    inputs: Tensor,
    maps: Tensor,
    targets: Any,
    *,
    steps: int | None = None,
    infill: Infill | Mapping[str, Infill] = RISE,
    modes: str | Sequence[str] = MODES,
    score: str = "softmax",
    batch_size: int | None = None,
    seed: int = 0,
    forward: Forward | None = None,
    before_call: Callable[[], object] | None = None,
) -> Curves:
    """Insertion and deletion curves of several rankings of the same images, in shared batches.

    The image and the infilled image are evaluated once for all rankings and modes: n (1 + infills) + R n modes
    (steps - 1) images in all. Step i has moved floor(i P / steps) of the P pixels, so that all steps are equal
    where P divides, as in RISE, and differ by one pixel otherwise.

    Args:
        model: called as it is, in evaluation mode, without gradients.
        inputs: (n, C, *S), one to three spatial axes, normalized as the model wants them.
        maps: (n, *S) or (R, n, *S). Floating-point: attribution maps, ranked by `ranked(maps, seed)`. Integers:
            rankings as `ranked` and `least_first` give them, also in the shapes (n, P) and (R, n, P).
        targets: (n,) classes, or (n, K) weights of their scores.
        steps: 1 to P; None is 224, or P where there are fewer pixels.
        infill: what takes the place of hidden pixels, one for all modes or one for each: "zero"; "blur" (see
            `blurred`); "mean" (of each channel over the inputs); "noisy_linear" (see `linearly_imputed`; a sparse
            solve for every image and step, up to a third of a second at 224×224); a number, or a tensor or an array
            that broadcasts to the inputs. Linear imputation has nothing to go by where all is hidden: there it is
            the mean of each channel. Its noise is one field an image, drawn from `seed`, the same at all steps and
            for all rankings, so that these differ by their order alone; ROAD draws it anew each time.
        modes: "insertion", "deletion" or both.
        score: "softmax", the target's probability, or "logit". The probability of a single logit is its sigmoid,
            whichever side of 0 it is on: the logit is the target. A weight of -1 gives that of the other side.
            A model that ends in a sigmoid or a softmax returns the probabilities themselves.
        batch_size: the most images in one call; None goes by memory.
        seed: of ties and noise.
        forward: as for `outputs.logits`, whose errors pass through.
        before_call: called before each call of the model. What it raises, because time is up, ends the curves.

    Raises:
        TypeError: for inputs or maps that are no tensors of the right kind.
        ValueError: for an option or a shape that does not fit, with its value and the choices; for an infill that
            is not finite; for a model in training mode.
    """
    check_subject(model, inputs)
    chosen = chosen_modes(modes)
    check_choice("score", score, SCORES)
    counts, per_call = pixel_counts(inputs[0, 0].numel(), steps), images_per_call(inputs, batch_size)
    rankings, images = as_rankings(maps, inputs, seed), inputs.detach()
    study = Study(images, rankings, fillings(images, chosen_infills(infill, chosen), seed))
    readout = _Readout(model, as_targets(targets, len(inputs)).to(inputs.device), score, forward)
    with entered(torch.no_grad()):
        calls = torch.split(plan(study, counts), per_call)
        scores = torch.cat(list(_scores(readout, study, calls, before_call)))
    return Curves(assembled(study, scores, len(counts)), _fractions(counts, scores))


def _scores(
    readout: _Readout, study: Study, calls: Sequence[Tensor], before_call: Callable[[], object] | None
) -> Iterator[Tensor]:
    """(B,) the scores of B jobs for each call, widened: half precision would round probabilities by .0005."""
    ready = None
    batch = study.images.new_empty((len(calls[0]), *study.images.shape[1:]))  # the model gets copies
    for jobs in calls:
        if before_call is not None:
            before_call()
        images = perturbed(study, jobs, batch[: len(jobs)])
        outputs = logits(readout.model, images, readout.forward)
        targets = check_targets(readout.targets[jobs[:, 2]], *outputs.shape).to(outputs.device)
        if readout.score == "softmax" and ready is None:
            ready = returns_probabilities(readout.model, images[:2], readout.forward, outputs)
        yield _scored(wide(outputs), targets, readout.score, bool(ready))


def _scored(outputs: Tensor, targets: Tensor, score: str, ready: bool) -> Tensor:
    if score == "logit":
        return _weighted(outputs, targets)
    if outputs.shape[1] == 1:  # its softmax is 1 for every image
        return _weighted(outputs.logit() if ready else outputs, targets).sigmoid()
    return _weighted(probabilities(outputs, ready), targets)


def _weighted(scores: Tensor, targets: Tensor) -> Tensor:
    """(B,) of scores (B, K) those of the targets (B,), or their sum by weights (B, K)."""
    if targets.dim() == 2:
        return (scores * targets.to(scores.dtype)).sum(1)
    return scores.gather(1, targets[:, None]).squeeze(1)


def _fractions(counts: Tensor, scores: Tensor) -> Tensor:
    return counts.to(scores) / int(counts[-1])
