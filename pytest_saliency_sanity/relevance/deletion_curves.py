"""The insertion and deletion curves of a map, alone or together with those of rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.options import of_images
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.explanation import check_scores, stream_of
from pytest_saliency_sanity.examination.liveness import moves
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import controls
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.insertion import (
    MODES,
    Curves,
    area_between,
    least_first,
    perturbation_curves,
    ranked,
    smooth_random_maps,
)

# (kind, name) -> one row per image; the kinds are areas, curves and normalized areas
Found: TypeAlias = "Mapping[tuple[str, str], np.ndarray]"

RELATIVE_STEPS = 28
RANDOM = "a random map"
REFERENCES: Mapping[str, Callable[..., Any]] = {
    "Sobel": controls.sobel,
    "the center": controls.center_prior,
    "|x − mean|": lambda model, inputs, targets: (inputs - inputs.flatten(2).mean(2)[..., None, None]).abs(),
}


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    Attributes:
        lines: mode -> the area that is needed, or may not be exceeded; None where nothing is demanded.
        steps: of the curves; None means the default.
        infill: one for all modes, or one for each.
        absolute: whether maps rank by their absolute values.
    """

    lines: Mapping[str, float | None]
    steps: int | None
    infill: Any
    absolute: bool

    @property
    def relative(self) -> bool:
        """Whether nothing is demanded of the areas."""
        return all(line is None for line in self.lines.values())


def against_lines(kept: Subject, meter: Meter, maps: Tensor, begin: int, asked: Asked) -> Found:
    """RISE's protocol: the areas under the curves."""
    rankings = ranked(maps, _seed(kept, begin))[None]
    curves = _curves(kept, meter, rankings, begin, MODES, asked, "softmax")
    kinds = {"areas": curves.aucs, "normalized": curves.normalized_aucs, "curves": curves.scores}
    return {
        (kind, mode): _numbers(values[0])
        for kind, by_mode in kinds.items()
        for mode, values in by_mode.items()
    }


def beside_rivals(kept: Subject, meter: Meter, maps: Tensor, begin: int, asked: Asked) -> Found:
    """The area between the curves, beside that of random maps and of the references."""
    own, seed = slice(begin, begin + len(maps)), _seed(kept, begin)
    images, targets = kept.inputs[0][own], kept.targets[own]
    compared = {"explainer": maps, RANDOM: smooth_random_maps(maps, seed)}
    compared |= {name: _summed(made(kept.model, images, targets)) for name, made in REFERENCES.items()}
    # an explainer may return its maps on another device than the model's
    orders = [ranked(one.to(images.device), seed) for one in compared.values()]
    rankings = torch.stack([ranking for order in orders for ranking in (order, least_first(order))])
    steps = min(RELATIVE_STEPS, maps[0].numel()) if asked.steps is None else asked.steps
    curves = _curves(kept, meter, rankings, begin, ("deletion",), replace(asked, steps=steps), "logit")
    scores = curves.scores["deletion"]
    areas = {
        ("areas", name): _numbers(area_between(scores[2 * row + 1], scores[2 * row]))
        for row, name in enumerate(compared)
    }
    return {
        **areas,
        ("curves", "most_first"): _numbers(scores[0]),
        ("curves", "least_first"): _numbers(scores[1]),
    }


def joined(found: Found, more: Found) -> Found:
    """The rows of both, of images that come after one another."""
    return {key: np.concatenate([found[key], rows]) if found else rows for key, rows in more.items()}


def moved(found: Found) -> list[bool]:
    """Of each image, whether its score changes anywhere along its curves."""
    curves = [rows for (kind, _), rows in found.items() if kind == "curves"]
    return moves(torch.from_numpy(np.concatenate(curves, 1))).tolist()


def as_evidence(found: Found) -> dict[str, Any]:
    """By kind, then by name."""
    evidence: dict[str, dict[str, np.ndarray]] = {}
    for (kind, name), rows in found.items():
        evidence.setdefault(kind, {})[name] = rows
    return evidence


def _curves(
    kept: Subject, meter: Meter, rankings: Tensor, begin: int, modes: Sequence[str], asked: Asked, score: str
) -> Curves:
    """Of rankings (R, n, P) of the n images from number `begin` on."""
    own = slice(begin, begin + rankings.shape[1])
    infill = of_images(asked.infill, torch.arange(kept.images)[own], kept.images)
    with replayed(kept.seed):
        curves = perturbation_curves(
            kept.model, kept.inputs[0][own], rankings, kept.targets[own],
            steps=asked.steps, infill=infill, modes=modes, score=score,
            seed=_seed(kept, begin), forward=kept.forward, before_call=meter.check_deadline,
        )  # fmt: skip
    by_image = [scores.movedim(1, 0).flatten(1) for scores in curves.scores.values()]
    check_scores(torch.cat(by_image, 1), "with pixels deleted")
    return curves


def _seed(kept: Subject, begin: int) -> int:
    """Of what is drawn for the images from number `begin` on: an own one for those that come later."""
    return stream_of(kept.seed, "images", begin) if begin else kept.seed


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _summed(maps: Tensor) -> Tensor:
    return (maps.sum(1) if maps.ndim == 4 else maps).detach()
