"""Does gradient artificial distancing narrow a map down to what the score depends on?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.adapters import adapted
from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.conditions import WithLabels, takes
from pytest_saliency_sanity.audited.options import of_chosen
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.checks.occlusion_sensitivity import PER_PIXELS, judged_stages, judgment
from pytest_saliency_sanity.examination.accuracy import accuracy_findings
from pytest_saliency_sanity.examination.caveats import batch_findings, caveats
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.forecast import foretell
from pytest_saliency_sanity.examination.image_dependence import duplicate_findings
from pytest_saliency_sanity.examination.liveness import alike_findings, flat_findings
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import is_planned
from pytest_saliency_sanity.examination.single_analysis import Measured, explained, verdict_by
from pytest_saliency_sanity.explainers import ArtificialDistancing, gad
from pytest_saliency_sanity.explainers.gad import ALPHAS, MIN_AGREEMENT, advice
from pytest_saliency_sanity.outputs import using_forward
from pytest_saliency_sanity.perturbations.occlusion import Infill, filling
from pytest_saliency_sanity.plan import Plan, Planned
from pytest_saliency_sanity.relevance.class_pairs import of_two_classes
from pytest_saliency_sanity.relevance.distanced_hulls import Counts, Narrowed, counted, narrowed
from pytest_saliency_sanity.relevance.hidden_regions import Cut, Hiding, cut_at, hidden_regions
from pytest_saliency_sanity.statistics.hulls import PAPER_SHARE
from pytest_saliency_sanity.text import name_of, shown
from pytest_saliency_sanity.trained_networks.logit_regression import Unfinished
from pytest_saliency_sanity.trained_networks.store import Busy
from pytest_saliency_sanity.trained_networks.support import Support
from pytest_saliency_sanity.verdict import Claim, Finding, Stage, Verdict

CLAIM = Claim(
    fails="does not narrow its map down to what the score depends on",
    measures="is",
    columns=("measure", "counted", "value"),
    code="beside_the_point",
    passed="to_the_point",
)


@takes(WithLabels)
def check_distancing(
    base: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any,
    targets: Any = None,
    *,
    classes: tuple[int, int],
    data: Any = None,
    alphas: Sequence[float] = ALPHAS,
    epochs: int = 10,
    learning_rate: float = 4e-5,
    batch_size: int = 32,
    min_agreement: float = MIN_AGREEMENT,
    share: float | None = None,
    fraction: float | None = None,
    infill: Infill = "zero",
    cache: str | Path | None = None,
    **conditions: Unpack[WithLabels],
) -> Verdict:
    """Whether the maps that `explainers.gad` has narrowed down point at what the score depends on.

    Two things are judged, as in `check_occlusion_sensitivity`, whose condition for the center holds here as well.
    Hiding GAD's hull has to lower the logit further than hiding the same shape elsewhere in the same image. And its
    percentile there has to lead those of Sobel's filter and of the center, which do not use the model. A hull above
    40 % of the frame cannot be placed elsewhere. The hull of half of the pixels is wide, so a verdict may need a
    smaller `share` than the paper's.

    Two ratios are counted for each class, as in the paper's tables 1 and 2, and shown. RC is the area of GAD's hull
    divided by that of the original hull. RS is the change of the target's logit divided by the hidden area, for GAD's
    hull and for the supplementary region: the part of the original hull outside GAD's. The ratios decide nothing,
    because RS divides by the area while the change saturates: hulls of noise have the larger RS on most images.

    Args:
        base: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network; it is restored afterwards.
        inputs: (N, C, H, W) floating point, N >= 2. With labels, images of other classes are left out, and a note
            says so.
        targets: (N,) int64 of the two classes; None means the one that the model ranks higher.
        classes: the two classes that are moved apart.
        data: what the support networks are trained on, see `explainers.gad`; None means the inputs, with their labels
            where there are any.
        alphas, epochs, learning_rate, batch_size, min_agreement: see `explainers.gad`. A support network that did not
            learn its distance is left out, and a note says so; if none did, the verdict is inconclusive.
        share: share of the pixels that are important, for GAD and for the hulls; half by default, as in the paper.
        fraction: instead of `share`, the fraction of the map's maximum from which pixels are important; .1 in the
            paper's figure 4.
        infill: what replaces hidden pixels: "zero", as in the paper, "blur", "mean", a number, or a tensor.
        cache: directory of trained networks; None means the run's (in pytest, its cache directory).
        **conditions: see `WithLabels`.

    Returns:
        The verdict, with a shown row of each table and class. `evidence["support"]` has the support networks'
        agreements, `evidence["classes"]` all counts, `evidence["images"]` RC, RS and areas of each image.

    Raises:
        TypeError, ValueError: for bad arguments, and for fewer than two images of the classes; in one sentence.

    Source: Rodrigues, Boutry and Najman (Gradient Artificial Distancing), equations 1 and 2, tables 1 and 2.
    """
    base = adapted(base)
    cut = cut_at(share, fraction, default=PAPER_SHARE)
    began = time.monotonic()
    labels = conditions.pop("labels", None)
    audited = of_two_classes(partial(subject, base, model, **conditions), classes, inputs, targets, labels)
    infill = of_chosen(infill, audited, inputs)
    filling(audited.inputs[0], infill)
    distanced = gad(
        base, _data(data, inputs, labels), classes=classes, alphas=alphas, epochs=epochs,
        learning_rate=learning_rate, batch_size=batch_size, share=cut.share, fraction=cut.fraction,
        min_agreement=min_agreement, seed=audited.seed, cache=cache,
    )  # fmt: skip
    audited = audited.by(distanced, conditions.get("name") or name_of(distanced))
    support: tuple[Support, ...] = ()
    if is_planned():  # how many networks it trains for how long depends on where they converge
        raise Planned(Plan("distancing", audited.name, audited.model_name))
    early = (
        duplicate_findings(audited)
        or alike_findings(audited)
        or flat_findings(audited)
        or batch_findings(audited)
        or accuracy_findings(audited)
    )
    if not early:
        support, early = _trained(distanced, audited, began)
    converged = tuple(one for one in support if one.agreement >= min_agreement)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        found = _measured(kept, meter, base, cut, infill)
        notes = (*_left_out(support, min_agreement), *found.notes)
        return replace(found, notes=notes, evidence={**found.evidence, **_facts(support)})

    if converged:  # those that are left out are told of in a note, not at every call
        only = replace(distanced, alphas=tuple(one.alpha for one in converged))
        audited = audited.by(only, audited.name)
    return verdict_by(
        "distancing", CLAIM, audited, began, measure,
        early=early, caveats=caveats(audited),
    )  # fmt: skip


# What is distanced.


def _data(data: Any, inputs: Any, labels: Any) -> Any:
    if data is not None:
        return data
    return inputs if labels is None else (inputs, labels)


def _trained(
    distanced: ArtificialDistancing, audited: Subject, began: float
) -> tuple[tuple[Support, ...], tuple[Finding, ...]]:
    """The support networks; or none of use, and the finding that says why."""
    seconds = audited.amounts.max_seconds
    try:
        with using_forward(audited.forward):
            support = distanced.supports(audited.model, began + seconds)
    except Unfinished as error:
        sentence = f"the budget of {seconds:g} s was used up while {error}; raise max_seconds"
        return (), (Finding("budget", "inconclusive", sentence),)
    except Busy as error:
        return (), (Finding("budget", "inconclusive", str(error)),)
    return support, _support_findings(support, distanced.min_agreement)


def _support_findings(support: tuple[Support, ...], needed: float) -> tuple[Finding, ...]:
    if any(one.agreement >= needed for one in support):
        return ()
    fits = f"{_fits(support)}, where {needed:g} is needed"
    sentence = f"no support network has learned its distance: {fits}; {advice(support)}"
    return (Finding("gate.support", "inconclusive", sentence),)


def _left_out(support: tuple[Support, ...], needed: float) -> tuple[str, ...]:
    lost = tuple(one for one in support if one.agreement < needed)
    if not lost:
        return ()
    return (
        f"support networks that did not learn their distance were left out: {_fits(lost)}, where {needed:g} is "
        f"needed",
    )


def _fits(support: tuple[Support, ...]) -> str:
    return f"{', '.join(map(_fit, support))} after {support[0].epochs} epochs"


def _fit(one: Support) -> str:
    fit = f"agrees with its targets by {one.shown}" if one.finite else "has outputs that are not finite"
    return f"α = {one.alpha:g} {fit}"


def _facts(support: tuple[Support, ...]) -> dict[str, Any]:
    return {"support": [one.facts() for one in support]}


# What is measured.


def _measured(kept: Subject, meter: Meter, base: Callable[..., Any], cut: Cut, infill: Infill) -> Measured:
    foretell(kept, meter, 2 * kept.images)
    original, gad = (_hulls(one, meter, cut) for one in (kept.by(base, kept.name), kept))
    observation.regions(kept, "hull", [gad, original], "pink: narrowed; blue: before")
    found = narrowed(
        kept.model, kept.inputs[0], kept.targets, kept.scores, (original, gad), filling(kept.inputs[0], infill),
        forward=kept.forward, before=meter.check_deadline,
    )  # fmt: skip
    sample = hidden_regions(kept, meter, gad, 0, Hiding(infill, share=cut.share or PAPER_SHARE))
    rows = counted(found, _classes(kept))
    judged = judgment(kept, sample, judged_stages(sample))
    return replace(
        judged,
        stages=(*judged.stages, *(stage for row in rows for stage in _shown(row, found))),
        notes=(*judged.notes, *_apart(rows)),
        evidence={
            **judged.evidence,
            "classes": {row.target: asdict(row) for row in rows},
            "images": [asdict(one) for one in found],
        },
    )


def _classes(kept: Subject) -> tuple[int, int]:
    explainer = kept.explainer
    if not isinstance(explainer, ArtificialDistancing):
        raise TypeError(f"check_distancing measures explainers that gad() returns, not {shown(explainer)}")
    return explainer.images.classes


def _hulls(one: Subject, meter: Meter, cut: Cut) -> Tensor:
    maps = torch.cat([chunk[0] for chunk in explained(one, meter, one.images)])
    return cut.regions(maps.abs())


# The tables.


def _shown(row: Counts, found: Sequence[Narrowed]) -> tuple[Stage, ...]:
    """The class's rows of tables 1 and 2; none where fewer than two images can be counted."""
    own = [one for one in found if one.target == row.target]
    smaller = [one.area == "smaller" for one in own if one.has_both_hulls]
    more = [one.sensitivity == "more" for one in own if one.has_both_regions]
    return (
        *_row(f"RC < 1, class {row.target}", f"mean RC {row.change or 0:.2f}", smaller),
        *_row(f"RS(GAD) > RS(rest), class {row.target}", _means(row), more),
    )


def _means(row: Counts) -> str:
    own, rest = (PER_PIXELS * (value or 0) for value in (row.own, row.supplementary))
    return f"mean RS {own:.2f} and {rest:.2f} per {PER_PIXELS} pixels"


def _row(name: str, means: str, hits: list[bool]) -> tuple[Stage, ...]:
    if len(hits) < 2:
        return ()
    detail = f"{sum(hits)} of {len(hits)} images, {means}"
    return (mean_stage(name, detail, name, np.array(hits, dtype=float), 0.5, judged=False),)


_APART = {
    "equal": "have RC = 1",
    "larger": "have RC > 1",
    "infinite": "have a hull for GAD alone (RC infinite)",
    "emptied": "have no hull for GAD (RC = 0)",
    "neither": "have no hull at all",
    "no rest": "have no supplementary region",
}


def _apart(rows: Sequence[Counts]) -> tuple[str, ...]:
    """The note that says how many images each table does not count as its success or at all."""
    return tuple(f"class {row.target}, {row.images} images: {found}" for row in rows if (found := _lost(row)))


def _lost(row: Counts) -> str:
    numbers = {**row.areas, **row.sensitivities}
    return ", ".join(f"{numbers[name]} {what}" for name, what in _APART.items() if numbers[name])
