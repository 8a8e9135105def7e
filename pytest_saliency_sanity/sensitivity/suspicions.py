"""Maps whose ranks change although the picture stays: an inverted map, strong edges over a faint rest, changed signs.

Ranks do not see amplitudes, and a mean of signed correlations does not see the sign. So the ranks of a map can change
while the picture stays. Each suspicion has a statistic of its own, and counts only if the plain gradient, on the same
model and images, gives no reason for it. `python -m tests.calibration.suspicions` prints how far honest explainers and
such maps lie apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from pytest_saliency_sanity.sensitivity.comparisons import (
    LINEAR,
    LINEAR_GIVEN_FEATURES,
    SIGNLESS,
    SIZE,
)
from pytest_saliency_sanity.sensitivity.gates import SAME_FOR_ALL
from pytest_saliency_sanity.sensitivity.interim_analyses import Thresholds
from pytest_saliency_sanity.sensitivity.survey import Sample, Survey
from pytest_saliency_sanity.statistics import Contrast, retained_fraction
from pytest_saliency_sanity.verdict import Finding, Stage

TURNED = 0.8  # of |T|; an honest explanation retains .2 to .4, a map that only turns around 1
COMPARED = (
    "compared"  # in the evidence of a row that another similarity than the deciding one was measured for
)
HEAD_UNUSED = "head_unused"  # reason code
HEADLESS = 0.99  # retained when only the head changes: that map knows no class, and no layer above its own
SAME_SIZE = 0.9  # of the Pearson correlation of absolute values; see the table named above


@dataclass(frozen=True)
class Suspect:
    """A survey at one look.

    Attributes:
        begun: the survey.
        samples: by kind of similarity, the samples of the judged measures before any reduction.
        reduced: what is done to a sample before it is judged.
        limits: of the retained fraction.
        alpha: this look's share of the error rate.
        signs: whether a map that changes nothing but its signs is suspect.
    """

    begun: Survey
    samples: Callable[[str], Mapping[str, Sample]]
    reduced: Callable[[Sample], Sample]
    limits: Thresholds
    alpha: float
    signs: bool


@dataclass(frozen=True)
class Suspicion:
    """Evidence against a map whose ranks change.

    Attributes:
        finding: what it makes of the verdict.
        rows: for the verdict's table, the number that it is based on, with its bounds; none where nothing was left to
            compare with.
    """

    finding: Finding
    rows: tuple[Stage, ...] = ()


def suspicions(suspect: Suspect) -> tuple[Suspicion, ...]:
    """The first suspicion that the sample supports; fails, but for the last kind, which is inconclusive."""
    if not suspect.signs or suspect.begun.one_sided:
        return _loud(suspect)
    return _one_pattern(suspect) or _turned(suspect) or _loud(suspect) or _same_size(suspect)


def headless(heads: Sequence[Sample], alpha: float) -> tuple[Suspicion, ...]:
    """A map that does not change at all when the head alone is re-initialized, whatever happens deeper.

    Args:
        heads: of the re-initialized head, by each kind of similarity that may not stay.
        alpha: this look's share of the error rate.
    """
    for sample in heads:
        contrast = _contrast(sample, HEADLESS, alpha, alpha)
        if contrast.lower > HEADLESS:
            sentence = (
                f"ignores the head: {contrast.statistic:.2f} of the map survives when the head alone is "
                f"re-initialized (99 % lower bound {contrast.lower:.2f} > {HEADLESS:.2f})"
            )
            row = _row("head, alone", "the head and nothing else", contrast, HEADLESS, (alpha, alpha))
            return (Suspicion(Finding(HEAD_UNUSED, "fail", sentence), (row,)),)
    return ()


def _one_pattern(suspect: Suspect) -> tuple[Suspicion, ...]:
    """One pattern and its negative for every image: nothing is left to compare with."""
    shared = _shared_up_to_sign(suspect.begun)
    for name, sample in suspect.samples(SIGNLESS).items():
        survived = float(sample.matched.mean())
        if min(shared, survived) >= 1 - SAME_FOR_ALL:
            sentence = (
                f"depends on neither image nor model, except for the sign of its map: up to the sign, maps of "
                f"different images have a rank correlation of {shared:.2f}, and {survived:.2f} of the map "
                f"survives at {name!r}"
            )
            return (Suspicion(Finding("input_independent", "fail", sentence)),)
    return ()


def _turned(suspect: Suspect) -> tuple[Suspicion, ...]:
    """Edges times a logit have T = 1 or -1, and a mean near 0."""
    sentence = "changes only the sign of its map: up to the sign, {retained} of the map survives at {where}"
    return _suspicion(
        suspect,
        suspect.samples(SIGNLESS),
        max(TURNED, suspect.limits.fail_above),
        Finding("sign_only", "fail", sentence),
        ("up to sign", "its rank correlation up to the sign"),
    )


def _loud(suspect: Suspect) -> tuple[Suspicion, ...]:
    """A few strong pixels that stay, over a faint rest that changes: the ranks are the rest's."""
    sentence = (
        "keeps the strong pixels of its map: measured by values instead of ranks (Pearson), {retained} of the map "
        "survives at {where}"
    )
    return _suspicion(
        suspect,
        suspect.samples(LINEAR),
        suspect.limits.fail_above,
        Finding("amplitude", "fail", sentence),
        ("by value", "its values instead of ranks (Pearson)"),
        suspect.samples(LINEAR_GIVEN_FEATURES) if suspect.begun.one_sided else {},
    )


