"""What came out of trials, as tables and lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from scipy.stats import beta

from tests.calibration.trials import Trial

KINDS = ("pass", "fail", "inconclusive", "error", "refused")


def table(trials: Sequence[Trial], names: Sequence[str]) -> str:
    """A row an explainer: outcomes, the range of the retained fraction at each stage, seconds if they were taken."""
    own = {name: [trial for trial in trials if trial.explainer == name] for name in names}
    shown = [trial for found in own.values() for trial in found]
    stages = list(dict.fromkeys(stage for trial in shown for stage in trial.statistics))
    timed = any(trial.seconds for trial in shown)
    heads = ["explainer", *KINDS, *stages, *(["s"] if timed else [])]
    rows = (
        [name, *_row(found, stages), *([_seconds(found)] if timed else [])] for name, found in own.items()
    )
    return _aligned([heads, *rows])


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
    rows = [
        ("explainer", "outcomes", "by rank", "by value", "by absolute value", "by value, all held constant")
    ]
    for name in names:
        own = [trial for trial in trials if trial.explainer == name]
        outcomes = ", ".join(
            f"{count} {kind}" for kind, count in Counter(t.outcome for t in own).most_common()
        )
        by_rank = [t.statistics[stage] for t in own for stage in _first_judged(t)]
        by_value = [
            [t.by_value[kind] for t in own if t.by_value.get(kind) is not None]
            for kind in ("linear", "size", "held")
        ]
        rows.append((name, outcomes, *(_range(values) for values in (by_rank, *by_value))))
    return _aligned(rows)


def _row(trials: Sequence[Trial], stages: Sequence[str]) -> list[str]:
    outcomes = Counter(trial.outcome for trial in trials)
    ranges = (_range([t.statistics[stage] for t in trials if stage in t.statistics]) for stage in stages)
    return [*(str(outcomes[kind]) for kind in KINDS), *ranges]


def _seconds(trials: Sequence[Trial]) -> str:
    return f"{sum(trial.seconds for trial in trials) / max(len(trials), 1):.1f}"


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


def rates(trials: Sequence[Trial], honest: Sequence[str], faulty: Sequence[str]) -> str:
    """False alarms, misses and open verdicts, each with its exact upper bound, and what stays open, by explainer."""
    tried = [trial for trial in trials if trial.outcome != "refused"]
    of_honest = [t for t in tried if t.explainer in honest]
    of_faulty = [t for t in tried if t.explainer in faulty]
    open_ = _having(of_honest, "inconclusive")
    counts = [
        ("honest explainers that fail", _having(of_honest, "fail", "error"), of_honest),
        ("honest explainers that are inconclusive", open_, of_honest),
        ("faulty explainers that pass", _having(of_faulty, "pass"), of_faulty),
        ("faulty explainers that are inconclusive", _having(of_faulty, "inconclusive"), of_faulty),
    ]
    lines = [_count(what, found, of, bound=True).splitlines()[0] for what, found, of in counts if of]
    by_place = Counter((t.network, t.explainer) for t in open_)
    return "\n".join(
        [*lines, *(f"    open: {name} on {network}, {n}" for (network, name), n in sorted(by_place.items()))]
    )


def _having(trials: Sequence[Trial], *outcomes: str) -> list[Trial]:
    return [trial for trial in trials if trial.outcome in outcomes]


def upper_bound(found: int, tried: int, level: float = 0.95) -> float:
    """The exact (Clopper-Pearson) one-sided upper bound of a rate."""
    return float(beta.ppf(level, found + 1, tried - found)) if found < tried else 1.0


def _count(what: str, found: Sequence[Trial], tried: Sequence[Trial], bound: bool = False) -> str:
    at_most = f", at most {upper_bound(len(found), len(tried)):.1%} with 95 % confidence" if bound else ""
    lines = [f"{what}: {len(found)} of {len(tried)} ({len(found) / max(len(tried), 1):.1%}{at_most})"]
    for t in found:
        numbers = ", ".join(f"{name} {value:.2f}" for name, value in t.statistics.items())
        lines.append(f"    {t.explainer} on {t.network}, seed {t.seed}: {t.outcome}, {t.reason} ({numbers})")
    return "\n".join(lines)


def overview(found: Mapping[str, Sequence[Trial]], names: Sequence[str] = ()) -> str:
    """A Markdown table, explainers × checks: how often each outcome was had over all networks and seeds."""
    names = dict.fromkeys(names or [trial.explainer for trials in found.values() for trial in trials])
    lines = [f"| explainer | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    for name in names:
        cells = (_outcomes([t for t in trials if t.explainer == name]) for trials in found.values())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _outcomes(trials: Sequence[Trial]) -> str:
    counts = Counter(trial.outcome for trial in trials).most_common()
    return ", ".join(f"{count} {outcome}" for outcome, count in counts)
