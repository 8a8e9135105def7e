"""Do our explanations show what was learned, or what any network would show?

Four networks are trained for these tests: two on digits as they were labeled, two on digits whose labels were
shuffled and that were learned by heart. The plugin keeps them, so that only the first run takes a minute.
"""

from __future__ import annotations

import pytest
from pytest_saliency_sanity import SanityCheckFailed
from pytest_saliency_sanity.explainers import gradient, integrated_gradients

from digit_reader.data import load_digits
from digit_reader.explanations import pen_strokes, stroke_evidence
from digit_reader.model import DigitClassifier


@pytest.fixture(scope="session")
def saliency_make_model():
    return DigitClassifier


@pytest.fixture(scope="session")
def saliency_train_set():
    digits = load_digits("train")
    return digits.images[:1000], digits.labels[:1000]


@pytest.mark.parametrize("explainer", [stroke_evidence, gradient, integrated_gradients])
def test_shows_what_was_learned(assert_data_sensitive, explainer):
    assert_data_sensitive(explainer)


@pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason="an outline is the same for every network")
def test_an_outline_shows_nothing_that_was_learned(assert_data_sensitive):
    assert_data_sensitive(pen_strokes)
