"""What `whole` shows: error rates by check, kind of network, number of images and seed, each with two upper bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.calibration.tables import upper_bound
from tests.calibration.whole import NAME, Key, Outcomes, Stored, sides

RESAMPLED = 2000
LEVEL = 0.95
HEADS = ("honest", "of them fail", "are inconclusive", "faulty", "of them pass", "are inconclusive")


def rendered(stored: Stored) -> dict[str, str]:
    """The blocks of the page."""
    by: Mapping[str, tuple[str, Callable[[Key], object]]] = {
        "checks": ("check", lambda key: key.check),
        "networks": ("kind of network", lambda key: key.network),
        "images": ("images", lambda key: key.images),
        "seeds": ("seed", lambda key: key.seed),
    }
    tables = {name: table(stored.outcomes, head, of) for name, (head, of) in by.items()}
    return {f"{NAME}.{name}": shown for name, shown in {**tables, "rates": rates(stored.outcomes)}.items()}


def table(outcomes: Outcomes, head: str, of: Callable[[Key], object]) -> str:
    """A Markdown table with a row for each value of `of`: trials, and those that went wrong or stayed open."""
    lines = [f"| {head} | {' | '.join(HEADS)} |", "| --- |" + " ---: |" * len(HEADS)]
    for value in dict.fromkeys(map(of, outcomes)):
        honest, faulty = sides({key: one for key, one in outcomes.items() if of(key) == value})
        cells = [
            len(honest), _bounded(honest, "fe"), _share(honest, "i"),
            len(faulty), _bounded(faulty, "p"), _share(faulty, "i"),
        ]  # fmt: skip
        lines.append(f"| {value} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def rates(outcomes: Outcomes) -> str:
    """All trials together: exact bounds, bounds from networks drawn anew, what went wrong and what stays open."""
    honest, faulty = sides(outcomes)
    lines = [
        *_rate("honest explainers that fail", honest, "fe"),
        *_rate("faulty explainers that pass", faulty, "p"),
        *_rate("honest explainers that are inconclusive", honest, "i")[:2],
        *_open(honest),
        *_rate("faulty explainers that are inconclusive", faulty, "i")[:2],
        *_open(faulty),
    ]
    return "```text\n" + "\n".join(lines) + "\n```"


def _rate(what: str, trials: Outcomes, letters: str) -> list[str]:
    found = _count(trials, letters)
    wrong = {key[1:3]: key for key, one in trials.items() if one in letters}
    networks = {key[1:3] for key in trials}
    return [
        f"{what}: {found} of {len(trials)} ({found / max(len(trials), 1):.2%})",
        f"    at most {upper_bound(found, len(trials)):.2%} (Clopper-Pearson, 95 %), "
        f"{resampled(trials, letters):.2%} with networks drawn anew",
        f"    on {len(wrong)} of {len(networks)} networks: at most {upper_bound(len(wrong), len(networks)):.1%} of "
        f"networks have one",
        *(f"    {' '.join(map(str, key))}" for key in wrong.values()),
    ]


def _open(trials: Outcomes) -> list[str]:
    """By check, explainer and kind of network how many trials stay open, where that is more than one of ten."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, one in trials.items():
        groups.setdefault((key.check, key.explainer, key.network), []).append(one)
    counts = {group: (own.count("i"), len(own)) for group, own in groups.items()}
    lines: dict[tuple[str, str], list[str]] = {}
    for (check, explainer, network), (found, tried) in counts.items():
        if found > 0.1 * tried:
            lines.setdefault((check, explainer), []).append(f"{network} {found} of {tried}")
    return [f"    {check}: {explainer} on {', '.join(own)}" for (check, explainer), own in lines.items()]


def resampled(trials: Outcomes, letters: str) -> float:
    """The upper bound of the rate if the networks, with all their trials, are drawn with replacement."""
    networks = sorted({key[1:3] for key in trials})
    counts = {network: [0, 0] for network in networks}
    for key, one in trials.items():
        counts[key[1:3]][0] += one in letters
        counts[key[1:3]][1] += 1
    numbers = np.array([counts[network] for network in networks])
    drawn = np.random.default_rng(0).integers(len(networks), size=(RESAMPLED, len(networks)))
    sums = numbers[drawn].sum(1)
    return float(np.quantile(sums[:, 0] / sums[:, 1], LEVEL))


def _bounded(trials: Outcomes, letters: str) -> str:
    if not trials:
        return ""
    found = _count(trials, letters)
    return f"{found} (≤ {upper_bound(found, len(trials)):.1%})"


def _share(trials: Outcomes, letters: str) -> str:
    return f"{_count(trials, letters) / len(trials):.1%}" if trials else ""


def _count(trials: Outcomes, letters: str | Sequence[str]) -> int:
    return sum(one in letters for one in trials.values())
