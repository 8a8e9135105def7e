"""What came out of the planted faults, as tables; and which of them are caught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.mutation import judged
from tests.mutation.judged import FAILED, Found
from tests.mutation.planted_faults import FAULTS
from tests.mutation.right import RIGHT
from tests.mutation.scenes import NETWORKS
from tests.mutation.stored import Cells, Trials

NEEDED = 2  # networks on which a fault has to fail, to be caught
SYMBOLS = {"pass": "✓", "fail": "✗", "error": "E", "inconclusive": "?", "refused": "–", "skipped": "·"}
AXIOMS = ("linear_oracle", "completeness", "ignored_input", "implementation_invariance", "input_shift")
PARITY = "digits parity"
COLUMNS: Mapping[str, tuple[str, ...]] = {  # heading: the cells that it shows, the first that there is
    "contract": ("digits contract", "planted contract"),
    "model": ("digits model_sensitivity",),
    "target": ("digits target_sensitivity",),
    "data": ("digits data_sensitivity",),
    "consistency": ("digits consistency",),
    "deletion": ("digits insertion_deletion",),
    "occlusion, digits": ("digits occlusion_sensitivity",),
    "occlusion, planted": ("planted occlusion_sensitivity",),
    "localization": ("planted localization",),
    **{axiom.replace("_", " "): (f"digits {axiom}",) for axiom in AXIOMS},
}


def convicting(name: str, network: str, trials: Trials) -> list[str]:
    """The cells that convict a fault there: it fails where the right explainer does not. Parity does not count."""
    return judged.convicting(trials[name, network], trials[FAULTS[name].base, network])


def networks_of(name: str, trials: Trials, cells: Sequence[str] | None = None) -> int:
    """On how many networks any of these cells convicts a fault; any cell by default."""
    found = [set(convicting(name, network, trials)) for network in NETWORKS if (name, network) in trials]
    return sum(bool(one if cells is None else one & set(cells)) for one in found)


def caught(trials: Trials, cells: Sequence[str] | None = None) -> list[str]:
    """The faults that fail on at least two of the three networks."""
    return [name for name in FAULTS if networks_of(name, trials, cells) >= NEEDED]


def without_axioms() -> list[str]:
    """The cells of the checks that ask for no property of the method."""
    names = {axiom.replace("_", " ") for axiom in AXIOMS}
    return [cell for heading, cells in COLUMNS.items() if heading not in names for cell in cells]


def escaped(trials: Trials) -> list[str]:
    """The others."""
    found = caught(trials)
    return [name for name in FAULTS if name not in found]


def blocks(trials: Trials) -> dict[str, str]:
    """The tables of the page, by name."""
    return {
        "counts": counts(trials),
        "checks": by_check(trials),
        "outcomes": outcomes(trials, FAULTS),
        "right": outcomes(trials, RIGHT),
    }


def counts(trials: Trials) -> str:
    """How many are caught, by what, and how many right explainers fail."""
    every, black = caught(trials), caught(trials, without_axioms())
    false = [
        key for key in trials if key[0] in RIGHT for found in trials[key].values() if found.outcome in FAILED
    ]
    open_ = [name for name in escaped(trials) if _is_open(name, trials)]
    lines = [
        f"planted faults:                            {len(FAULTS)}",
        f"caught on at least two of three networks:  {len(every)} ({len(every) / len(FAULTS):.0%})",
        f"  by checks that ask for no axiom:         {len(black)} ({len(black) / len(FAULTS):.0%})",
        f"not caught:                                {len(escaped(trials))}, "
        f"{len(open_)} of them inconclusive somewhere: {', '.join(escaped(trials)) or 'none'}",
        f"right explainers that fail a check:        {len(false)} of "
        f"{sum(len(cells) for (name, _), cells in trials.items() if name in RIGHT)} verdicts",
        f"not the right explainer's maps (parity):   {len(_apart(trials))}",
    ]
    return "```text\n" + "\n".join(lines) + "\n```"


def by_check(trials: Trials) -> str:
    """A row a check: what it catches, and what it alone catches."""
    found = {heading: caught(trials, cells) for heading, cells in COLUMNS.items()}
    lines = ["| check | catches | it alone |", "| --- | --- | --- |"]
    for heading, names in found.items():
        others = {name for other, own in found.items() if other != heading for name in own}
        alone = [f"`{name}`" for name in names if name not in others]
        lines.append(f"| {heading} | {len(names)} | {', '.join(alone)} |")
    return "\n".join(lines)


def outcomes(trials: Trials, names: Mapping[str, object]) -> str:
    """A row an explainer, a column a check, in each cell the outcomes by network."""
    heads = [*COLUMNS, "parity"]
    lines = [f"| explainer | {' | '.join(heads)} |", f"|{' --- |' * (len(heads) + 1)}"]
    open_ = escaped(trials)
    for name in names:
        cells = [
            _cell([trials.get((name, network), {}) for network in NETWORKS], own) for own in COLUMNS.values()
        ]
        mark = "" if name in RIGHT else "**" * (name in open_)
        alike = _cell([trials.get((name, network), {}) for network in NETWORKS], (PARITY,))
        lines.append(f"| {mark}`{name}`{mark} | {' | '.join(cells)} | {alike} |")
    return "\n".join(lines)


def _cell(trials: Sequence[Cells], cells: Sequence[str]) -> str:
    """A symbol a network: of several cells the worst."""
    return "".join(_symbol([trial[cell] for cell in cells if cell in trial]) for trial in trials)


def _symbol(found: Sequence[Found]) -> str:
    worst = ("error", "fail", "inconclusive", "pass", "refused", "skipped")
    return SYMBOLS[min((one.outcome for one in found), key=worst.index)] if found else ""


def _is_open(name: str, trials: Trials) -> bool:
    return any(
        found.outcome == "inconclusive" for network in NETWORKS for found in trials[name, network].values()
    )


def _apart(trials: Trials) -> list[str]:
    return [
        name for name in FAULTS if sum(trials[name, n][PARITY].outcome in FAILED for n in NETWORKS) >= NEEDED
    ]
