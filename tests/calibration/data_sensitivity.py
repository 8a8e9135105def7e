"""`python -m tests.calibration.data_sensitivity`: false alarms and misses of the check on digits.

For each network kind and seed two networks are trained on the true labels of 1,000 digits and two on permuted
ones, and every explainer is checked on 32 other digits. The networks are kept among the system's temporary files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.checks.data_sensitivity import check_data_sensitivity
from pytest_saliency_sanity.verdict import Verdict
from tests.calibration.trials import FAULTY, NEITHER, Calibration, held_out
from tests.digits import train_digits
from tests.networks.training import NETWORKS

CACHE = Path(tempfile.gettempdir()) / "pytest_saliency_sanity_networks"
SAMPLES = 1000
ON = ("plain_cnn", "vgg_bn", "mlp", "vision_transformer")  # four networks are trained for each
DEPEND = ("guided_backprop", "gradient_sobel_mixture")  # in part on the data: shown, and not counted


def untrained(network: str, seed: int) -> tuple[Callable[[], nn.Module], Tensor, Tensor]:
    """How the network is built, and images with labels to explain."""
    return NETWORKS[network], *held_out(seed)


def check(
    explainer: Callable[..., Any], make_model: Callable[[], nn.Module], images: Tensor, **options: Any
) -> Verdict:
    """Does the map of the explainer depend on what the network was trained on?"""
    digits = train_digits()
    train_set = digits.images[:SAMPLES], digits.labels[:SAMPLES]
    with settings.using(settings.Settings(progress=None)):
        return check_data_sensitivity(explainer, make_model, train_set, images, cache=CACHE, **options)


CALIBRATION = Calibration(
    check, tuple(name for name in FAULTY if name not in DEPEND), (*NEITHER, *DEPEND), untrained
)

if __name__ == "__main__":
    from tests.calibration.command_line import report

    report("data_sensitivity", CALIBRATION)
