"""Trials of a check: every explainer on every network and seed. `tables` shows what came out."""

from __future__ import annotations

import functools
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import adapters, explainers
from pytest_saliency_sanity.explainers import CONTROLS
from pytest_saliency_sanity.explainers.controls import gradient_sobel_mixture
from pytest_saliency_sanity.sensitivity.measured_lines import BY_VALUE
from pytest_saliency_sanity.sensitivity.suspicions import COMPARED
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Verdict
from tests.calibration import photographs
from tests.calibration.planted import ONE_SIDED, PLANTED
from tests.digits import held_out_digits
from tests.networks import DEVELOPMENT, EVALUATION, train

IMAGES = 32
SIGNED = ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradcam", "occlusion")
HONEST = (*SIGNED, "vargrad")
NEITHER = ("deconvnet", "guided_gradcam")
FAULTY = ("guided_backprop", *CONTROLS, *PLANTED)
MIXTURES = tuple(f"sobel {share} %" for share in range(0, 101, 10))
GROUPS = {
    "development": tuple(DEVELOPMENT),
    "evaluation": tuple(EVALUATION),
    "photographs": (photographs.NAME,),
}
CHEAPER = {  # options for images of 224×224, where the defaults take hours
    "integrated_gradients": {"steps": 8},
    "smoothgrad": {"samples": 8},
    "vargrad": {"samples": 8},
    "occlusion": {"window": 56, "stride": 28},
}

Setting = Callable[[str, int], tuple[Any, Tensor, Tensor]]


@dataclass(frozen=True)
class Trial:
    """One check of one explainer on one network.

    Attributes:
        network, seed, explainer: what was checked; the seed trains the network, picks the images and seeds the check.
        outcome, reason: the verdict's; "refused" where the method does not exist for the network.
        statistics: the stages' retained fractions, by name.
        by_value: where it is measured, the same by Pearson's correlation at the first judged stage: of the values, of
            their sizes.
        seconds: of the whole check.
    """

    network: str
    seed: int
    explainer: str
    outcome: str
    reason: str
    statistics: Mapping[str, float]
    by_value: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Calibration:
    """A check of sensitivity, and who it is tried on.

    Attributes:
        check: takes an explainer, what `setting` gives, and options.
        faulty: explainers that must not pass. Those of `HONEST` must not fail.
        neither: others that are shown.
        setting: of a network and a seed, what is checked: a model, images and labels.
    """

    check: Callable[..., Verdict]
    faulty: Sequence[str]
    neither: Sequence[str]
    setting: Setting

    def names(self) -> list[str]:
        """All explainers in the order of the tables."""
        return [*HONEST, *self.neither, *self.faulty]


def named(explainer: str) -> Callable[..., object]:
    """A fresh explainer by its name; "sobel 30 %" is 30 % Sobel, 70 % gradient; "absolute x" gives x without signs.

    "grad-cam:LayerCAM" is another library's class.
    """
    if explainer.startswith("absolute "):
        return functools.partial(_sizes, named(explainer.removeprefix("absolute ")))
    if explainer.endswith(" %"):
        share = int(explainer.split()[1]) / 100
        return functools.partial(gradient_sobel_mixture, sobel=share)
    if ":" in explainer:
        return adapters.named(explainer)
    if explainer in PLANTED or explainer in ONE_SIDED:
        return {**PLANTED, **ONE_SIDED}[explainer]
    if explainer in CONTROLS:
        return CONTROLS[explainer]()
    return getattr(explainers, explainer)


def _sizes(explainer: Callable[..., Tensor], model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return explainer(model, images, targets).abs()


def trials_of(
    check: Callable, names: Sequence[str], setting: Callable, place: tuple[str, int]
) -> list[Trial]:
    """All explainers on one network of one seed."""
    torch.set_num_threads(1)
    model, images, labels = setting(*place)
    trials = [trial_of(check, name, model, images, labels, place) for name in names]
    print(f"{place[0]}, seed {place[1]}: {sum(t.seconds for t in trials):.0f} s", file=sys.stderr, flush=True)
    return trials


def trained(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network, and images with labels that it was not trained on."""
    if network == photographs.NAME:
        return photographs.classifier(), *photographs.photographs(16, seed)
    return train(network, seed), *held_out(seed)


def held_out(seed: int) -> tuple[Tensor, Tensor]:
    """Digits with labels that no network was trained on."""
    digits = held_out_digits()
    chosen = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(seed))[:IMAGES]
    return digits.images[chosen], digits.labels[chosen]


def trial_of(
    check: Callable, name: str, model: nn.Module, images: Tensor, labels: Tensor, place: tuple[str, int]
) -> Trial:
    start = time.perf_counter()
    explainer = named(name)
    if images.shape[-1] == 224 and name in CHEAPER:
        explainer = functools.partial(explainer, **CHEAPER[name])
    verdict = check(explainer, model, images, labels=labels, name=name, seed=place[1], max_seconds=3600)
    refused = verdict.reason == NOT_APPLICABLE
    return Trial(
        *place,
        name,
        "refused" if refused else verdict.outcome,
        verdict.reason,
        {stage.name: stage.statistic for stage in verdict.stages if COMPARED not in stage.evidence},
        _by_value(verdict),
        max((stage.images for stage in verdict.stages), default=0),
        time.perf_counter() - start,
    )


def _by_value(verdict: Verdict) -> dict[str, float]:
    """At the first judged stage."""
    evidence = verdict.judged[0].evidence if verdict.judged else {}
    held = {"held": evidence[BY_VALUE]} if BY_VALUE in evidence else {}
    return {**evidence.get("retained_by_value", {}), **held}


def run(
    check: Callable,
    names: Sequence[str],
    networks: Iterable[str],
    seeds: Iterable[int],
    jobs: int,
    setting: Callable = trained,
) -> list[Trial]:
    """Trials on all networks and seeds, several at a time; `setting(network, seed)` is what is checked."""
    places = [(network, seed) for network in networks for seed in seeds]
    work = functools.partial(trials_of, check, names, setting)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        return [trial for trials in pool.imap_unordered(work, places) for trial in trials]
