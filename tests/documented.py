"""What the code blocks of README and manual may use without saying where it comes from.

`tests/test_code_blocks.py` puts `from tests.documented import *` in front of each block.
"""

from __future__ import annotations

import sys
import warnings

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import SanityCheckFailed
from pytest_saliency_sanity.explainers import (
    gradcam,
    gradient,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
)
from pytest_saliency_sanity.planted import planted_images
from tests.digits import held_out_digits
from tests.manual import ROOT
from tests.networks import EVALUATION, train
from tests.planted import planted_cnn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import captum.attr

sys.path.append(str(ROOT / "example_project"))
from digit_reader.data import load_digits
from digit_reader.explanations import stroke_evidence

__all__ = [
    "Classifier",
    "SanityCheckFailed",
    "captum",
    "decoder",
    "explainer",
    "gradcam",
    "gradient",
    "guided_backprop",
    "held_out_images",
    "images",
    "input_x_gradient",
    "integrated_gradients",
    "labels",
    "load_digits",
    "model",
    "my_explainer",
    "planted_images",
    "planted_model",
    "pytest",
    "stroke_evidence",
    "targets",
    "torch",
    "train",
]

images, labels = held_out_digits()
held_out_images, targets = images, labels
model = train("plain_cnn")
planted_model = planted_cnn()
Classifier = EVALUATION["mlp"]
explainer = gradient
my_explainer = integrated_gradients
decoder = nn.Sequential(nn.Linear(16, 28 * 28), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))
