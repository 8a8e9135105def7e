"""Trials of a check: every explainer on every network and seed, and the table of what came out."""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pytest_saliency_sanity import explainers
from pytest_saliency_sanity.explainers import CONTROLS
from pytest_saliency_sanity.explainers.controls import gradient_sobel_mixture
from pytest_saliency_sanity.sensitivity.suspicions import COMPARED
from pytest_saliency_sanity.verdict import NOT_APPLICABLE
from tests.calibration import photographs
from tests.calibration.planted import PLANTED
from tests.digits import held_out_digits
from tests.networks import DEVELOPMENT, EVALUATION, train

IMAGES = 32
SIGNED = ("gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "gradcam", "occlusion")
HONEST = (*SIGNED, "vargrad")
NEITHER = ("deconvnet", "guided_gradcam")
FAULTY = ("guided_backprop", *CONTROLS, *PLANTED)
MIXTURES = tuple(range(0, 101, 10))
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
    by_value: Mapping[str, float]
    images: int
    seconds: float


def named(explainer: str) -> Callable[..., object]:
    """A fresh explainer by its name; "sobel 30 %" is 30 % Sobel, 70 % gradient; "absolute x" gives x without signs."""
    if explainer.endswith(" %"):
        share = int(explainer.split()[1]) / 100
        return functools.partial(gradient_sobel_mixture, sobel=share)
    if explainer.startswith("absolute "):
        return functools.partial(_sizes, named(explainer.removeprefix("absolute ")))
    if explainer in PLANTED:
        return PLANTED[explainer]
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
    trials = [_trial(check, name, model, images, labels, place) for name in names]
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


def _trial(
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
        verdict.judged[0].evidence.get("retained_by_value", {}) if verdict.judged else {},
        max((stage.images for stage in verdict.stages), default=0),
        time.perf_counter() - start,
    )


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


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """A row an explainer: outcomes, and the range of the retained fraction at each stage."""
    stages = list(dict.fromkeys(stage for trial in trials for stage in trial.statistics))
    heads = ["explainer", "pass", "fail", "inconclusive", "error", "refused", *stages, "s"]
    rows = [heads, *([name, *_row([t for t in trials if t.explainer == name], stages)] for name in names)]
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def matrix(trials: Sequence[Trial], names: Sequence[str], networks: Sequence[str]) -> str:
    """A Markdown table, explainers × networks: outcomes over the seeds, mean retained at the first judged stage."""
    lines = [f"| explainer | {' | '.join(networks)} |", f"| --- |{' --- |' * len(networks)}"]
    for name in names:
        cells = (
            _cell([t for t in trials if t.explainer == name and t.network == network]) for network in networks
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(trials: Sequence[Trial]) -> str:
    outcomes = Counter(trial.outcome for trial in trials)
    kinds = ", ".join(
        kind if len(outcomes) == 1 else f"{count} {kind}" for kind, count in outcomes.most_common()
    )
    values = [trial.statistics[stage] for trial in trials for stage in _first_judged(trial)]
    return f"{kinds} {sum(values) / len(values):.2f}" if values else kinds


def _first_judged(trial: Trial) -> list[str]:
    return [stage for stage in trial.statistics if stage != "head"][:1]


def spread(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """A row an explainer: outcomes, and the ranges of what is retained by rank, by value and by size."""
    rows = [("explainer", "outcomes", "by rank", "by value", "by absolute value")]
    for name in names:
        own = [trial for trial in trials if trial.explainer == name]
        outcomes = ", ".join(
            f"{count} {kind}" for kind, count in Counter(t.outcome for t in own).most_common()
        )
        by_rank = [t.statistics[stage] for t in own for stage in _first_judged(t)]
        by_value = [
            [t.by_value[kind] for t in own if t.by_value.get(kind) is not None] for kind in ("linear", "size")
        ]
        rows.append((name, outcomes, *(_range(values) for values in (by_rank, *by_value))))
    return _aligned(rows)


def _row(trials: Sequence[Trial], stages: Sequence[str]) -> list[str]:
    outcomes = Counter(trial.outcome for trial in trials)
    counts = [str(outcomes[kind]) for kind in ("pass", "fail", "inconclusive", "error", "refused")]
    seconds = f"{sum(trial.seconds for trial in trials) / max(len(trials), 1):.1f}"
    return [
        *counts,
        *(_range([t.statistics[stage] for t in trials if stage in t.statistics]) for stage in stages),
        seconds,
    ]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.2f} … {max(values):.2f}" if values else ""


def errors(
    trials: Sequence[Trial], signed: Sequence[str], honest: Sequence[str], faulty: Sequence[str]
) -> str:
    """False alarms, misses and the rate of inconclusive verdicts of honest signed explainers, each named."""
    tried = [trial for trial in trials if trial.outcome != "refused"]
    alarms = [t for t in tried if t.explainer in honest and t.outcome in ("fail", "error")]
    misses = [t for t in tried if t.explainer in faulty and t.outcome == "pass"]
    of_signed = [t for t in tried if t.explainer in signed]
    open_ = [t for t in of_signed if t.outcome == "inconclusive"]
    lines = [
        _count("honest explainers that fail", alarms, [t for t in tried if t.explainer in honest]),
        _count("faulty explainers that pass", misses, [t for t in tried if t.explainer in faulty]),
        _count("honest signed explainers that are inconclusive", open_, of_signed),
    ]
    return "\n".join(lines)


def _count(what: str, found: Sequence[Trial], tried: Sequence[Trial]) -> str:
    lines = [f"{what}: {len(found)} of {len(tried)} ({len(found) / max(len(tried), 1):.1%})"]
    for t in found:
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in t.statistics.items())
        lines.append(f"    {t.explainer} on {t.network}, seed {t.seed}: {t.outcome}, {t.reason} ({numbers})")
    return "\n".join(lines)


def arguments(description: str) -> argparse.Namespace:
    """The command line that the calibration scripts share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--group", choices=GROUPS, default="evaluation")
    parser.add_argument("--networks", nargs="*", help="default: all of the group")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--explainers", nargs="*", help="default: all")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    given.networks = given.networks or GROUPS[given.group]
    return given


def report(
    check: Callable,
    signed: Sequence[str],
    honest: Sequence[str],
    faulty: Sequence[str],
    neither: Sequence[str],
    setting: Callable = trained,
) -> None:
    """Run the trials that the command line asks for, and print the tables."""
    given = arguments(check.__doc__.splitlines()[0])
    names = given.explainers or [*honest, *neither, *faulty]
    mixtures = [] if given.explainers else [f"sobel {share} %" for share in MIXTURES]
    trials = run(check, [*names, *mixtures], given.networks, given.seeds, given.jobs, setting)
    print(
        f"{check.__name__}: {', '.join(given.networks)}; seeds {', '.join(map(str, given.seeds))}; "
        f"{IMAGES} digits or 16 photographs\n"
    )
    print(table(trials, names), "\n")
    print(matrix(trials, names, given.networks), "\n")
    print(errors(trials, signed, honest, faulty), "\n")
    if mixtures:
        print("detection limit: Sobel mixed into the gradient, each scaled to unit standard deviation")
        print(table(trials, mixtures))
