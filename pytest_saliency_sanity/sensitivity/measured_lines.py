"""Maps of one sign pass below a line that is measured: what the control's maps retain without their signs.

Without signs an honest map retains more than nothing, how much depends on the network. What the plain gradient's
absolute values retain on the same images and draws, at the same depth, is the zero of the scale: of the rest, no more
than the threshold of signed maps may be retained. Either the map as it is, or with the input's size and the last
feature map held constant (see `held_constant`), has to stay below. Maps whose values stay have no such line: a map of
which half is edges, or that of guided backpropagation, has ranks like those of honest maps, and values that stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from pytest_saliency_sanity.sensitivity.comparisons import (
    ABSOLUTE,
    GIVEN,
    GIVEN_FEATURES,
    LINEAR_GIVEN,
    RANK,
)
from pytest_saliency_sanity.sensitivity.interim_analyses import Look, Measure, Thresholds, stage_at
from pytest_saliency_sanity.sensitivity.survey import Sample, Survey, chunks_for, retained
from pytest_saliency_sanity.verdict import Finding, Stage

# Retained by value (Pearson), all held constant: `python -m tests.calibration.one_sided_values --group development`
# prints what honest maps keep, and maps of which half is edges.
LOUD = 0.45
HELD = "held_constant"  # in the evidence of a stage: what was held constant, in words; "" for nothing
BY_VALUE = "retained_by_value_held"  # Pearson, with all of it held constant
CONTROL = "control_retained"  # what the control retains there without its signs
Reduced = Callable[[Sample], Sample]


def with_measured_lines(
    stages: Sequence[Stage],
    measures: Sequence[Measure],
    begun: Survey,
    control: Survey,
    look: Look,
    reduced: Reduced,
) -> tuple[Stage, ...]:
    """The stages, those that do not pass below the signed threshold with a line of their own.

    Args:
        stages: of maps of one sign, none of which fails.
        control: the control's survey at this look, its maps compared without signs as well.
    """
    by_name = {measure.name: measure for measure in measures}

    def at(stage: Stage) -> Stage:
        if not stage.judged or stage.outcome != "inconclusive":
            return stage
        by_value = retained(reduced(_sample(begun, stage.name, look, LINEAR_GIVEN)))
        stage = replace(stage, evidence={**stage.evidence, BY_VALUE: by_value})
        if by_value > LOUD:
            return stage
        kept = retained(reduced(_sample(control, stage.name, look, ABSOLUTE)))
        return _lowest(stage, by_name[stage.name], begun, look, reduced, kept)

    return tuple(map(at, stages))


def line(signed: float, fail_above: float, kept: float) -> float:
    """The line below which a map of one sign passes: at most half way from the signed threshold to where it fails.

    Args:
        signed: the threshold of signed maps.
        fail_above: what a map of one sign fails above.
        kept: the retained fraction of the control without its signs.
    """
    kept = 0.0 if math.isnan(kept) else min(max(kept, 0.0), 1.0)
    return min(signed + (1 - signed) * kept, max(signed, (signed + fail_above) / 2))


def _lowest(
    stage: Stage, measure: Measure, begun: Survey, look: Look, reduced: Reduced, kept: float
) -> Stage:
    """Of the two comparisons the one with the lower upper bound; each has half of the level."""
    signed, fails = stage.pass_below or 0.0, stage.fail_above or 0.0
    limits = Thresholds(fails, line(signed, fails, kept))
    found = {
        kind: stage_at(
            measure,
            reduced(_sample(begun, stage.name, look, kind)),
            limits,
            stage.alpha_fail,
            look.alpha_pass / 2,
        )
        for kind in (RANK, GIVEN)
    }
    kind = min(found, key=lambda one: found[one].upper)
    held = _words(begun) if kind == GIVEN else ""
    sentence = f"{stage.sentence} (given {held})" if held else stage.sentence
    evidence = {
        **stage.evidence,
        **found[kind].evidence,
        HELD: held,
        CONTROL: kept,
        "retained_as_it_is": stage.statistic,
    }
    return replace(found[kind], sentence=sentence, evidence=evidence)


def _words(begun: Survey) -> str:
    """What is held constant: a network without a spatial map has no features."""
    features = all(one.features for one in begun.originals[0].held)
    return "the input's size and the features" if features else "the input's size"


def excused(
    stages: Sequence[Stage], measures: Sequence[Measure], begun: Survey, look: Look, reduced: Reduced
) -> bool:
    """Whether all that fails would not, were the last feature map held constant."""
    by_name = {measure.name: measure for measure in measures}
    failing = [stage for stage in stages if stage.judged and stage.outcome == "fail"]
    return bool(begun.originals[0].held) and all(
        _given_features(stage, by_name[stage.name], begun, look, reduced).outcome != "fail"
        for stage in failing
    )


def features_finding(stages: Sequence[Stage]) -> Finding:
    """Inconclusive: nearly all of the map is the last feature map, whatever weighs it."""
    worst = max((stage for stage in stages if stage.judged), key=lambda stage: stage.lower)
    sentence = (
        f"{worst.statistic:.2f} of the map survives when {worst.sentence}, and nearly all of that is the mean "
        f"activation of the last feature map, which stays; what is left beside it does change, but it is too little "
        f"to tell whether it explains the prediction: use weights with signs (Grad-CAM, HiResCAM)"
    )
    return Finding("gate.features", "inconclusive", sentence)


def _given_features(stage: Stage, measure: Measure, begun: Survey, look: Look, reduced: Reduced) -> Stage:
    limits = Thresholds(stage.fail_above or 0.0, stage.pass_below or 0.0)
    sample = reduced(_sample(begun, stage.name, look, GIVEN_FEATURES))
    return stage_at(measure, sample, limits, stage.alpha_fail, stage.alpha_pass)


def _sample(begun: Survey, name: str, look: Look, kind: str) -> Sample:
    return begun.sample(name, chunks_for(begun, look.images), look.draws, kind)
