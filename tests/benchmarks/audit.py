"""`python -m tests.benchmarks.audit`: what ten explainers in one `audit` cost beside ten audits of one explainer each.

A small convolutional network with random weights, two threads. Separate audits have nothing in common, as in processes
of their own: what is kept between explainers is forgotten before each. Half of them run before the one audit of all and
half after, so that a machine that slows down slows both. Beside the seconds stand the images that went through the
network, which depend on no clock.

`--calls` prints instead what one audit of all checks takes, controls counted, beside its explainers' own calls, on
ResNet-18 with random weights and images of 224×224 (7 minutes). The bar is ×1.15.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Audit, Case, audit, explainers
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.suite import evaluation
from tests.benchmarks.bars import at_most
from tests.benchmarks.model_sensitivity import Timed, setting

DEAREST = 1.15
CHECKS = ("model_sensitivity", "target_sensitivity")
TEN: Mapping[str, Any] = {
    "sobel": explainers.sobel,
    "gradient": explainers.gradient,
    "laplacian": explainers.laplacian,
    "input_x_gradient": explainers.input_x_gradient,
    "input_copy": explainers.input_copy,
    "integrated_gradients": partial(explainers.integrated_gradients, steps=4),
    "guided_backprop": explainers.guided_backprop,
    "smoothgrad": partial(explainers.smoothgrad, samples=4),
    "deconvnet": explainers.deconvnet,
    "gradcam": explainers.gradcam,
}


class Counted(nn.Sequential):
    """A network with random weights that counts the images that go through it, with those of its copies."""

    images = 0

    def __init__(self, size: int, width: int = 32) -> None:
        def convolution(channels: int) -> nn.Conv2d:
            return nn.Conv2d(channels, width, 3, padding=1)

        torch.manual_seed(0)
        layers = [convolution(3), nn.ReLU(), convolution(width), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [convolution(width), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        super().__init__(*layers, nn.Linear(width * (size // 4) ** 2, 10))

    def forward(self, inputs: Tensor) -> Tensor:
        Counted.images += len(inputs)
        return super().forward(inputs)


@dataclass(frozen=True)
class Cost:
    """Seconds, and images through the network."""

    seconds: float = 0.0
    images: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.images + other.images)


def compare(check: str, images: int, size: int, chosen: Mapping[str, Any]) -> None:
    """Print what one audit of all costs, what separate ones do, and the ratios."""
    case = Case(model=Counted(size).eval(), inputs=torch.randn(images, 3, size, size))
    names = list(chosen)
    audited({names[0]: chosen[names[0]]}, case, check)  # the first passes of a process are slower
    separate = Cost()
    for name in names[::2]:
        separate += audited({name: chosen[name]}, case, check)[0]
    together, found = audited(chosen, case, check)
    for name in names[1::2]:
        separate += audited({name: chosen[name]}, case, check)[0]
    passed = sum(one.outcome == "pass" for one in found)
    print(
        f"{check}, {len(found)} explainers ({passed} pass): "
        f"one audit {together.seconds:.1f} s, {together.images} images; "
        f"{len(names)} audits {separate.seconds:.1f} s, {separate.images} images: "
        f"×{together.seconds / separate.seconds:.2f} of the seconds, "
        f"×{together.images / separate.images:.2f} of the images",
        flush=True,
    )


def audited(chosen: Mapping[str, Any], case: Case, check: str) -> tuple[Cost, Audit]:
    """What the audit costs, with nothing kept of any before."""
    control_audit._SURVEYS = control_audit.ControlSurveys()
    evaluation._contracts.clear()
    before, began = Counted.images, time.perf_counter()
    found = audit(chosen, case, [check], progress=False)
    return Cost(time.perf_counter() - began, Counted.images - before), found


def beside_calls(checks: Sequence[str], images: int, size: int, chosen: Mapping[str, Any]) -> None:
    """Print what one audit takes beside its explainers' calls."""
    model = setting()[0]
    case = Case(model=model, inputs=torch.randn(images, 3, size, size))
    timed = {name: Timed(explainer, name) for name, explainer in chosen.items()}
    model(case.inputs[:8])  # the first passes of a process are slower
    began = time.perf_counter()
    audit(timed, case, list(checks), progress=False)
    whole, calls = time.perf_counter() - began, sum(one.seconds for one in timed.values())
    print(
        f"{len(chosen)} explainers, {', '.join(checks)}: {whole:.1f} s, of which the explainers' calls "
        f"{calls:.1f} s: {at_most(whole / calls, DEAREST)}"
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, help="of an image, in pixels (default: 32; with --calls 224)")
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--explainers", nargs="+", choices=TEN, default=list(TEN), metavar="NAME")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=CHECKS, metavar="CHECK")
    given = parser.parse_args()
    torch.set_num_threads(2)
    chosen = {name: TEN[name] for name in given.explainers}
    if given.calls:
        beside_calls(given.checks, given.images, given.size or 224, chosen)
        return
    for check in given.checks:
        compare(check, given.images, given.size or 32, chosen)


if __name__ == "__main__":
    main()
