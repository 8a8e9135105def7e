"""`python -m tests.calibration.known_truth`: every check and built-in explainer on networks whose answer is known.

The networks have hand-made weights (`planted.known_truth`): six behaviors, for images, signals and tables. A further
question, "attribution", is whether a map has the right answer: whether what it gives to each feature has the sign of
the feature's contribution, and which share of it lies on the features that contribute. Data sensitivity and distancing
are not asked: they train networks of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.checks.completeness import check_completeness
from pytest_saliency_sanity.checks.consistency import check_consistency
from pytest_saliency_sanity.checks.contract import check_contract
from pytest_saliency_sanity.checks.ignored_input import check_ignored_input
from pytest_saliency_sanity.checks.implementation_invariance import check_implementation_invariance
from pytest_saliency_sanity.checks.input_shift import check_input_shift
from pytest_saliency_sanity.checks.insertion_deletion import check_insertion_deletion
from pytest_saliency_sanity.checks.linear_oracle import check_linear_oracle
from pytest_saliency_sanity.checks.localization import check_localization
from pytest_saliency_sanity.checks.model_sensitivity import check_model_sensitivity
from pytest_saliency_sanity.checks.occlusion_sensitivity import check_occlusion_sensitivity
from pytest_saliency_sanity.checks.parity import check_parity
from pytest_saliency_sanity.checks.target_sensitivity import check_target_sensitivity
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.examination.mean_stage import mean_stage
from pytest_saliency_sanity.planted import BEHAVIORS, FORMS, KnownTruth, known_truth
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Claim, Finding, Verdict
from tests.calibration.tables import overview, rates, table
from tests.calibration.trials import Trial, run

COUNT = 16
SEEDS = (0,)
NETWORKS = tuple(f"{form}:{behavior}" for form in FORMS for behavior in BEHAVIORS)
METHODS = (
    "gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "vargrad", "guided_backprop",
    "deconvnet", "gradcam", "guided_gradcam", "occlusion", "rise", "mask_estimation",
)  # fmt: skip
FEWER: Mapping[str, Mapping[str, int]] = {"rise": {"samples": 100}, "mask_estimation": {"steps": 100}}
CONTROLS = ("sobel", "input_copy", "center_prior", "noise", "constant")
EXPLAINERS = (*METHODS, *CONTROLS)
CLAIM = Claim("has not the right answer", "is", ("measure", "of", "value"), passed="right")
NEARLY = 0.01  # of the largest, below which what a feature gets counts as nothing
EQUAL = 0.1  # relative distance from the right maps: what the steps of an integral cost
LEAST = 0.9  # of the map on the features that contribute, for a pass


def setting(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A network, its inputs and labels; the network carries the answer as its attribute `known`."""
    form, behavior = network.split(":")
    known = known_truth(behavior, form, COUNT, seed)
    known.model.known = known  # type: ignore[assignment]
    return known.model, known.inputs, known.labels


