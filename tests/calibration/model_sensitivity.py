"""`python -m tests.calibration.model_sensitivity`: false alarms, misses and the detection limit of the check.

Thresholds were chosen with `--group development`; the numbers in the documentation are those of
`--group evaluation`, other kinds of networks.
"""

from __future__ import annotations

from pytest_saliency_sanity import check_model_sensitivity
from tests.calibration.trials import FAULTY, HONEST, NEITHER, SIGNED, report

if __name__ == "__main__":
    report(check_model_sensitivity, SIGNED, HONEST, FAULTY, NEITHER)
