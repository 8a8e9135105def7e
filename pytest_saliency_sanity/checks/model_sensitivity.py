"""Model parameter randomization (Adebayo et al. 2018, section 3): does the map depend on the weights?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from typing_extensions import Unpack

from pytest_saliency_sanity.audited.conditions import Conditions, takes
from pytest_saliency_sanity.audited.options import check_thresholds, figure_names
from pytest_saliency_sanity.audited.sharing import found_once
from pytest_saliency_sanity.audited.subject import Subject, held, subject
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.examination.liveness import hint_of_gate
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.saturation import hint_of_saturation
from pytest_saliency_sanity.metrics.reported import metric_names, reported
from pytest_saliency_sanity.metrics.request import Request
from pytest_saliency_sanity.perturbations import Block, find_blocks, preserved
from pytest_saliency_sanity.sensitivity.cascade import Cascade, head_negation, kept_blocks, unused_notes
from pytest_saliency_sanity.sensitivity.control_audit import CONTROLS
from pytest_saliency_sanity.sensitivity.diagnosis import (
    hint_of_equality,
    hint_of_failure,
    hint_of_open_question,
    hint_of_unused,
)
from pytest_saliency_sanity.sensitivity.interim_analyses import Measure, ends
from pytest_saliency_sanity.sensitivity.planning import plan_audit_instead
from pytest_saliency_sanity.sensitivity.sequential_audit import Audit, run
from pytest_saliency_sanity.sensitivity.suspicions import COMPARED, HEAD_UNUSED, HEADLESS
from pytest_saliency_sanity.sensitivity.verdicts import Account, verdict_of
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.verdict import Claim, Verdict

CLAIM = Claim(
    fails="ignores the model",
    measures="of the map survives when",
    columns=("depth", "re-initialized", "retained"),
)
SIGNED = (
    0.3  # retained fraction; `python -m tests.calibration.model_sensitivity` prints what it was chosen by
)
ONE_SIDED = 0.8
DEPTHS = ("head", "upper", "half", "all")
EVERY = "every"


@takes(Conditions)
def check_model_sensitivity(
    explainer: Callable[..., Any],
    model: torch.nn.Module,
    inputs: Any = None,
    targets: Any = None,
    *,
    blocks: Sequence[str] | None = None,
    depths: Sequence[str] | str | None = None,
    threshold: float = SIGNED,
    one_sided_threshold: float = ONE_SIDED,
    similarities: Sequence[str] = (),
    metrics: Sequence[str] = (),
    **conditions: Unpack[Conditions],
) -> Verdict:
    """Whether the maps of an explainer change when the model's weights are re-initialized from the top down.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S).
        model: the network, with trained weights; it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights; None means the model's own prediction.
        blocks: names of the modules or parameters to re-initialize as blocks; None means blocks as in the paper.
        depths: some of "head", "upper", "half", "all", or "every" for the cascade block by block.
        threshold: retained fraction above which a signed map fails and below which it passes.
        one_sided_threshold: retained fraction above which a map of one sign fails.
        similarities: the paper's figures to report: "spearman", "abs_spearman", "ssim", "hog_pearson".
        metrics: figures that the field reports, which decide nothing: "smprt", "emprt", "infidelity",
            "max_sensitivity", "sparseness".
        **conditions: see `Conditions`.

    Returns:
        The verdict. Its stages are the depths. `statistic` is the retained fraction: 1 for a map that does not change,
        0 for a map of which no more is left than the maps of any two images have in common.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3; the target is held fixed.
    """
    _check_depths(depths)
    check_thresholds(threshold=threshold, one_sided_threshold=one_sided_threshold)
    similarities = figure_names(similarities)
    metrics = metric_names(metrics, "model_sensitivity")
    began = time.monotonic()
    audited = subject(explainer, model, inputs, targets, **conditions)
    with held(audited) as audited:
        with preserved(audited.model, audited.snapshot):
            found = _blocks(audited, blocks)
            _check_blocks(audited, found)
            unused = unused_notes(audited.model, found) if blocks is None else ()
        audited = replace(audited, notes=(*audited.notes, *unused))
        deadline = began + audited.amounts.max_seconds
        cascade = Cascade(found, known=audited.known.setdefault(("copies", found), {}))
        audit = Audit(
            subject=audited,
            measures=planned(found, depths or ("head", *audited.amounts.depths), blocks is None),
            perturbation=cascade,
            sign_counts=False,
            thresholds=(threshold, one_sided_threshold),
            began=began,
            meter=Meter(deadline),
            control_meter=Meter(deadline),
            similarities=similarities,
        )
        plan_audit_instead(audit, "model_sensitivity", negates=True)
        account = run(audit, CONTROLS)
        negated = account.begun if account.stages else None
        negation = head_negation(account.subject, audit.meter, negated, found) if negated else None
        below = _below(account, audit, found)
        further = reported(Request(account.subject, Meter(deadline), found), metrics if account.first else ())
    verdict = _verdict(account, below, cascade, audit.measures, negation)
    return concluded(replace(verdict, evidence={**verdict.evidence, **further}))


assert_model_sensitive = asserting(check_model_sensitivity, "assert_model_sensitive")


def planned(blocks: Sequence[Block], depths: Sequence[str] | str, whole: bool = True) -> tuple[Measure, ...]:
    """The depths to measure, shallow to deep: of several names for the same depth one that is judged is kept.

    The upper depth is the upper third, half and all are what they say; the head is shown, and is judged only
    where it is the upper third (networks of up to three blocks).

    Args:
        whole: whether the blocks are all of the network, and not some that the user named.
    """
    total = len(blocks)
    counts = {"head": 1, "upper": math.ceil(total / 3), "half": math.ceil(total / 2), "all": total}
    named = {
        counts[name]: name for name in ("head", "half", "upper", "all") if depths == EVERY or name in depths
    }
    if depths == EVERY:
        named = {count: named.get(count, f"top {count}") for count in range(1, total + 1)}
    return tuple(_measure(named[count], count, blocks, whole) for count in sorted(named))


def _measure(name: str, count: int, blocks: Sequence[Block], whole: bool) -> Measure:
    names = [block.name for block in blocks[::-1][:count]]
    listed = names[0] if count == 1 else f"{names[0]} … {names[-1]}"
    sentences = {
        "head": f"the head ({listed}) is re-initialized",
        "upper": f"the upper third ({listed}) is re-initialized",
        "half": f"the upper half ({listed}) is re-initialized",
        "all": "all weights are re-initialized"
        if whole
        else f"all named blocks ({listed}) are re-initialized",
    }
    return Measure(
        name=name,
        detail=f"{listed} ({count} of {len(blocks)} blocks)",
        sentence=sentences.get(name, f"{listed} are re-initialized"),
        judged=name in ("upper", "half", "all"),
        blocks=count,
    )


def _check_blocks(audited: Subject, found: Sequence[Block]) -> None:
    if not found:
        raise ValueError(
            f"no logit of {audited.model_name} depends on a parameter: there is nothing to re-initialize; its "
            f"weights must be parameters (nn.Parameter) of the model that is passed in"
        )


def _check_depths(depths: Any) -> None:
    if depths is None or (isinstance(depths, str) and depths == EVERY):
        return
    listed = tuple(depths) if isinstance(depths, (list, tuple, set, frozenset)) else (depths,)
    for depth in listed:
        if not isinstance(depth, str) or depth not in DEPTHS:
            raise ValueError(f"unknown depth {shown(depth)}; choose from {', '.join(DEPTHS)}, or {EVERY!r}")
    if set(listed) <= {"head"}:
        raise ValueError(
            f"the depth 'head' is shown but does not decide; add one of {', '.join(DEPTHS[1:])} to depths, or "
            f"pass {EVERY!r}"
        )


def _blocks(audited: Subject, names: Sequence[str] | None) -> tuple[Block, ...]:
    def find() -> tuple[Block, ...]:
        everything = audited.chosen(torch.arange(audited.images))
        return find_blocks(audited.model, everything, forward=audited.forward, names=names)

    return find() if names is not None else found_once(audited.known, "blocks", find)


def _below(account: Account, audit: Audit, blocks: Sequence[Block]) -> dict[str, str]:
    """By the measures' names the block right below those that they re-initialize.

    Of the deepest one that keeps the maps: the block below all that can be re-initialized before they change.
    """
    counts = {measure.name: measure.blocks for measure in audit.measures}
    below = {name: blocks[-count - 1].name for name, count in counts.items() if count < len(blocks)}
    kept = [stage.name for stage in account.stages if stage.name in below and stage.lower >= HEADLESS]
    if kept and account.begun is not None:
        known = counts[kept[-1]]
        deeper = next((measure for measure in audit.measures if measure.blocks > known), None)
        among = range(known, deeper.blocks if deeper else len(blocks))
        if deeper and _keeps(account, deeper):  # so do all in between: nothing is explained
            count = among[-1]
        else:
            count = kept_blocks(account.subject, audit.meter, account.begun, blocks, among)
        below[kept[-1]] = blocks[-count - 1].name
    return below


def _keeps(account: Account, measure: Measure) -> bool:
    """Whether the maps stay the same at this depth, by the similarity that decides."""
    same = [
        stage for stage in account.stages if stage.name == measure.name and COMPARED not in stage.evidence
    ]
    return any(stage.lower >= HEADLESS for stage in same)


def _verdict(
    account: Account,
    below: Mapping[str, str],
    cascade: Cascade,
    measures: Sequence[Measure],
    negation: float | None,
) -> Verdict:
    own = [one.name for one in ends(measures)]  # whatever a control, of which some is kept, had to measure
    plain = verdict_of(account, "model_sensitivity", CLAIM)
    evidence = {
        **plain.evidence,
        "blocks": [block.name for block in cascade.blocks],
        "copies": {name: cascade.copies[name] for name in own if name in cascade.copies},
        "head_negation": negation,
    }
    return replace(plain, hint=_hint(account, below, plain), evidence=evidence)


def _hint(account: Account, below: Mapping[str, str], verdict: Verdict) -> str:
    findings = verdict.findings
    if account.first is None:
        return hint_of_saturation(account.subject, findings)
    if hint := hint_of_gate(account.subject.model, findings) or hint_of_saturation(account.subject, findings):
        return hint
    if verdict.outcome == "fail" and not verdict.findings:
        return hint_of_failure(account.subject, account.first, verdict.judged, account.gradient_maps, below)
    if verdict.reason == HEAD_UNUSED:
        measured = tuple(stage for stage in verdict.stages if COMPARED not in stage.evidence)
        return hint_of_unused(measured, below)
    if verdict.reason == "bound" and account.begun is not None:
        return hint_of_open_question(account.subject, account.begun.one_sided)
    return hint_of_equality(account.subject, account.first, account.gradient_maps)