def check_attribution(
    explainer: Any, model: nn.Module, inputs: Tensor, *, labels: Tensor, name: str, seed: int, **_: Any
) -> Verdict:
    """Whether the explainer has the right answer: a pass if all signs are right and the map is in place."""
    known: KnownTruth = model.known  # type: ignore[assignment]
    said = partial(Verdict, "attribution", name, "known", CLAIM, seed=seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            maps = explainer(model, inputs, labels)
    except NotApplicable as error:
        return said(findings=(Finding(NOT_APPLICABLE, "inconclusive", str(error)),))
    spread = maps.detach().expand_as(inputs).flatten(1)
    stages = (
        mean_stage("signs", "features", "signs", signs_right(known, spread).double().numpy(), 1.0),
        mean_stage("share", "the map", "share", share_in_place(known, spread).double().numpy(), LEAST),
    )
    right = stages[0].statistic == 1.0 and stages[1].statistic >= LEAST
    return said(
        stages=stages, findings=(Finding("right" if right else "wrong", "pass" if right else "fail", ""),)
    )


def signs_right(known: KnownTruth, maps: Tensor) -> Tensor:
    """(N,) the share of the features whose sum of the map, over their window, has the sign of their contribution."""
    windows = known.windows.flatten(2).float()
    sums = torch.einsum("nmp,np->nm", windows, maps)
    largest = sums.abs().amax(1, keepdim=True)
    signs = torch.where(sums.abs() <= NEARLY * largest, 0.0, sums.sign())
    return (signs == known.credits.sign()).float().mean(1)


def share_in_place(known: KnownTruth, maps: Tensor) -> Tensor:
    """(N,) the share of the absolute map on the windows of the features that contribute; 0 of a map of zeros."""
    sizes = maps.abs()
    return (sizes * known.masks.flatten(1)).sum(1) / sizes.sum(1).clamp_min(torch.finfo(sizes.dtype).tiny)


def right_maps(known: KnownTruth) -> Callable[..., Tensor]:
    """The right answer as an explainer of these inputs."""

    def right_answer(model: Any, inputs: Tensor, targets: Any) -> Tensor:
        apart = torch.cdist(
            inputs.flatten(1), known.inputs.flatten(1).to(inputs)
        )  # rounding is tried as well
        return known.contributions[apart.argmin(1)].to(inputs)

    return right_answer


def _plain(
    check: Callable[..., Verdict], explainer: Any, model: nn.Module, inputs: Tensor, *, labels: Tensor,
    max_seconds: float, **options: Any,
) -> Verdict:  # fmt: skip
    """A check that takes neither labels nor a budget."""
    return check(explainer, model, inputs, **options)


def _unlabeled(
    check: Callable[..., Verdict], explainer: Any, model: nn.Module, inputs: Tensor, *, labels: Tensor,
    **options: Any,
) -> Verdict:  # fmt: skip
    return check(explainer, model, inputs, **options)


def _of_images(
    check: Callable[..., Verdict], explainer: Any, model: nn.Module, inputs: Tensor, **options: Any
) -> Verdict:
    """A check of images, which is refused for signals and tables."""
    if inputs.dim() == 4:
        return check(explainer, model, inputs, **options)
    finding = Finding(NOT_APPLICABLE, "inconclusive", "of images only")
    return Verdict("images", options["name"], "known", CLAIM, seed=0, findings=(finding,))


def _localization(explainer: Any, model: nn.Module, inputs: Tensor, **options: Any) -> Verdict:
    known: KnownTruth = model.known  # type: ignore[assignment]
    return check_localization(explainer, model, inputs, regions=known.masks, **options)


def _parity(explainer: Any, model: nn.Module, inputs: Tensor, **options: Any) -> Verdict:
    known: KnownTruth = model.known  # type: ignore[assignment]
    return _unlabeled(
        check_parity, explainer, model, inputs, reference=right_maps(known), tolerance=EQUAL, **options
    )


def _cheaper(check: Callable[..., Verdict], explainer: Any, *given: Any, **options: Any) -> Verdict:
    """The check of a method that takes many samples, with fewer."""
    return check(partial(explainer, **FEWER.get(options["name"], {})), *given, **options)


_CHECKS: Mapping[str, Callable[..., Verdict]] = {
    "attribution": check_attribution,
    "contract": partial(_plain, check_contract),
    "model_sensitivity": check_model_sensitivity,
    "target_sensitivity": check_target_sensitivity,
    "consistency": partial(_unlabeled, check_consistency),
    "parity": _parity,
    "occlusion_sensitivity": partial(_of_images, check_occlusion_sensitivity),
    "insertion_deletion": partial(_of_images, check_insertion_deletion),
    "localization": partial(_of_images, _localization),
    "completeness": partial(_unlabeled, check_completeness),
    "linear_oracle": partial(_unlabeled, check_linear_oracle),
    "ignored_input": partial(_unlabeled, check_ignored_input),
    "implementation_invariance": partial(_unlabeled, check_implementation_invariance),
    "input_shift": partial(_unlabeled, check_input_shift),
}
CHECKS = {name: partial(_cheaper, check) for name, check in _CHECKS.items()}


@dataclass(frozen=True)
class Bar:
    """Who must not fail a check here, and who must not pass it.

    Attributes:
        honest: methods that claim what is asked, or depend on what is asked about.
        faulty: explainers that do not.
    """

    honest: Sequence[str]
    faulty: Sequence[str] = CONTROLS


_GRADIENTS = ("gradient", "input_x_gradient", "integrated_gradients")
BARS: Mapping[str, Bar] = {
    "attribution": Bar(("integrated_gradients",)),
    "contract": Bar((*_GRADIENTS, "smoothgrad", "occlusion", "rise"), ("constant",)),
    "model_sensitivity": Bar((*_GRADIENTS, "smoothgrad", "gradcam", "occlusion", "rise")),
    "target_sensitivity": Bar((*_GRADIENTS, "smoothgrad", "gradcam", "occlusion")),
    "parity": Bar(("integrated_gradients",)),
    "consistency": Bar((*_GRADIENTS, "occlusion"), ("noise", "constant")),
    "occlusion_sensitivity": Bar((*_GRADIENTS, "occlusion"), ("sobel", "center_prior", "noise", "constant")),
    "insertion_deletion": Bar((*_GRADIENTS, "occlusion"), ("center_prior", "noise", "constant")),
    "localization": Bar((*_GRADIENTS, "occlusion")),
    "completeness": Bar(("integrated_gradients",)),
    "linear_oracle": Bar((*_GRADIENTS, "smoothgrad")),
    "ignored_input": Bar((*_GRADIENTS, "smoothgrad")),
    "implementation_invariance": Bar((*_GRADIENTS, "smoothgrad"), ("constant",)),
    "input_shift": Bar(("gradient", "smoothgrad"), ("input_copy", "constant")),
}


# Verdicts that are wrong, by explainer and network; the page says why. Their maps are 0 in one batch by chance.
WRONG: Mapping[tuple[str, str], str] = {("smoothgrad", "signals:or"): "contract.batch"}
SYMBOLS = {"pass": "✓", "fail": "**✗**", "inconclusive": "?", "error": "error", "refused": "–"}


def shown(found: Mapping[str, Sequence[Trial]]) -> str:
    """A Markdown table, explainers × checks: outcomes over the behaviors, as symbols with their number."""
    asked = {name: trials for name, trials in found.items() if any(t.outcome != "refused" for t in trials)}
    heads = " | ".join(name.replace("_", " ") for name in asked)
    lines = [f"| explainer | {heads} |", f"| --- |{' --- |' * len(asked)}"]
    for explainer in EXPLAINERS:
        cells = " | ".join(_cell([t for t in own if t.explainer == explainer]) for own in asked.values())
        lines.append(f"| {explainer} | {cells} |")
    return "\n".join(lines)


def _cell(trials: Sequence[Trial]) -> str:
    counts = Counter(trial.outcome for trial in trials).most_common()
    return ", ".join(SYMBOLS[kind] if len(counts) == 1 else f"{n} {SYMBOLS[kind]}" for kind, n in counts)


def answers(trials: Sequence[Trial]) -> str:
    """A Markdown table, explainers × behaviors: right signs and share in place, over images, signals and tables."""
    lines = [f"| explainer | {' | '.join(BEHAVIORS)} |", f"| --- |{' --- |' * len(BEHAVIORS)}"]
    for explainer in EXPLAINERS:
        own = [t for t in trials if t.explainer == explainer]
        cells = (_answer([t for t in own if t.network.endswith(f":{one}")]) for one in BEHAVIORS)
        lines.append(f"| {explainer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _answer(trials: Sequence[Trial]) -> str:
    """The means over the forms that the method exists for."""
    tried = [t.statistics for t in trials if t.statistics]
    means = [sum(one[name] for one in tried) / len(tried) for name in ("signs", "share")]
    return " · ".join(f"{mean:.2f}" for mean in means)


def counted(check: str, trials: Sequence[Trial]) -> str:
    """False alarms, misses and open verdicts of a check, with their bounds."""
    lines = rates(trials, BARS[check].honest, BARS[check].faulty).splitlines()
    return "\n".join([check, *(line for line in lines if not line.startswith("    open"))])


def main(given: argparse.Namespace) -> None:
    """Run the trials that the command line asks for, and print them."""
    found = {}
    for name in given.checks:
        found[name] = run(CHECKS[name], given.explainers, given.networks, given.seeds, given.jobs, setting)
        print(f"{name}: {', '.join(given.networks)}\n")
        print(table(found[name], given.explainers), "\n")
    print(overview(found))


if __name__ == "__main__":
    from tests.calibration.command_line import of_checks

    if choices := of_checks("known_truth", sys.modules[__name__]):
        main(choices)
