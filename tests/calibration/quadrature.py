"""`python -m tests.calibration.quadrature`: what is left of completeness beyond the steps' own error.

A rule with FINER times the steps is still wrong by about 1 / (FINER - 1) of what these have changed. A network of
ReLUs has kinks, at which the error of a rule falls unevenly, so the check allows for a multiple of it. Printed are the
largest error in units of the estimate, and what an error exceeds the allowed by: that is what the tolerance is for.
"""

from __future__ import annotations

from functools import partial

import torch

from pytest_saliency_sanity.checks.completeness import _SAFE, FINER, TOLERANCE, check_completeness
from pytest_saliency_sanity.explainers import integrated_gradients
from tests.calibration.command_line import choices, chosen
from tests.calibration.trials import trained

STEPS = (8, 16, 32, 64)


def errors(network: str, seed: int, steps: int, baseline: float) -> tuple[float, float]:
    """Of the finer rule the largest error of a map's sum in units of its estimate, and less what is allowed for."""
    model, images, _ = trained(network, seed)
    explainer = partial(integrated_gradients, steps=steps, baseline=baseline)
    verdict = check_completeness(explainer, model, images, baseline=baseline, seed=seed)
    left, changed = verdict.stages
    estimate = changed.statistic / (FINER - 1)
    return left.statistic / max(estimate, 1e-9), left.statistic - _SAFE * estimate


def main() -> None:
    """Print the largest ratio of each network."""
    parser = choices(__doc__.splitlines()[0])
    parser.set_defaults(group="development")
    given = chosen(parser)
    torch.set_num_threads(1)
    for network in given.networks:
        found = [
            errors(network, seed, steps, baseline)
            for seed in given.seeds
            for steps in STEPS
            for baseline in (0.0, 0.5, 1.0)
        ]
        ratio, excess = map(max, zip(*found, strict=True))
        print(
            f"{network}: at most {ratio:.2f} times the estimate, and {excess:.5f} more than allowed (tolerance "
            f"{TOLERANCE:g})",
            flush=True,
        )


if __name__ == "__main__":
    main()
