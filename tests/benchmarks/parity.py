"""What a refactoring leaves of the maps, as `check_parity` sees it: harmless changes beside those that change maps.

    python -m tests.benchmarks.parity

On the planted images and the stored networks. Harmless: the same computation in other arithmetic. The others are what a
release may bring unnoticed: other numbers of steps and samples, another baseline, another sign, a map that is shifted.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_parity, settings
from pytest_saliency_sanity.explainers import (
    gradcam,
    gradient,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    smoothgrad,
)
from pytest_saliency_sanity.planted import planted_images
from tests.planted import STORED, stored_network

Explainer = Callable[..., Any]


def in_double(explainer: Explainer) -> Explainer:
    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return explainer(copy.deepcopy(model).double(), inputs.double(), targets).float()

    return explain


def one_by_one(explainer: Explainer) -> Explainer:
    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.cat(
            [explainer(model, inputs[i : i + 1], targets[i : i + 1]) for i in range(len(inputs))]
        )

    return explain


def shifted(explainer: Explainer) -> Explainer:
    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return explainer(model, inputs, targets).roll(1, -1)

    return explain


def negated(explainer: Explainer) -> Explainer:
    return lambda *given: -explainer(*given)


DETERMINISTIC = {
    "gradient": gradient,
    "input_x_gradient": input_x_gradient,
    "integrated_gradients": partial(integrated_gradients, steps=32),
    "occlusion": partial(occlusion, window=4, stride=2),
    "gradcam": gradcam,
}
SMOOTH = partial(smoothgrad, samples=25)


def harmless() -> Iterator[tuple[str, Explainer, Explainer]]:
    for name, explainer in DETERMINISTIC.items():
        yield f"{name}, in float64", explainer, in_double(explainer)
        yield f"{name}, image by image", explainer, one_by_one(explainer)
    yield "smoothgrad(samples=25), again", SMOOTH, SMOOTH


def changed() -> Iterator[tuple[str, Explainer, Explainer]]:
    for name, explainer in DETERMINISTIC.items():
        yield f"{name}, shifted by a pixel", explainer, shifted(explainer)
        yield f"{name}, with the other sign", explainer, negated(explainer)
    yield "gradient → input_x_gradient", gradient, input_x_gradient
    steps = partial(integrated_gradients, steps=32)
    yield "integrated_gradients, 32 → 16 steps", steps, partial(integrated_gradients, steps=16)
    yield "integrated_gradients, 32 → 4 steps", steps, partial(integrated_gradients, steps=4)
    yield "smoothgrad, 25 → 20 samples", SMOOTH, partial(smoothgrad, samples=20)
    yield (
        "occlusion, stride 2 → 1",
        partial(occlusion, window=4, stride=2),
        partial(occlusion, window=4, stride=1),
    )


def agreement(before: Explainer, after: Explainer, model: nn.Module) -> tuple[float, str]:
    """The statistic and the outcome."""
    images = planted_images(24, seed=7).images
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "maps.safetensors"
        with settings.using(replace(settings.current(), references=("create",))):
            check_parity(before, model, images, reference=path, name="it")
        verdict = check_parity(after, model, images, reference=path, name="it")
    return float(verdict.statistic or 0), verdict.outcome


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", type=int, default=4, help="how many of the stored ones (default: all four)"
    )
    torch.set_num_threads(1)
    stored = [(kind, seed) for kind, seeds in STORED.items() for seed in seeds]
    networks = stored[: parser.parse_args().networks]
    for title, pairs in (("harmless", harmless()), ("changed", changed())):
        print(f"{title} (least and largest rank correlation over {len(networks)} networks, outcomes)")
        for name, before, after in pairs:
            found = [agreement(before, after, stored_network(*one)) for one in networks]
            values = [value for value, _ in found]
            outcomes = ", ".join(sorted({outcome for _, outcome in found}))
            print(f"  {min(values):8.5f} {max(values):8.5f}  {outcomes:<20} {name}")


if __name__ == "__main__":
    main()
