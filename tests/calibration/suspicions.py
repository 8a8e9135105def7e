"""`python -m tests.calibration.suspicions --group development`: what three similarities see of honest and of made maps.

Over all networks and seeds, at the first judged depth: the retained fraction by rank (Spearman), by value
(Pearson) and by absolute value (Pearson). The lines of `sensitivity.suspicions` lie between the two groups.
"""

from __future__ import annotations

from pytest_saliency_sanity import check_model_sensitivity
from tests.calibration.command_line import choices, chosen
from tests.calibration.planted import PLANTED
from tests.calibration.tables import spread
from tests.calibration.trials import SIGNED, run

if __name__ == "__main__":
    given = chosen(choices(__doc__.splitlines()[0]))
    names = given.explainers or [*SIGNED, "guided_backprop", *PLANTED]
    trials = run(check_model_sensitivity, names, given.networks, given.seeds, given.jobs)
    print(f"{', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}\n")
    print(spread(trials, names))
