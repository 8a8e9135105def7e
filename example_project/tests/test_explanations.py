"""Do our explanations look at the model, and at the digit that they explain?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from pytest_saliency_sanity import SanityCheckFailed
from pytest_saliency_sanity.explainers import (
    gradcam,
    gradient,
    guided_backprop,
    integrated_gradients,
    occlusion,
    smoothgrad,
)

from digit_reader.explanations import lead, pen_strokes, stroke_evidence, strongest_rivals

HONEST = {
    "stroke_evidence": stroke_evidence,
    "gradient": gradient,
    "integrated_gradients": integrated_gradients,
    "smoothgrad": partial(smoothgrad, samples=25),
    "gradcam": gradcam,
    "occlusion": partial(occlusion, window=7, stride=3),
}
KNOWN_FAILURES = {
    "guided_backprop": (
        guided_backprop,
        "recovers the strokes from the lower layers, whatever the upper ones say (Adebayo et al. 2018, "
        "Nie et al. 2018); it is in last year's slides, and kept to draw them again",
    ),
    "pen_strokes": (
        pen_strokes,
        "an edge detector that never calls the model; we show it as an outline, not as an explanation",
    ),
}


def known_failure(name: str, explainer: Callable, reason: str):
    mark = pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason=reason)
    return pytest.param(explainer, id=name, marks=mark)


EXPLAINERS = [
    *(pytest.param(explainer, id=name) for name, explainer in HONEST.items()),
    *(known_failure(name, *failure) for name, failure in KNOWN_FAILURES.items()),
]


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_looks_at_the_model(assert_model_sensitive, model, explainer):
    assert_model_sensitive(explainer, model)


@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_looks_at_the_digit_it_explains(assert_target_sensitive, model, explainer):
    assert_target_sensitive(explainer, model)


def test_stroke_evidence_adds_up_to_the_lead(model, held_out):
    images, labels = held_out.images[:8], held_out.labels[:8]
    rivals = strongest_rivals(model, images, labels)
    with torch.no_grad():
        blank = torch.zeros_like(images)
        gained = lead(model, images, labels, rivals) - lead(model, blank, labels, rivals)
    evidence = stroke_evidence(model, images, labels, steps=100)
    torch.testing.assert_close(evidence.sum((1, 2, 3)), gained, atol=0.2, rtol=0.02)


def test_the_strongest_rival_is_the_second_choice_of_a_digit_read_right(model, held_out):
    with torch.no_grad():
        first, second = model(held_out.images).topk(2).indices.T
    assert torch.equal(strongest_rivals(model, held_out.images, first), second)


def test_blank_paper_is_no_evidence(model):
    blank = torch.zeros(1, 1, 28, 28)
    assert stroke_evidence(model, blank, torch.tensor([3])).abs().max() == 0
