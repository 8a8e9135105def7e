"""What the figures of `metrics=` say of honest maps and of maps that use no model, beside the checks' verdicts.

    python -m tests.benchmarks.metrics

On the planted images and one stored network, in the profile ci. `noise` draws from a generator of its own, which cannot
be replayed; `replayed noise` from torch's, which is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    Verdict,
    check_consistency,
    check_insertion_deletion,
    check_model_sensitivity,
)
from pytest_saliency_sanity.explainers import (
    gradient,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
    smoothgrad,
)
from pytest_saliency_sanity.explainers.controls import center_prior, sobel
from pytest_saliency_sanity.metrics.reported import METRICS
from pytest_saliency_sanity.planted import planted_images
from tests.planted import stored_network

CHECKS: Mapping[str, Callable[..., Verdict]] = {
    "model_sensitivity": check_model_sensitivity,
    "consistency": check_consistency,
    "insertion_deletion": check_insertion_deletion,
}


def noise() -> Callable[..., Any]:
    own = torch.Generator().manual_seed(0)

    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.randn(inputs.shape, generator=own)

    return explain


def replayed_noise(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return torch.randn(inputs.shape)


EXPLAINERS: Mapping[str, Callable[..., Any]] = {
    "gradient": gradient,
    "input × gradient": input_x_gradient,
    "integrated gradients": integrated_gradients,
    "smoothgrad": partial(smoothgrad, samples=10),
    "guided backprop": guided_backprop,
    "Sobel": sobel,
    "the center": center_prior,
    "noise": noise(),
    "replayed noise": replayed_noise,
}


def figures(explainer: Callable[..., Any], images: int) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """The outcomes of the checks, and what each figure's evidence is."""
    model, inputs = stored_network("plain", 0), planted_images(images, seed=7).images
    outcomes, found = [], {}
    for name, check in CHECKS.items():
        asked = [metric for metric, one in METRICS.items() if one.checks[0] == name]
        verdict = check(explainer, model, inputs, metrics=asked)
        outcomes.append(verdict.outcome)
        found |= verdict.evidence.get("metrics", {})
    return outcomes, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--explainers", nargs="+", default=list(EXPLAINERS), choices=EXPLAINERS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| explainer | {' | '.join(CHECKS)} | {' | '.join(one.title for one in METRICS.values())} |")
    print(f"|{' --- |' * (1 + len(CHECKS) + len(METRICS))}")
    of_zeros: dict[str, float] = {}
    for name in given.explainers:
        outcomes, found = figures(EXPLAINERS[name], given.images)
        values = [found.get(metric, {}).get("value") for metric in METRICS]
        of_zeros |= {"infidelity": found["infidelity"]["of_zeros"]} if "infidelity" in found else {}
        cells = ["–" if value is None else f"{value:.2g}" for value in values]
        print(f"| {name} | {' | '.join([*outcomes, *cells])} |", flush=True)
    print("\n".join(f"A map of zeros has the {name} {value:.2g}." for name, value in of_zeros.items()))


if __name__ == "__main__":
    main()
