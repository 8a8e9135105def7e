"""`python -m tests.calibration.tasks`: verdicts on tasks on which sanity checks have been criticized.

The edges are the answer (Yona and Greenfeld 2021), the background tells the class, the object is always in the center,
suppressor variables (XAI-TRIS), a class without weights. Two kinds of networks are trained on each, three seeds each.
The lists of honest and faulty explainers were fixed before the table was computed. No honest explainer may fail, and no
faulty one may pass; an inconclusive verdict is right where a task can show nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.checks.localization import check_localization
from pytest_saliency_sanity.checks.model_sensitivity import check_model_sensitivity
from pytest_saliency_sanity.checks.occlusion_sensitivity import check_occlusion_sensitivity
from pytest_saliency_sanity.checks.target_sensitivity import check_target_sensitivity
from pytest_saliency_sanity.verdict import Verdict
from tests.calibration.tables import matrix, rates
from tests.calibration.trials import Trial, run
from tests.tasks import KINDS, TASKS, task_network

IMAGES = 32
SEEDS = (0, 1, 2)
NETWORKS = tuple(f"{task}:{kind}" for task in TASKS for kind in KINDS)
SIGNED = ("gradient", "input_x_gradient", "integrated_gradients", "occlusion")
FAULTY = ("sobel", "noise", "gradient_sobel_mixture", "guided_backprop", "input_copy")
SHOWN = ("absolute gradient",)
EXPLAINERS = (*SIGNED, "gradcam", *FAULTY, "stale_model", *SHOWN)
# By check: who must not fail, and who must not pass. What is in neither list is shown.
BARS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "model_sensitivity": ((*SIGNED, "gradcam"), (*FAULTY, "stale_model")),
    "target_sensitivity": ((*SIGNED, "gradcam"), FAULTY),
    "occlusion_sensitivity": (SIGNED, ("sobel", "noise")),
    "localization": (SIGNED, ("sobel", "noise")),
}


def setting(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network, images of its task and labels; the network carries the regions as its attribute."""
    task, kind = network.split(":")
    model, data = task_network(task, kind, seed), TASKS[task](IMAGES, seed)
    model.regions = data.regions
    return model, data.images, data.labels


def _localization(explainer: Any, model: nn.Module, images: Tensor, **options: Any) -> Verdict:
    return check_localization(explainer, model, images, regions=model.regions, **options)


CHECKS: Mapping[str, Callable[..., Verdict]] = {
    "model_sensitivity": check_model_sensitivity,
    "target_sensitivity": check_target_sensitivity,
    "occlusion_sensitivity": check_occlusion_sensitivity,
    "localization": _localization,
}


def by_task(trials: Sequence[Trial]) -> str:
    """A Markdown table, explainers × tasks: outcomes over kinds of networks and seeds."""
    merged = [
        Trial(t.network.split(":")[0], t.seed, t.explainer, t.outcome, t.reason, t.statistics) for t in trials
    ]
    return matrix(merged, EXPLAINERS, tuple(TASKS))


def counted(check: str, trials: Sequence[Trial]) -> str:
    """False alarms, misses and open verdicts of a check, with their bounds."""
    return f"{check}\n{rates(trials, *BARS[check])}"


def main(given: argparse.Namespace) -> None:
    """Run the trials that the command line asks for, and print the tables."""
    for name in given.checks:
        trials = run(CHECKS[name], given.explainers, given.networks, given.seeds, given.jobs, setting)
        print(f"{name}\n\n{matrix(trials, given.explainers, given.networks)}\n\n{counted(name, trials)}\n")


if __name__ == "__main__":
    from tests.calibration.command_line import of_checks

    if choices := of_checks("tasks", sys.modules[__name__]):
        main(choices)
