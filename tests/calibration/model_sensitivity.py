"""`python -m tests.calibration.model_sensitivity`: false alarms, misses and the detection limit of the check.

Thresholds were chosen with `--group development`; the numbers in the documentation are those of
`--group evaluation`, other kinds of networks.
"""

from __future__ import annotations

from pytest_saliency_sanity.checks.model_sensitivity import check_model_sensitivity
from tests.calibration.trials import FAULTY, NEITHER, Calibration, trained

CALIBRATION = Calibration(check_model_sensitivity, FAULTY, NEITHER, trained)

if __name__ == "__main__":
    from tests.calibration.command_line import report

    report("model_sensitivity", CALIBRATION)
