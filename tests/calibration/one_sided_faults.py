"""`python -m tests.calibration.one_sided_faults`: the faulty explainers of `one_sided`, on more seeds."""

from __future__ import annotations

from tests.calibration.one_sided import FAULTY

SEEDS = tuple(range(10))

if __name__ == "__main__":
    from tests.calibration.command_line import report_rates

    report_rates("one_sided_faults", FAULTY, SEEDS)
