"""The table of all error rates: what is stored holds the bar, the page shows it, and a run that was cut off goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import machine
from tests.calibration import __main__ as command
from tests.calibration import pages, whole, whole_tables
from tests.calibration.whole import Key, Stored, sides
from tests.manual import page

KEY = Key("model sensitivity", "mlp", 0, 16, "gradient")


def test_the_page_shows_what_is_stored() -> None:
    shown = pages.blocks(page("explanation/error_rates"))
    rendered = whole_tables.rendered(whole.load())
    assert {name: shown[name] for name in rendered} == rendered, f"run {whole.COMMAND}"


def test_the_code_that_judges_is_the_one_that_confirmed_it() -> None:
    stored = whole.load()
    assert list(stored.outcomes) != [] and set(stored.outcomes) == set(whole.keys())
    assert stored.fingerprint == whole.judged_by(), (
        f"the code that judges has changed: `python -m tests.calibration {whole.NAME}` computes a sample again"
    )


def test_the_bar_is_held() -> None:
    """At least 1,000 trials of each side on 30 networks; at most 1 % errors, and the bounds too, as trials count."""
    outcomes = whole.load().outcomes
    honest, faulty = sides(outcomes)
    assert min(len(honest), len(faulty)) >= 1000
    assert len({key[1:3] for key in outcomes}) >= 30
    for trials, wrong in ((honest, "fe"), (faulty, "p")):
        found = sum(one in wrong for one in trials.values())
        assert whole_tables.upper_bound(found, len(trials)) <= 0.01
        assert whole_tables.resampled(trials, wrong) <= 0.01
    assert sum(one == "i" for one in honest.values()) <= 0.1 * len(honest)


def test_what_is_stored_is_read_as_it_was_written() -> None:
    stored = whole.load()
    assert whole.parsed(whole.text(stored)) == stored


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "trials.jsonl"
    file.write_text(f'{json.dumps([*KEY, "p"])}\n["model sensitivity", "ml', encoding="utf-8")
    assert dict(whole.read(file)) == {KEY: "p"}
    monkeypatch.setattr(whole.multiprocessing, "get_context", lambda kind: pytest.fail("nothing is missing"))
    with pytest.raises(pytest.fail.Exception):
        whole.compute([KEY, KEY._replace(seed=1)], 1, file)


def test_a_trial_is_written_when_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    own = [KEY._replace(explainer=name) for name in ("sobel", "constant")]
    whole._tried(file, own)
    assert dict(whole.read(file)) == dict.fromkeys(own, "f")


def test_rates_know_the_networks() -> None:
    """Two failures on one network of four: its trials belong together."""
    outcomes = {
        Key("model sensitivity", "mlp", seed, images, name): "p" if name == "gradient" and seed else "f"
        for seed in range(4)
        for images in (16, 32)
        for name in ("gradient", "sobel")
    }
    shown = whole_tables.rates(outcomes)
    assert "honest explainers that fail: 2 of 8 (25.00%)" in shown
    assert "on 1 of 4 networks: at most 75.1% of networks have one" in shown
    assert whole_tables.resampled(sides(outcomes)[0], "f") == 0.5


def test_a_verdict_that_turned_is_told() -> None:
    assert whole.turned({KEY: "p"}, {KEY: "f"}) == ["model sensitivity mlp 0 16 gradient: was p, is f"]
    assert whole.turned({KEY: "i"}, {KEY: "p"}) == []


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[Key, str]:
    """What comes out now, at first all that is stored; files and page are copies."""
    found = dict(whole.load().outcomes)
    monkeypatch.setattr(whole, "compute", lambda wanted, jobs, file: {key: found[key] for key in wanted})
    monkeypatch.setattr(whole, "progress_file", lambda: tmp_path / "trials.jsonl")
    monkeypatch.setattr(whole, "FILE", tmp_path / "whole.json")
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    command.PAGE.write_text(page("explanation/error_rates"), encoding="utf-8")
    return found


def test_the_command_stores_and_shows_all_of_it(
    outcomes: dict[Key, str], capsys: pytest.CaptureFixture[str]
) -> None:
    whole.progress_file().write_text("of an earlier run")
    command.all_of_it(resume=True, jobs=1)
    assert whole.progress_file().exists() and whole.load().outcomes == outcomes
    assert "honest explainers that fail: 0 of " in capsys.readouterr().out
    outcomes[KEY] = "f"
    command.all_of_it(resume=False, jobs=1)
    assert not whole.progress_file().exists() and whole.load().outcomes == outcomes
    assert "honest explainers that fail: 1 of " in command.PAGE.read_text(encoding="utf-8")


def test_a_sample_confirms_it_or_says_what_has_turned(outcomes: dict[Key, str]) -> None:
    whole.save(Stored(dict(outcomes), "of another code", "here"))
    command.confirm_all_of_it(jobs=1)
    assert whole.load().fingerprint == whole.judged_by()
    one = whole.sample(whole.load())[0]
    outcomes[one] = "p" if outcomes[one] != "p" else "f"
    whole.save(Stored({**outcomes, one: "f" if outcomes[one] == "p" else "p"}, "of another code", "here"))
    with pytest.raises(SystemExit, match=f"it has changed; run {whole.COMMAND}"):
        command.confirm_all_of_it(jobs=1)
    assert whole.load().fingerprint == "of another code"


@pytest.mark.extended
@pytest.mark.skipif(machine.number() is not None, reason="it plays another machine")
def test_a_sample_comes_out_again(tmp_path: Path) -> None:
    stored = whole.load()
    chosen = whole.sample(Stored(stored.outcomes, "", ""))
    found = whole.compute(chosen, 2, tmp_path / "trials.jsonl")
    assert whole.turned(stored.outcomes, found) == []
