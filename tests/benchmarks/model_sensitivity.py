"""`python -m tests.benchmarks.model_sensitivity --resume`: what the check costs, beside its calls and Quantus' MPRT.

Networks of torchvision with random weights, 16 images of 224×224, two threads. A run asks, one after the other: the
check of the plain gradient, as a user's own function (A); Quantus' MPRT of the same function on the same model and
images, one call for the original and one for each of its steps (B); A and B again; the check of Sobel, which is decided
at the first look; on ResNet-18 the check of input × gradient, and once that of integrated gradients in 25 steps, which
takes as long as all the rest. Controls are made anew for each. What is printed are medians over the runs: of ratios,
each of which was had in one process.

A run that has ended is written at once; `--resume` goes on where it was cut off. `--memory` prints peak memory instead.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

IMAGES = 16
NETWORKS = {"resnet18": 5, "resnet50": 2, "vgg16": 2, "vit_b_16": 2}  # with the number of runs
FILE = Path(tempfile.gettempdir()) / "pytest_saliency_sanity_benchmarks" / "model_sensitivity.jsonl"
BARS = {
    "gradient: check / its calls": 1.15,
    "input_x_gradient: check / its calls": 1.38,
    "integrated_gradients: check / its calls": 1.10,
}
FASTER = {
    "MPRT / check of the gradient": 2.7, "MPRT / check of Sobel": 42.0, "MPRT / check of Sobel, control shared": 42.0,
}  # fmt: skip
Timings = dict[str, float]  # seconds, by what took them


class Timed:
    """A user's own function around an explainer, with a clock."""

    def __init__(self, explainer: Callable[..., Any], name: str) -> None:
        self.explainer, self.seconds, self.calls = explainer, 0.0, 0
        self.__name__ = name

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return self.explainer(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start
            self.calls += 1


def setting(network: str = "resnet18") -> tuple[torch.nn.Module, torch.Tensor]:
    """The network and the images."""
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(network, weights=None)
    if network == "vit_b_16":  # its head begins with zeros
        torch.nn.init.normal_(model.heads.head.weight, std=0.1)
    return model.eval(), torch.randn(IMAGES, 3, 224, 224)


def ours(explainer: Callable[..., Any], name: str, network: str, seed: int) -> tuple[float, float, str]:
    """Seconds of the whole check with its controls, those of the explainer's calls, and the outcome."""
    from pytest_saliency_sanity import check_model_sensitivity
    from pytest_saliency_sanity.sensitivity import control_audit

    control_audit._SURVEYS = type(control_audit._SURVEYS)()
    model, images = setting(network)
    timed = Timed(explainer, name)
    start = time.perf_counter()
    verdict = check_model_sensitivity(timed, model, images, seed=seed, max_seconds=36_000)
    return time.perf_counter() - start, timed.seconds, verdict.outcome


def shared(network: str, seed: int) -> float:
    """Seconds of the check of Sobel where, as in an audit, one has been made of the same model and images before."""
    from pytest_saliency_sanity import check_model_sensitivity
    from pytest_saliency_sanity.audited.sharing import sharing
    from pytest_saliency_sanity.explainers import sobel

    model, images = setting(network)
    with sharing():
        for _ in range(2):
            start = time.perf_counter()
            check_model_sensitivity(sobel, model, images, seed=seed, max_seconds=36_000)
    return time.perf_counter() - start


def mprt(network: str) -> tuple[float, float]:
    """Seconds of Quantus' model parameter randomization test, and those of its explainer's calls."""
    import quantus

    from pytest_saliency_sanity.explainers import gradient

    model, images = setting(network)
    targets = model(images).argmax(1).numpy()

    def explain(model: torch.nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
        return gradient(model, torch.as_tensor(inputs), torch.as_tensor(targets)).sum(1, keepdim=True).numpy()

    timed = Timed(explain, "gradient")
    metric = quantus.MPRT(disable_warnings=True, display_progressbar=False)
    start = time.perf_counter()
    metric(
        model=model, x_batch=images.numpy(), y_batch=targets, a_batch=None, explain_func=timed, device="cpu",
        batch_size=IMAGES,
    )  # fmt: skip
    return time.perf_counter() - start, timed.seconds


def run(network: str, seed: int, with_peer: bool) -> Timings:
    """One run: ratios, and the seconds behind them."""
    from pytest_saliency_sanity.explainers import gradient, input_x_gradient, integrated_gradients, sobel

    ours(sobel, "sobel", "resnet18", seed)  # the first passes of a process are slower than all others
    checks, peers = [], []
    for _ in range(2):
        checks.append(_passed(ours(partial(gradient), "gradient", network, seed)))
        peers += [mprt(network)] if with_peer else []
    decisive, _, outcome = ours(sobel, "sobel", network, seed)
    assert outcome == "fail", outcome
    further = shared(network, seed)
    whole, calls = (sum(part) / 2 for part in zip(*checks, strict=True))
    found = {
        "check of the gradient": whole, "check of Sobel": decisive, "check of Sobel, control shared": further,
        "gradient: check / its calls": whole / calls,
    }  # fmt: skip
    if peers:
        theirs, their_calls = (sum(part) / 2 for part in zip(*peers, strict=True))
        found |= {
            "MPRT": theirs, "MPRT / its calls": theirs / their_calls,
            "MPRT / check of the gradient": theirs / whole, "MPRT / check of Sobel": theirs / decisive,
            "MPRT / check of Sobel, control shared": theirs / further,
        }  # fmt: skip
    if network == "resnet18":
        steps: list[tuple[Any, dict[str, int]]] = [(integrated_gradients, {"steps": 25})] if seed == 0 else []
        for explainer, options in [(input_x_gradient, {}), *steps]:
            own, calls = _passed(ours(partial(explainer, **options), explainer.__name__, network, seed))
            found[f"{explainer.__name__}: check / its calls"] = own / calls
    return found


def _passed(found: tuple[float, float, str]) -> tuple[float, float]:
    whole, calls, outcome = found
    assert outcome == "pass", outcome
    return whole, calls


def known() -> Iterator[tuple[str, int, Timings]]:
    """The runs that have ended; a line that was cut off is none."""
    for line in FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []:
        try:
            yield tuple(json.loads(line))
        except ValueError:
            continue


def measure(networks: dict[str, int], with_peer: bool) -> None:
    """Run what has not been run, each in a process of its own."""
    done = {(network, seed) for network, seed, _ in known()}
    FILE.parent.mkdir(parents=True, exist_ok=True)
    for network, runs in networks.items():
        for seed in range(runs):
            if (network, seed) not in done:
                peer = [] if with_peer else ["--without-quantus"]
                command = [sys.executable, "-m", __spec__.name, "--one", network, str(seed), *peer]
                found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(f"{found.splitlines()[-1]}\n")
                print(f"{network}, run {seed + 1} of {runs}", file=sys.stderr, flush=True)


def show(networks: dict[str, int]) -> None:
    """The medians, and whether each bar is met."""
    for network in networks:
        runs = [found for name, _, found in known() if name == network]
        print(f"{network}, {len(runs)} runs")
        for what in dict.fromkeys(what for found in runs for what in found):
            value = median(found[what] for found in runs if what in found)
            shown = f"×{value:.2f}{_bar(what, value, network)}" if "/" in what else f"{value:.1f} s"
            print(f"    {what}: {shown}")


def _bar(what: str, value: float, network: str) -> str:
    if what in BARS:
        return f" (bar: at most {BARS[what]:g}, {'met' if value <= BARS[what] else 'missed'})"
    if what in FASTER and network.startswith("resnet"):
        return f" (bar: at least {FASTER[what]:g}, {'met' if value >= FASTER[what] else 'missed'})"
    return ""


def memory() -> None:
    """Print the peak memory of a fresh process that makes one call, and of one that runs the whole check."""
    sizes = {
        what: int(subprocess.check_output([sys.executable, "-m", __spec__.name, "--peak", what]))
        for what in ("call", "check", "twice")
    }
    model, images = setting()
    parameters = sum(p.numel() * 4 for p in model.parameters()) / 2**20
    maps = 5 * images[:, 0].numel() * 4 / 2**20
    print(
        f"memory: {(sizes['check'] - sizes['call']) / 1024:.0f} MiB more than one call of the explainer on 8 images; "
        f"parameters {parameters:.0f} MiB, maps and ranks {maps:.0f} MiB; with every depth of the cascade "
        f"{(sizes['twice'] - sizes['check']) / 1024:.0f} MiB more than that"
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
    if what != "call":
        check_model_sensitivity(gradient, model, images, depths="every" if what == "twice" else None)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--runs", type=int, help="of each network (default: 5 of ResNet-18, 2 of the others)")
    parser.add_argument("--resume", action="store_true", help="what was run before counts")
    parser.add_argument("--without-quantus", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--peak", choices=("call", "check", "twice"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(2)
    networks = {network: given.runs or NETWORKS[network] for network in given.networks}
    if given.peak:
        peak(given.peak)
    elif given.memory:
        memory()
    elif given.one:
        network, seed = given.one
        print(json.dumps([network, int(seed), run(network, int(seed), not given.without_quantus)]))
    else:
        if not given.resume:
            FILE.unlink(missing_ok=True)
        measure(networks, not given.without_quantus)
        show(networks)


if __name__ == "__main__":
    main()
