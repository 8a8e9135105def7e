"""Random logit (Sixt et al. 2020, section 5): does the map depend on the class that it is asked to explain?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.audited.conditions import Conditions, takes
from pytest_saliency_sanity.audited.options import check_thresholds, figure_names
from pytest_saliency_sanity.audited.subject import Subject, held, subject
from pytest_saliency_sanity.errors import NotApplicable, asserting
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.liveness import hint_of_gate
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.saturation import hint_of_saturation
from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.sensitivity.control_audit import CONTROLS
from pytest_saliency_sanity.sensitivity.diagnosis import hint_of_class_blindness, hint_of_open_question
from pytest_saliency_sanity.sensitivity.interim_analyses import Measure
from pytest_saliency_sanity.sensitivity.planning import plan_audit_instead
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, run
from pytest_saliency_sanity.sensitivity.survey import Sample
from pytest_saliency_sanity.sensitivity.verdicts import Account, verdict_of
from pytest_saliency_sanity.verdict import Claim, Verdict

CLAIM = Claim(
    fails="ignores the target",
    measures="of the map survives when",
    columns=("stage", "explained instead", "retained"),
)
SIGNED = (
    0.3  # retained fraction; `python -m tests.calibration.target_sensitivity` prints what it was chosen by
)
ONE_SIDED = 0.8
_MANY = (
    4  # classes from which a map that only turns around is suspect; two gradients of two logits do just that
)


@dataclass(frozen=True)
class OtherTargets:
    """Other classes than the ones explained, as the perturbation of an audit.

    Attributes:
        rows: for each draw (N,) int64 or (N, K) weights; no draw repeats another's class on an image.
    """

    rows: tuple[Tensor, ...]

    @loan
    def __call__(
        self, subject: Subject, measures: Sequence[Measure], draw: int
    ) -> Iterator[Iterable[tuple[Measure, Tensor | None]]]:
        """Within the context, the measure with the targets of this draw; the model is only kept safe."""
        with preserved(subject.model, subject.snapshot):
            yield ((measure, self.rows[draw]) for measure in measures)


@takes(Conditions)
def check_target_sensitivity(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    threshold: float = SIGNED,
    one_sided_threshold: float = ONE_SIDED,
    similarities: Sequence[str] = (),
    **conditions: Unpack[Conditions],
) -> Verdict:
    """Whether the maps of an explainer change when another class is explained, on the same model and images.

    Nothing is re-initialized. Each image is explained for other classes, up to as many as the profile has draws. Their
    mean is the image's value, and the bounds are those of a one-way t over images.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network, with at least two logits; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        similarities: as in `check_model_sensitivity`.
        threshold: retained fraction above which a signed map fails and below which it passes.
        one_sided_threshold: retained fraction above which a map of one sign fails.
        **conditions: see `Conditions`.

    Returns:
        The verdict, with one stage.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Sixt, Granz and Landgraf, When Explanations Lie, ICML 2020, section 5 ("random logit").
    """
    check_thresholds(threshold=threshold, one_sided_threshold=one_sided_threshold)
    similarities = figure_names(similarities)
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)
    others = _other_targets(audited)
    deadline = began + audited.amounts.max_seconds
    with held(audited) as audited:
        audit = Audit(
            subject=audited,
            measures=(_measure(audited, others),),
            perturbation=others,
            reduced=_averaged,
            most_draws=len(others.rows),
            sign_counts=audited.classes < _MANY,
            thresholds=(threshold, one_sided_threshold),
            began=began,
            meter=Meter(deadline),
            control_meter=Meter(deadline),
            similarities=similarities,
        )
        plan_audit_instead(audit, "target_sensitivity", negates=False)
        return concluded(_verdict(run(audit, CONTROLS)))


assert_target_sensitive = asserting(check_target_sensitivity, "assert_target_sensitive")


def _other_targets(audited: Subject) -> OtherTargets:
    """Up to as many other classes an image as the last look can use, drawn without repetition.

    Raises:
        NotApplicable: for a model with a single logit.
    """
    classes = audited.classes
    if classes < 2:
        raise NotApplicable(
            f"{audited.model_name} has a single logit: there is no other target to explain; use "
            f"check_model_sensitivity instead"
        )
    generator = np.random.default_rng([audited.seed, classes])
    shifts = generator.permuted(np.tile(np.arange(1, classes), (audited.images, 1)), axis=1)
    most = min(classes - 1, 4 * audited.amounts.draws)
    return OtherTargets(
        tuple(_shifted(audited.targets, torch.from_numpy(shifts[:, k]), classes) for k in range(most))
    )


def _shifted(targets: Tensor, shift: Tensor, classes: int) -> Tensor:
    shift = shift.to(targets.device)
    if targets.ndim == 1:
        return (targets + shift) % classes
    columns = (torch.arange(classes, device=targets.device)[None] - shift[:, None]) % classes
    return targets.gather(1, columns)


def _measure(audited: Subject, others: OtherTargets) -> Measure:
    return Measure(
        name="another target",
        detail=f"{len(others.rows)} of {audited.classes - 1} other classes, drawn for each image",
        sentence="another class is explained",
        judged=True,
    )


def _averaged(sample: Sample) -> Sample:
    """The mean over an image's other classes: which classes they were is not a factor that images share."""
    return replace(
        sample,
        matched=sample.matched.mean(1, keepdims=True),
        mismatched=sample.mismatched.mean(1, keepdims=True),
    )


def _verdict(account: Account) -> Verdict:
    plain = verdict_of(account, "target_sensitivity", CLAIM)
    return replace(plain, hint=_hint(account, plain))


def _hint(account: Account, verdict: Verdict) -> str:
    subject, first, findings = account.subject, account.first, verdict.findings
    if verdict.reason == "bound" and account.begun is not None:
        return hint_of_open_question(subject, account.begun.one_sided)
    if first is None:
        return hint_of_saturation(subject, findings)
    if verdict.outcome != "fail" or findings:
        return hint_of_gate(subject.model, findings) or hint_of_saturation(subject, findings)
    return hint_of_class_blindness(subject, first, verdict.stages[0].statistic)
