"""`python -m tests.calibration.target_sensitivity`: false alarms and misses of the check, as for the model's.

A stale model and a mixture with the gradient do depend on the target: they are shown and not counted.
"""

from __future__ import annotations

from pytest_saliency_sanity import check_target_sensitivity
from tests.calibration.trials import FAULTY, HONEST, NEITHER, SIGNED, report

DEPEND = ("stale_model", "gradient_sobel_mixture")

if __name__ == "__main__":
    faulty = tuple(name for name in FAULTY if name not in DEPEND)
    report(check_target_sensitivity, SIGNED, HONEST, faulty, (*NEITHER, *DEPEND))
