"""Whether the images and the model can show anything: if they cannot, no explainer fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.batches import constant_images
from pytest_saliency_sanity.examination.explanation import explain, stream_of
from pytest_saliency_sanity.examination.meter import Meter, OutOfBudget, Stopped
from pytest_saliency_sanity.examination.saturation import AT_THE_ENDS, is_saturated
from pytest_saliency_sanity.explainers import gradient, occlusion
from pytest_saliency_sanity.perturbations.weights.coverage import STILL
from pytest_saliency_sanity.statistics import is_constant
from pytest_saliency_sanity.verdict import Finding

USABLE = 0.25  # share of the images whose map on the trained model must not be constant
_VARYING = 0.5  # share of the images that must not have one value everywhere
_MOVING = 0.5  # share of the images whose score must change when parts of them are hidden
_ASKED = 8  # images that the plain gradient is asked about
_VACANT = 0.99  # share of the hidden pixels from which they had the infill's value before
_OF_DEAD_MODELS = (
    "gate.images",
    "gate.model",
    "gate.randomization",
    "gate.constant_maps",
    "gate.constant_copies",
)


def alike_findings(subject: Subject) -> tuple[Finding, ...]:
    """Inconclusive when the logits of all images are the same, up to rounding."""
    spread = (subject.scores.amax(0) - subject.scores.amin(0)).max()
    if spread > STILL * subject.scores.abs().max():
        return ()
    way_out = f"; {AT_THE_ENDS}" if is_saturated(subject) else ""
    sentence = (
        f"the model's logits are the same for all {subject.images} images, so these images cannot show anything"
        f"{way_out}"
    )
    return (Finding("gate.images", "inconclusive", sentence),)


def flat_findings(subject: Subject) -> tuple[Finding, ...]:
    """Inconclusive when most images have one value everywhere in each channel, as black ones do."""
    flat = int(_flat(subject).sum())
    if subject.images - flat >= max(2, _VARYING * subject.images):
        return ()
    sentence = (
        f"{flat} of the {subject.images} images have one value everywhere in each channel, as a black image does; "
        f"such images cannot show anything: pass images with content"
    )
    return (Finding("gate.images", "inconclusive", sentence),)


def dead_findings(audited: Subject, deadline: float) -> tuple[Finding, ...]:
    """Inconclusive where maps show nothing because of the images or the model; costs a pass or two.

    Args:
        audited: held; its explainer is not called.
        deadline: of the first and of further passes, see `Meter`.
    """
    return alike_findings(audited) or flat_findings(audited) or model_findings(audited, deadline)


def model_findings(audited: Subject, deadline: float) -> tuple[Finding, ...]:
    """Inconclusive where the plain gradient is constant on most images; of a model without one, where occlusion is."""
    index = torch.arange(min(_ASKED, audited.images))
    controls: tuple[tuple[str, Callable[..., Any], int], ...] = (
        ("the plain gradient's", gradient, len(index)),
        ("occlusion's", occlusion, 1),  # takes as many calls as an image has windows
    )
    for name, control, size in controls:
        constant = _constant(replace(audited.by(control, name), alone=False), deadline, index.split(size))
        if constant is None:
            continue
        if int((~constant).sum()) >= _needed(len(index)):
            return ()
        sentence = (
            f"{name} maps are constant on {int(constant.sum())} of {len(constant)} images: {_why(audited)}"
        )
        return (Finding("gate.model", "inconclusive", sentence),)
    return ()  # neither control can be computed


def unless_dead(findings: tuple[Finding, ...], audited: Subject, deadline: float) -> tuple[Finding, ...]:
    """The findings; if one fails the explainer, but the model can show nothing, that finding instead."""
    failing = any(finding.outcome == "fail" for finding in findings)
    return (model_findings(audited, deadline) if failing else ()) or findings


def still_findings(
    audited: Subject, moved: Sequence[bool], what: str, vacant: float = 0.0
) -> tuple[Finding, ...]:
    """Inconclusive where changed images leave the score as it is, on half of them.

    Args:
        moved: of each image, whether its score has changed at all.
        what: was done to the images, e.g. "hiding regions".
        vacant: share of the hidden pixels that had the infill's value before.
    """
    if not moved or sum(moved) >= max(2, _MOVING * len(moved)):
        return ()
    found = f"{what} does not change the score of {len(moved) - sum(moved)} of {len(moved)} images"
    if vacant >= _VACANT:
        sentence = (
            f"{found}, because they already have the infill's value there; use another infill=, or images with "
            f"content"
        )
        return (Finding("gate.images", "inconclusive", sentence),)
    return (Finding("gate.model", "inconclusive", f"{found}: {_why(audited)}"),)


def moves(scores: Tensor) -> Tensor:
    """(n,) whether scores (n, P) of an image's variants differ by more than rounding."""
    return scores.amax(1) - scores.amin(1) > STILL * scores.abs().amax(1)


