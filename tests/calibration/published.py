"""The tables of the manual that commands compute: what each is made of, who judges, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_saliency_sanity import Verdict, check_model_sensitivity
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.planted import FORMS
from tests.calibration import (
    data_sensitivity,
    known_truth,
    model_sensitivity,
    one_sided,
    one_sided_faults,
    planted_images,
    target_sensitivity,
    tasks,
)
from tests.calibration.judging_code import PACKAGE, fingerprint
from tests.calibration.records import Cell, Record
from tests.calibration.tables import errors, matrix, overview, rates, table
from tests.calibration.trials import HONEST, MIXTURES, SIGNED, Calibration, Setting
from tests.manual import ROOT
from tests.networks import EVALUATION
from tests.planted import KINDS

PAGE = ROOT / "docs" / "explanation" / "error_rates.md"
KNOWN = PAGE.with_name("known_truth.md")
LIMIT = "detection limit: Sobel mixed into the gradient, each scaled to unit standard deviation"
Render = Callable[[Record], str]


@dataclass(frozen=True)
class Table:
    """A table of the manual.

    Attributes:
        name: of its command's module, of its file of results, and of its blocks in the page.
        checks: by name a check, and the explainers that it is tried on.
        networks, seeds, setting: what they are tried on.
        sampled: how many places, and how many explainers at each, are computed again to confirm it.
        blocks: by name what is shown.
        page: where it is shown.
    """

    name: str
    checks: Mapping[str, tuple[Callable[..., Verdict], Sequence[str]]]
    networks: Sequence[str]
    seeds: Sequence[int]
    setting: Setting
    sampled: tuple[int, int]
    blocks: Mapping[str, Render]
    page: Path = PAGE

    @property
    def command(self) -> str:
        """What computes it, stores it and writes it into the page."""
        return f"python -m tests.calibration.{self.name} --write"

    def cells(self) -> list[Cell]:
        """Every trial that it is made of."""
        return [
            Cell(check, network, seed, explainer)
            for check, (_, names) in self.checks.items()
            for network in self.networks
            for seed in self.seeds
            for explainer in names
        ]

    def fingerprint(self) -> str:
        """Of the code that decides what is in it."""
        known = {check.name for check in CHECKS}
        judges = [f"{PACKAGE}.checks.{check}" for check in self.checks if check in known]
        return fingerprint([*judges, f"tests.calibration.{self.name}"])

    def rendered(self, record: Record) -> dict[str, str]:
        """Its blocks in the page."""
        shown = {f"{self.name}.{block}": render(record) for block, render in self.blocks.items()}
        return {**shown, f"{self.name}.code": provenance(record)}


def provenance(record: Record) -> str:
    """How much of the table the present code computed."""
    confirmed, all_ = len(record.confirmed), len(record.trials)
    if confirmed == all_:
        return f"The present code computed all {all_} trials of this table."
    return (
        f"The present code computed {confirmed} of the {all_} trials of this table. An earlier version computed the\n"
        "others; of these a random sample was computed again, with the same outcomes."
    )


def _sensitivity(
    name: str,
    calibration: Calibration,
    networks: Sequence[str],
    seeds: Sequence[int],
    sampled: tuple[int, int],
) -> Table:
    """The table of a calibration: outcomes by network, errors, and the mixtures with Sobel."""
    names = calibration.names()

    def outcomes(record: Record) -> str:
        return matrix(record.of(name), names, networks)

    def counted(record: Record) -> str:
        tried = [trial for trial in record.of(name) if trial.explainer in names]
        return _text(errors(tried, SIGNED, HONEST, calibration.faulty))

    def limit(record: Record) -> str:
        return _text(f"{LIMIT}\n{table(record.of(name), MIXTURES)}")

    checks = {name: (calibration.check, [*names, *MIXTURES])}
    blocks = {"outcomes": outcomes, "errors": counted, "limit": limit}
    return Table(name, checks, networks, seeds, calibration.setting, sampled, blocks)


def _planted() -> Table:
    scenes = planted_images.Scenes()
    checks = {
        name: (check, planted_images.names(honest))
        for name, (check, honest, _) in planted_images.checks(scenes).items()
    }

    def outcomes(record: Record) -> str:
        shown = planted_images.names(())
        return overview({name: record.of(name) for name in checks}, [*shown, *planted_images.RANKED])

    return Table(
        "planted_images", checks, tuple(KINDS), planted_images.SEEDS, scenes, (6, 3), {"outcomes": outcomes}
    )


def _one_sided(name: str, wanted: Sequence[str], seeds: Sequence[int], sampled: tuple[int, int]) -> Table:
    """How explainers fare whose maps have one sign: outcomes by network, and rates with their bounds."""

    def outcomes(record: Record) -> str:
        return matrix(record.of("model_sensitivity"), wanted, tuple(EVALUATION))

    def counted(record: Record) -> str:
        return _text(rates(record.of("model_sensitivity"), one_sided.HONEST, one_sided.FAULTY))

    checks = {"model_sensitivity": (check_model_sensitivity, wanted)}
    blocks = {"outcomes": outcomes, "errors": counted}
    return Table(name, checks, tuple(EVALUATION), seeds, one_sided.SETTING, sampled, blocks)


def _tasks() -> Table:
    """How explainers fare where the edges are the answer, and on other such tasks: by check."""

    def outcomes(check: str) -> Render:
        return lambda record: tasks.by_task(record.of(check))

    def errors(record: Record) -> str:
        return _text("\n".join(tasks.counted(check, record.of(check)) for check in tasks.CHECKS))

    checks = {name: (check, tasks.EXPLAINERS) for name, check in tasks.CHECKS.items()}
    blocks = {**{name: outcomes(name) for name in tasks.CHECKS}, "errors": errors}
    return Table("tasks", checks, tasks.NETWORKS, tasks.SEEDS, tasks.setting, (4, 3), blocks, KNOWN)


def _known_truth() -> Table:
    """Every check and explainer on networks with hand-made weights: by form of the inputs."""

    def outcomes(form: str) -> Render:
        def render(record: Record) -> str:
            found = {
                name: [trial for trial in record.of(name) if trial.network.startswith(form)]
                for name in known_truth.CHECKS
            }
            return known_truth.shown(found)

        return render

    def answers(record: Record) -> str:
        return known_truth.answers(record.of("attribution"))

    def errors(record: Record) -> str:
        lines = [known_truth.counted(check, record.of(check)) for check in known_truth.BARS]
        return _text("\n".join(lines))

    checks = {name: (check, known_truth.EXPLAINERS) for name, check in known_truth.CHECKS.items()}
    blocks = {"answers": answers, **{form: outcomes(form) for form in FORMS}, "errors": errors}
    return Table(
        "known_truth",
        checks,
        known_truth.NETWORKS,
        known_truth.SEEDS,
        known_truth.setting,
        (6, 5),
        blocks,
        KNOWN,
    )


def _text(shown: str) -> str:
    return f"```text\n{shown}\n```"


TABLES: Mapping[str, Table] = {
    one.name: one
    for one in (
        _sensitivity(
            "model_sensitivity", model_sensitivity.CALIBRATION, tuple(EVALUATION), (0, 1, 2), (6, 4)
        ),
        _sensitivity("target_sensitivity", target_sensitivity.CALIBRATION, tuple(EVALUATION), (0,), (3, 6)),
        _sensitivity(
            "data_sensitivity", data_sensitivity.CALIBRATION, data_sensitivity.ON, (0, 1, 2), (2, 8)
        ),
        _one_sided("one_sided", one_sided.names(), one_sided.SEEDS, (4, 3)),
        _one_sided("one_sided_faults", one_sided.FAULTY, one_sided_faults.SEEDS, (6, 2)),
        _planted(),
        _tasks(),
        _known_truth(),
    )
}
