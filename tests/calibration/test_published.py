"""The manual's tables are those that are stored, and what is stored is what the code computes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests import machine
from tests.calibration import confirmation, known_truth, pages, planted_images, records, tasks, whole
from tests.calibration.published import TABLES, Table, provenance
from tests.calibration.records import Cell, Record
from tests.calibration.trials import Trial
from tests.manual import PAGES, ROOT, page

WHOLE = "SALIENCY_TABLES"  # =whole: `extended` computes all of every table, not a sample
each_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
CELL = Cell("check", "mlp", 3, "sobel 30 %")
OTHER = CELL._replace(seed=4)


@each_table
def test_the_page_shows_what_is_stored(table: Table) -> None:
    record = records.load(table.name)
    shown = {
        name: text for name, text in pages.blocks(_page(table)).items() if name.startswith(f"{table.name}.")
    }
    assert shown == table.rendered(record), f"the page is not what is stored: run {table.command}"


@each_table
def test_the_code_that_judges_is_the_one_that_confirmed_it(table: Table) -> None:
    record = records.load(table.name)
    assert record.trials.keys() == set(table.cells()), f"other trials: run {table.command}"
    assert record.command == table.command
    assert record.confirmed <= record.trials.keys()
    assert record.fingerprint == table.fingerprint(), (
        f"the code that judges has changed since {table.name} was computed: `python -m tests.calibration {table.name}`"
        f" computes a sample of it again and stamps it if nothing changed; else run `{table.command}`"
    )


def test_every_block_of_the_manual_that_a_command_writes_is_one_of_theirs() -> None:
    others = {"docs/explanation/mutation.md"}  # see tests/mutation
    texts = {name: text for name, text in PAGES.items() if name not in others}
    named = {name: command for text in texts.values() for name, command in pages.commands(text).items()}
    assert named.pop("libraries") == "python -m tests.calibration.libraries --write"  # see test_libraries.py
    own = {name for name in named if name.startswith("whole.")}
    assert {named.pop(name) for name in own} == {whole.COMMAND}  # see test_whole.py
    assert named == {
        name: table.command for table in TABLES.values() for name in table.rendered(records.load(table.name))
    }
    theirs = {table.page.relative_to(ROOT).as_posix() for table in TABLES.values()}
    assert {name for name, text in texts.items() if "<!-- begin" in text} == {
        *theirs, "docs/explanation/other_libraries.md"
    }  # fmt: skip


def test_what_the_page_says_of_the_detection_limit_is_so() -> None:
    assert "all 21 mixtures of 30 % pass, and all of 50 % fail" in " ".join(_page().split())
    mixtures = records.load("model_sensitivity").of("model_sensitivity")
    for share, outcome in ((30, "pass"), (50, "fail")):
        assert [one.outcome for one in mixtures if one.explainer == f"sobel {share} %"] == [outcome] * 21


def test_guided_backpropagation_passes_on_the_mlp_as_the_page_says() -> None:
    assert "Guided backpropagation passes on the MLP" in _page()
    data = records.load("data_sensitivity").of("data_sensitivity")
    own = [one.outcome for one in data if (one.explainer, one.network) == ("guided_backprop", "mlp")]
    assert own == ["pass"] * 3


def test_the_bar_on_planted_images_is_kept_as_the_page_says() -> None:
    shown = " ".join(_page().split())
    assert (
        "first three have to pass all three checks. The next three must not pass the first and the last"
        in shown
    )
    stored = records.load("planted_images")
    for check in TABLES["planted_images"].checks:
        assert planted_images.unmet(check, stored.of(check)) == []


WRONG_ON_A_TASK = ("occlusion", "edges:grid_residual", "misplaced")  # the page says why
NO_BARS = ("known_truth", "tasks")  # they have one for each check, see below


@pytest.mark.parametrize(
    "name",
    [table.name for table in TABLES.values() if "errors" in table.blocks and table.name not in NO_BARS],
)
def test_no_honest_explainer_fails_and_no_faulty_one_passes(name: str) -> None:
    counted = TABLES[name].rendered(records.load(name))[f"{name}.errors"]
    kinds = ("honest explainers that fail", "faulty explainers that pass")
    wanted = {"one_sided": kinds[:1], "one_sided_faults": kinds[1:]}.get(name, kinds)
    for kind in wanted:
        assert re.search(rf"^{kind}: 0 of [1-9]\d* ", counted, re.M)


@pytest.mark.parametrize("check", tasks.CHECKS)
def test_no_honest_explainer_fails_a_task_and_no_faulty_one_passes(check: str) -> None:
    trials = records.load("tasks").of(check)
    wrong = [t for t in trials if (t.explainer, t.network, t.reason) == WRONG_ON_A_TASK]
    assert len(wrong) == (check == "localization")
    _hold_to(tasks.BARS[check], [trial for trial in trials if trial not in wrong])


@pytest.mark.parametrize("check", known_truth.BARS)
def test_the_same_where_every_contribution_is_known(check: str) -> None:
    bar = known_truth.BARS[check]
    trials = records.load("known_truth").of(check)
    wrong = [t for t in trials if known_truth.WRONG.get((t.explainer, t.network)) == t.reason]
    _hold_to((bar.honest, bar.faulty), [trial for trial in trials if trial not in wrong])


def test_the_verdicts_that_are_said_to_be_wrong_are_there() -> None:
    contract = records.load("known_truth").of("contract")
    reasons = {(t.explainer, t.network): t.reason for t in contract}
    assert {place: reasons[place] for place in known_truth.WRONG} == known_truth.WRONG


def _hold_to(bar: tuple[Sequence[str], Sequence[str]], trials: Sequence[Trial]) -> None:
    honest, faulty = bar
    assert trials
    assert [t for t in trials if t.explainer in honest and t.outcome in ("fail", "error")] == []
    assert [t for t in trials if t.explainer in faulty and t.outcome == "pass"] == []


@pytest.mark.extended
@pytest.mark.skipif(
    machine.number() is not None, reason="it plays another machine, which trains other networks"
)
@each_table
def test_it_comes_out_again(table: Table) -> None:
    """A sample that differs from the one that confirmed the table; all of it where the variable asks for that."""
    record = records.load(table.name)
    if record.machine != machine.fingerprint():
        pytest.skip(
            f"computed with networks that {record.machine} trained; test_bars.py has to hold here too"
        )
    whole = os.environ.get(WHOLE) == "whole"
    cells = table.cells() if whole else confirmation.sample(table, salt="extended")
    found = confirmation.compute(table, cells, jobs=2)
    assert records.differences(record.trials, found) == []


# What is stored.


def test_a_record_is_read_as_it_was_written() -> None:
    record = made(
        {CELL: trial("pass", upper=0.25, half=-0.1), OTHER: replace(trial("fail", upper=1.0), seed=4)}
    )
    for confirmed in (frozenset(record.trials), frozenset([CELL]), frozenset()):
        stored = replace(record, confirmed=confirmed)
        assert records.parsed(records.text(stored)) == stored
    assert list(records.parsed(records.text(record)).trials[CELL].statistics) == ["upper", "half"]


@pytest.mark.parametrize(
    "now, told",
    [
        (("pass", {"upper": 0.279}), ""),
        (("pass", {"upper": 0.219}), "check/mlp 3/sobel 30 %: upper was 0.250, is 0.219"),
        (("pass", {"upper": 0.281}), "check/mlp 3/sobel 30 %: upper was 0.250, is 0.281"),
        (("fail", {"upper": 0.25}), "was ('pass', '', ['upper']), is ('fail', '', ['upper'])"),
        (("pass", {"half": 0.25}), "was ('pass', '', ['upper']), is ('pass', '', ['half'])"),
    ],
)
def test_what_counts_as_a_difference(now: tuple[str, Mapping[str, float]], told: str) -> None:
    stored = {CELL: trial("pass", upper=0.25)}
    found = records.differences(stored, {CELL: trial(now[0], **now[1])})
    assert found == [] if not told else told in found[0]


def test_above_one_the_tolerance_is_a_share() -> None:
    stored = {CELL: trial("pass", rs=100.0)}
    assert records.differences(stored, {CELL: trial("pass", rs=102.9)}) == []
    assert records.differences(stored, {CELL: trial("pass", rs=103.1)}) != []


# A sample confirms.


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[Cell, Trial]:
    """What comes out now, at first all that is stored; results and page are copies."""
    table = TABLES["target_sensitivity"]
    found = dict(records.load(table.name).trials)
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setitem(cast(dict[str, Table], TABLES), table.name, replace(table, page=tmp_path / "page.md"))
    monkeypatch.setattr(
        confirmation, "compute", lambda table, cells, jobs: {cell: found[cell] for cell in cells}
    )
    (tmp_path / "page.md").write_text(_page(), encoding="utf-8")
    old = Record(table.command, "of another code", frozenset(found), machine.fingerprint(), dict(found))
    records.save(table.name, old)
    return found


def test_a_sample_that_comes_out_the_same_stamps_the_table(computed: dict[Cell, Trial]) -> None:
    table = TABLES["target_sensitivity"]
    stamped = confirmation.confirm(table)
    sampled = frozenset(confirmation.sample(table))
    assert (stamped.fingerprint, stamped.confirmed) == (table.fingerprint(), sampled)
    assert records.load(table.name) == stamped
    shown = pages.blocks(table.page.read_text(encoding="utf-8"))[f"{table.name}.code"]
    assert f"computed {len(sampled)} of the {len(computed)} trials of this table" in shown
    assert confirmation.confirm(table, places=5).confirmed > sampled  # of the same code: they add up


def test_a_sample_that_comes_out_otherwise_does_not(computed: dict[Cell, Trial]) -> None:
    table = TABLES["target_sensitivity"]
    one = confirmation.sample(table)[0]
    computed[one] = replace(computed[one], outcome="error")
    before = records.load(table.name)
    with pytest.raises(
        SystemExit, match=r"(?s)is \('error', .*target_sensitivity has changed; run python -m"
    ):
        confirmation.confirm(table)
    assert records.load(table.name) == before


def test_networks_of_another_machine_cannot_confirm(computed: dict[Cell, Trial]) -> None:
    table = TABLES["target_sensitivity"]
    records.save(table.name, replace(records.load(table.name), machine="another"))
    with pytest.raises(SystemExit, match="its networks were trained by another, here they are by"):
        confirmation.confirm(table)


def test_the_sample_is_drawn_by_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TABLES["model_sensitivity"]
    first = confirmation.sample(table)
    places, explainers = table.sampled
    assert confirmation.sample(table) == first and len(set(first)) == len(first) == places * explainers
    assert len({(cell.network, cell.seed) for cell in first}) == places
    assert confirmation.sample(table, salt="extended") != first
    monkeypatch.setattr(Table, "fingerprint", lambda self: "another")
    assert confirmation.sample(table) != first


def test_the_page_says_how_much_the_present_code_computed() -> None:
    record = made({CELL: trial("pass"), OTHER: trial("fail")})
    assert provenance(record) == "The present code computed all 2 trials of this table."
    part = replace(record, confirmed=frozenset([CELL]))
    assert provenance(part).startswith("The present code computed 1 of the 2 trials of this table.")


def made(trials: Mapping[Cell, Trial]) -> Record:
    return Record("python -m x --write", "abc", frozenset(trials), "avx2", trials)


def trial(outcome: str, **statistics: float) -> Trial:
    return Trial("mlp", 3, "sobel 30 %", outcome, "", statistics)


def _page(table: Table | None = None) -> str:
    return page(f"explanation/{'error_rates' if table is None else table.page.stem}")
