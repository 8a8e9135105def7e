"""`python -m tests.calibration.one_sided_values --group development`: what maps of one sign keep by value.

Over all networks and seeds, at the first judged depth; the last column is what `measured_lines.LOUD` divides: Pearson,
with the input's size, its distance from the background and the features held constant. It is measured only where the
ranks leave a map open.
"""

from __future__ import annotations

from pytest_saliency_sanity import check_model_sensitivity
from tests.calibration.command_line import choices, chosen
from tests.calibration.one_sided import HONEST, OUTSIDE
from tests.calibration.tables import spread
from tests.calibration.trials import run

if __name__ == "__main__":
    given = chosen(choices(__doc__.splitlines()[0]))
    names = given.explainers or [*HONEST, *OUTSIDE]
    trials = run(check_model_sensitivity, names, given.networks, given.seeds, given.jobs)
    print(f"{', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}\n")
    print(spread(trials, names))