def hint_of_gate(model: nn.Module, findings: Sequence[Finding]) -> str:
    """Why a gate does not hold, where BatchNorm layers explain it: they were never shown an image."""
    norms = {name: module for name, module in model.named_modules() if _running(module) is not None}
    fresh = [name for name, module in norms.items() if _is_uncalibrated(module)]
    if not fresh or not any(finding.reason in _OF_DEAD_MODELS for finding in findings):
        return ""
    names = f"{fresh[0] or 'the model itself'}{', …' if len(fresh) > 1 else ''}"
    return (
        f"{len(fresh)} of the model's {len(norms)} BatchNorm layers ({names}) still have their initial statistics "
        f"(mean 0, variance 1), so that differences between images vanish or overflow: pass some batches of "
        f"images through the model in training mode (model.train(); model(images)), or load trained weights"
    )


# The images.


def _flat(subject: Subject) -> Tensor:
    """(N,) whether no channel of an image varies in space, in any input; False for tables, which have no space."""
    flat = [_flat_part(part) for part in subject.explained]
    return torch.stack(flat).all(0)


def _flat_part(part: Tensor) -> Tensor:
    if part.ndim < 3:
        return torch.zeros(len(part), dtype=torch.bool)
    return is_constant(part.flatten(0, 1)).view(part.shape[:2]).all(1).cpu()


# The model.


def _why(audited: Subject) -> str:
    """Why the model may show nothing, and what to do about it."""
    if is_saturated(audited):
        return f"{audited.model_name} is saturated; {AT_THE_ENDS}"
    return (
        f"{audited.model_name} is flat around these images (as with dead ReLUs, step functions, or underflow in "
        f"half precision); explain another output with forward=, or use other weights, a wider dtype or other images"
    )


def _constant(control: Subject, deadline: float, parts: Sequence[Tensor]) -> Tensor | None:
    """(n,) whether the control's maps of the images are constant; None where it cannot be taken.

    It ends as soon as enough of them are not.
    """
    found: list[Tensor] = []
    needed = _needed(sum(map(len, parts)))
    try:
        for maps in _maps(control, deadline, parts):
            found.append(maps)
            if sum(int((~one).sum()) for one in found) >= needed:
                break
    except (Stopped, OutOfBudget):
        return None
    return torch.cat(found)


def _maps(control: Subject, deadline: float, parts: Sequence[Tensor]) -> Iterator[Tensor]:
    meter = Meter(deadline)
    for index in parts:
        yield constant_images(explain(control, meter, index, stream_of(control.seed, "images", 0)))


def _needed(images: int) -> float:
    return max(2, USABLE * images)


def _running(module: nn.Module) -> tuple[Tensor, Tensor] | None:
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    return (mean, variance) if isinstance(mean, Tensor) and isinstance(variance, Tensor) else None


def _is_uncalibrated(module: nn.Module) -> bool:
    running = _running(module)
    return running is not None and not bool(running[0].any()) and bool(running[1].eq(1).all())
