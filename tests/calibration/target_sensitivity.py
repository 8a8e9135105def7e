"""`python -m tests.calibration.target_sensitivity`: false alarms and misses of the check, as for the model's.

A stale model and a mixture with the gradient do depend on the target: they are shown and not counted.
"""

from __future__ import annotations

from pytest_saliency_sanity.checks.target_sensitivity import check_target_sensitivity
from tests.calibration.trials import FAULTY, NEITHER, Calibration, trained

DEPEND = ("stale_model", "gradient_sobel_mixture")
CALIBRATION = Calibration(
    check_target_sensitivity,
    tuple(name for name in FAULTY if name not in DEPEND),
    (*NEITHER, *DEPEND),
    trained,
)

if __name__ == "__main__":
    from tests.calibration.command_line import report

    report("target_sensitivity", CALIBRATION)