def _same_size(suspect: Suspect) -> tuple[Suspicion, ...]:
    """Edges with signs that change: their absolute values stay. An input with few bright pixels does the same."""
    sentence = (
        "only the signs of its map change: {retained} of its absolute values (Pearson) survives at {where}; either "
        "the size of the map does not come from the model, or a few pixels of the input outweigh all others"
    )
    threshold = max(SAME_SIZE, suspect.limits.fail_above)
    return _suspicion(
        suspect,
        suspect.samples(SIZE),
        threshold,
        Finding("gate.size", "inconclusive", sentence),
        ("by size", "its absolute values (Pearson)"),
    )


def _suspicion(
    suspect: Suspect,
    samples: Mapping[str, Sample],
    threshold: float,
    finding: Finding,
    shown: tuple[str, str],
    given: Mapping[str, Sample] | None = None,
) -> tuple[Suspicion, ...]:
    """`finding`, with its numbers filled in, if more than `threshold` is retained for sure at any measure.

    Args:
        shown: how its row is called, behind the measure's name, and what is compared.
        given: where there are any, the same with something held constant: no less may be retained then.
    """
    alpha = suspect.alpha / len(samples)

    def measured(sample: Sample) -> Contrast:
        return _contrast(suspect.reduced(sample), threshold, alpha, suspect.alpha)

    for name, sample in samples.items():
        contrast = measured(sample)
        if min(measured(one).lower for one in (sample, *_at(given, name))) > threshold:
            where = f"{name!r} (99 % lower bound {contrast.lower:.2f} > {threshold:.2f})"
            told = finding.sentence.format(retained=f"{contrast.statistic:.2f}", where=where)
            row = _row(f"{name}, {shown[0]}", shown[1], contrast, threshold, (alpha, suspect.alpha))
            row = replace(row, judged=finding.outcome == "fail")
            return (Suspicion(replace(finding, sentence=told), (row,)),)
    return ()


def _at(samples: Mapping[str, Sample] | None, name: str) -> tuple[Sample, ...]:
    return (samples[name],) if samples else ()


def _contrast(sample: Sample, threshold: float, alpha_fail: float, alpha_pass: float) -> Contrast:
    return retained_fraction(
        sample.matched, sample.mismatched, sample.repeated,
        threshold=threshold, alpha_fail=alpha_fail, alpha_pass=alpha_pass,
    )  # fmt: skip


def _row(
    name: str, compared: str, contrast: Contrast, threshold: float, levels: tuple[float, float]
) -> Stage:
    """A row of the table: another measurement than the stages' own."""
    return Stage(
        name=name, detail=compared,
        statistic=contrast.statistic, lower=contrast.lower, upper=contrast.upper,
        fail_above=threshold, pass_below=threshold, alpha_fail=levels[0], alpha_pass=levels[1],
        images=contrast.images, draws=contrast.draws, evidence={COMPARED: compared},
    )  # fmt: skip


def _shared_up_to_sign(begun: Survey) -> float:
    """Mean absolute rank correlation of the trained model's maps of different images, of the first chunk."""
    pairs = torch.stack([ranks.unit @ ranks.unit.T for ranks in begun.originals[0].ranks]).abs().mean(0)
    n = len(pairs)
    return float((pairs.sum() - pairs.diagonal().sum()) / (n * (n - 1)))
