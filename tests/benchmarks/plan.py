"""`python -m tests.benchmarks.plan`: what `--saliency-plan` foretells, beside what happens.

The example project: its tests are planned and then run, each in a process of its own. ResNet-18: random weights, 16
images of 224×224, the gradient, two threads; the check is planned and then run. Maps are those of the explainers and of
the controls; seconds are those of the checks, without the training of networks and the project's own tests.

Where other programs use the machine, `--processor-time` counts the seconds that one thread computes instead.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_saliency_sanity import Case, audit, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.plugin.recording.records import attached, planned

EXAMPLE = Path(__file__).parents[2] / "example_project"
BAR = 0.3


@dataclass(frozen=True)
class Cost:
    """Maps, those of the controls included, seconds of the checks, and networks that were trained."""

    maps: int = 0
    seconds: float = 0.0
    networks: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.maps + other.maps, self.seconds + other.seconds, self.networks + other.networks)


class Costs:
    """A plugin of pytest that adds up the plans and the verdicts of a run."""

    def __init__(self) -> None:
        self.planned, self.run = Cost(), Cost()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of each report."""
        for plan in planned(report):
            self.planned += Cost((plan.explanations or 0) + plan.controls, plan.seconds or 0.0, plan.networks)
        for verdict in attached(report):
            self.run += of_evidence(verdict["evidence"])


def of_evidence(evidence: Mapping[str, Any]) -> Cost:
    """What a verdict has cost."""
    cost, control = evidence["cost"], evidence.get("control_cost", {"images": 0, "total_seconds": 0.0})
    trained = [one for one in evidence.get("networks", ()) if one["seconds"] and not one["cached"]]
    seconds = cost["total_seconds"] + control["total_seconds"] - sum(one["seconds"] for one in trained)
    return Cost(cost["images"] + control["images"], seconds, len(trained))


def example(processor_time: bool) -> bool:
    """Print what the example project's plan says, and what its run takes; whether they agree."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(EXAMPLE, project)
        how = ["--processor-time"] if processor_time else []
        foretold, happened = (_in_a_process(project, how, flags) for flags in (["--saliency-plan"], []))
    return compared("the example project", foretold, happened)


def inner(flags: list[str]) -> None:
    """Print the cost of a run of pytest in this folder, as JSON."""
    costs = Costs()
    pytest.main(["-q", "-p", "no:randomly", "--saliency-baseline=", *flags], plugins=[costs])
    total = costs.planned + costs.run
    print(f"\n{json.dumps(vars(total))}")


def _in_a_process(project: Path, how: list[str], flags: list[str]) -> Cost:
    command = [sys.executable, "-m", __spec__.name, *how, "--inner", *flags]
    root = str(Path(__file__).parents[2])
    ran = subprocess.run(
        command, cwd=project, env=_environment(root), capture_output=True, text=True, check=True
    )
    return Cost(**json.loads(ran.stdout.splitlines()[-1]))


def _environment(root: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": root}


def resnet(images: int) -> bool:
    """Print what the plan of the check says for ResNet-18, and what it takes; whether they agree."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model, inputs = resnet18(weights=None).eval(), torch.randn(images, 3, 224, 224)
    with torch.no_grad():
        model(inputs)  # the first pass of a process is slower than all others
    case = Case(model=model, inputs=inputs)
    plans = audit({"gradient": gradient}, case, ["model_sensitivity"], progress=False, plan=True)
    of_check = [plan for plan in plans if plan.check == "model_sensitivity"]
    foretold = Cost(sum((one.explanations or 0) + one.controls for one in of_check), of_check[0].seconds or 0)
    happened = of_evidence(check_model_sensitivity(gradient, model, inputs).evidence)
    return compared(f"ResNet-18, the gradient, {images} images", foretold, happened)


def compared(what: str, foretold: Cost, happened: Cost) -> bool:
    """Print both and their ratios; whether both are within the bar."""
    ratios = foretold.maps / happened.maps, foretold.seconds / happened.seconds
    met = all(1 - BAR <= ratio <= 1 + BAR for ratio in ratios)
    print(
        f"{what}: planned {foretold.maps} maps, {foretold.networks} networks, {foretold.seconds:.1f} s; "
        f"run {happened.maps} maps, {happened.networks} networks, {happened.seconds:.1f} s: "
        f"×{ratios[0]:.2f} of the maps, ×{ratios[1]:.2f} of the seconds "
        f"(bar: {1 - BAR:g} to {1 + BAR:g}, {'met' if met else 'missed'})",
        flush=True,
    )
    return met


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--only", choices=("example", "resnet"))
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--inner", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1 if given.processor_time else 2)
    if given.processor_time:
        time.perf_counter = time.monotonic = time.process_time
    if given.inner is not None:
        inner(given.inner)
        return
    met = [example(given.processor_time)] if given.only != "resnet" else []
    met += [resnet(given.images)] if given.only != "example" else []
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
