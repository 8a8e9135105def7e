"""An explainer's maps beside those of another one that has to give the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.arithmetic import TOO_FAR, Rounding, rounding_of, unit
from pytest_saliency_sanity.examination.batches import distance
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter, Stopped
from pytest_saliency_sanity.examination.parting import parting
from pytest_saliency_sanity.examination.single_analysis import Measured, explained
from pytest_saliency_sanity.layout import channels_first
from pytest_saliency_sanity.verdict import Finding, Stage


@dataclass(frozen=True)
class Against:
    """Another explainer to be compared with.

    Attributes:
        explainer: called as (model, inputs, targets).
        name: in messages.
        tolerance: the relative distance that is allowed; None means what rounding explains.
    """

    explainer: Callable[..., Any]
    name: str
    tolerance: float | None

    def measured(self, kept: Subject, meter: Meter, first: Examination) -> Measured:
        """The largest relative distance of an image's map, and where maps part."""
        noted = _Noted(self.explainer), _Noted(kept.explainer)
        other = replace(kept.by(noted[0], self.name), alone=False)
        try:
            theirs, mine = _whole(other, meter), _whole(replace(kept, explainer=noted[1]), meter)
            if [part.shape for part in mine] != [part.shape for part in theirs]:
                return Measured(findings=(_unlike(mine, theirs, self.name),))
            size = unit(kept, *noted[0].dtypes, *noted[1].dtypes)
            explained = rounding_of(other, lambda one: _whole(one, meter), theirs, size)
        except Stopped as stopped:
            return Measured(findings=(_unusable(self.name, stopped),))
        if self.tolerance is None and explained.typical > TOO_FAR:
            return Measured(findings=(_rounds(self.name, explained.typical),))
        return self._judged(kept, mine, theirs, self._known(explained))

    def _known(self, explained: Rounding) -> Rounding:
        return explained if self.tolerance is None else Rounding(explained.typical, self.tolerance)

    def _judged(self, kept: Subject, mine: Maps, theirs: Maps, known: Rounding) -> Measured:
        observation.some_maps(kept, torch.arange(kept.images), "reference", theirs)
        apart = distance(theirs, mine).numpy()
        found = known.unexplained(apart)
        stage = Stage(
            name="relative distance", detail=f"{self.name}'s maps",
            sentence=f"the largest relative distance from {self.name}'s maps",
            statistic=found, lower=found, upper=found, fail_above=known.allowed, pass_below=known.allowed,
            alpha_fail=0.0, alpha_pass=0.0, images=len(apart), draws=1,
            evidence={**asdict(known), "median": float(np.median(apart)), "largest": float(apart.max())},
        )  # fmt: skip
        hint = _parts(kept, mine, theirs, known.allowed) if stage.outcome != "pass" else ""
        return Measured((stage,), hint=hint, notes=_notes(known, apart))


class _Noted:
    """An explainer that notes which dtypes its maps had. Mutable: `dtypes` fills."""

    def __init__(self, explainer: Callable[..., Any]) -> None:
        self.explainer = explainer
        self.dtypes: set[torch.dtype] = set()

    def __call__(self, model: Any, inputs: Any, targets: Any) -> Any:
        returned = self.explainer(model, inputs, targets)
        parts = returned if isinstance(returned, (tuple, list)) else (returned,)
        self.dtypes |= {
            part.dtype for part in parts if isinstance(part, torch.Tensor) and part.is_floating_point()
        }
        return returned


def _notes(known: Rounding, apart: np.ndarray) -> tuple[str, ...]:
    beyond = int((apart > known.allowed).sum())
    if not known.switched or not beyond:
        return ()
    return (
        f"of {beyond} images a part of the map lies elsewhere (by up to {float(apart.max()):.2g}); up to "
        f"{known.switched} are excused, since where numbers are equal rounding decides which of them counts",
    )


def _unusable(name: str, stopped: Stopped) -> Finding:
    sentence = f"the maps cannot be compared with those of {name}: {stopped.finding.sentence}"
    return Finding("unusable_reference", "inconclusive", sentence)


def _whole(kept: Subject, meter: Meter) -> Maps:
    return tuple(torch.cat(parts) for parts in zip(*explained(kept, meter, kept.images), strict=True))


def _parts(kept: Subject, mine: Maps, theirs: Maps, allowed: float) -> str:
    """Of the model's input whose maps lie apart most."""
    gaps = [float(distance((b,), (a,)).max()) for a, b in zip(mine, theirs, strict=True)]
    worst = gaps.index(max(gaps))
    images = channels_first(kept.explained[worst], kept.channel_axis)
    fits = images.shape[2:] == mine[worst].shape[1:]
    return parting(mine[worst], theirs[worst], images if fits else None, allowed)


def _unlike(mine: Maps, theirs: Maps, name: str) -> Finding:
    shapes = [" and ".join(str(tuple(part.shape)) for part in parts) for parts in (mine, theirs)]
    return Finding("other_maps", "fail", f"gives maps of shape {shapes[0]}, {name} gives {shapes[1]}")


def _rounds(name: str, moved: float) -> Finding:
    sentence = (
        f"rounding alone moves the maps of {name} by {moved:.0%}; nothing finer can be told: compare in a wider dtype, "
        f"or pass tolerance="
    )
    return Finding("gate.arithmetic", "inconclusive", sentence)
