"""The trained model, and what pytest-saliency-sanity audits explanations with."""

from __future__ import annotations

import os

import pytest
from torch import Tensor

from digit_reader.data import Digits, load_digits
from digit_reader.model import DigitClassifier
from digit_reader.training import train


@pytest.fixture(scope="session")
def held_out() -> Digits:
    return load_digits("held_out")


@pytest.fixture(scope="session")
def model() -> DigitClassifier:
    """Trained once a session; DIGIT_READER_SEED trains another one, to see what holds for both."""
    return train(load_digits("train"), seed=int(os.environ.get("DIGIT_READER_SEED", "0")))


@pytest.fixture(scope="session")
def saliency_model(model: DigitClassifier) -> DigitClassifier:
    return model


@pytest.fixture(scope="session")
def saliency_inputs(held_out: Digits) -> Tensor:
    return held_out.images[:64]


@pytest.fixture(scope="session")
def saliency_labels(held_out: Digits) -> Tensor:
    """What was written. The explained target is left to the plugin: the digit that the model reads."""
    return held_out.labels[:64]
