"""`python -m tests.benchmarks.model_sensitivity`: what the check costs beside its explainer's calls.

ResNet-18 with random weights, 16 images of 224×224, the gradient explainer, two threads. Quantus' MPRT runs the
same explainer on the same model and images (one call for the original and one for each of its 42 steps), so that
both ratios come from one run of one machine.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

IMAGES = 16


class Timed:
    """An explainer with a clock."""

    def __init__(self, explainer: Callable[..., Any]) -> None:
        self.explainer, self.seconds, self.calls = explainer, 0.0, 0
        self.__name__ = "gradient"

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.explainer(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start
            self.calls += 1


def setting() -> tuple[torch.nn.Module, torch.Tensor]:
    """The network and the images."""
    from torchvision.models import resnet18

    torch.manual_seed(0)
    return resnet18(weights=None).eval(), torch.randn(IMAGES, 3, 224, 224)


def ours(repeat: int) -> None:
    """Print the check's cost for the gradient, with its controls apart, and for an edge detector."""
    from pytest_saliency_sanity import check_model_sensitivity
    from pytest_saliency_sanity.explainers import gradient, sobel

    model, images = setting()
    check_model_sensitivity(sobel, model, images)  # the first passes of a process are slower than all others
    for seed in range(repeat):
        verdict = check_model_sensitivity(Timed(gradient), model, images, seed=seed)
        cost, control = verdict.evidence["cost"], verdict.evidence["control_cost"]
        print(
            f"ours: {verdict.outcome}; {cost['calls']} calls of the gradient, {cost['images']} maps, "
            f"{cost['seconds']:.1f} s, "
            f"whole check {cost['total_seconds']:.1f} s: ×{cost['total_seconds'] / cost['seconds']:.3f}; "
            f"controls, shared by a run: {control['total_seconds']:.1f} s"
        )
    verdict = check_model_sensitivity(sobel, model, images)
    print(f"ours, Sobel: {verdict.outcome} after {verdict.deciding.images} images of {IMAGES}")


def quantus_mprt() -> None:
    """Print the cost of Quantus' model parameter randomization test."""
    import quantus

    from pytest_saliency_sanity.explainers import gradient

    model, images = setting()
    targets = model(images).argmax(1).numpy()

    def explain(model: torch.nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
        return gradient(model, torch.as_tensor(inputs), torch.as_tensor(targets)).sum(1, keepdim=True).numpy()

    timed = Timed(explain)
    metric = quantus.MPRT(disable_warnings=True, display_progressbar=False)
    start = time.perf_counter()
    metric(
        model=model,
        x_batch=images.numpy(),
        y_batch=targets,
        a_batch=None,
        explain_func=timed,
        device="cpu",
        batch_size=IMAGES,
    )
    total = time.perf_counter() - start
    print(
        f"quantus: {timed.calls} calls {timed.seconds:.1f} s, whole metric {total:.1f} s: ×{total / timed.seconds:.3f}"
    )


def memory() -> None:
    """Print the peak memory of a fresh process that makes one call, and of one that runs the whole check."""
    sizes = {
        what: int(subprocess.check_output([sys.executable, "-m", __spec__.name, "--peak", what]))
        for what in ("call", "check")
    }
    model, images = setting()
    parameters = sum(p.numel() * 4 for p in model.parameters()) / 2**20
    maps = 5 * images[:, 0].numel() * 4 / 2**20
    extra = (sizes["check"] - sizes["call"]) / 1024
    print(
        f"memory: {extra:.0f} MiB more than one call of the explainer on 8 images; "
        f"parameters {parameters:.0f} MiB, maps and ranks {maps:.0f} MiB"
    )


def peak(what: str) -> None:
    """Print this process's peak resident memory in KiB after one explainer call, or after a check."""
    from pytest_saliency_sanity import check_model_sensitivity
    from pytest_saliency_sanity.explainers import gradient

    model, images = setting()
    check_model_sensitivity(
        gradient, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)), torch.randn(4, 3, 8, 8)
    )
    gradient(model, images[:8], torch.zeros(8, dtype=torch.long))
    if what == "check":
        check_model_sensitivity(gradient, model, images)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--without-quantus", action="store_true")
    parser.add_argument("--peak", choices=("call", "check"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(2)
    if given.peak:
        peak(given.peak)
        return
    ours(given.repeat)
    memory()
    if not given.without_quantus:
        quantus_mprt()


if __name__ == "__main__":
    main()
