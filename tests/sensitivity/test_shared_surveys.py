"""Surveys of controls that processes share through files: another process is played by forgetting what is in memory."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_model_sensitivity, check_target_sensitivity, settings
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.explainers import input_x_gradient, sobel
from pytest_saliency_sanity.sensitivity import control_audit, shared_surveys
from pytest_saliency_sanity.sensitivity.shared_surveys import shared_name
from pytest_saliency_sanity.trained_networks import store
from tests.checks.models import cnn, images
from tests.suite.audits import without_costs

CHECKS: dict[str, Callable[..., Verdict]] = {
    "model": check_model_sensitivity,
    "target": check_target_sensitivity,
}


def unsigned(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return input_x_gradient(model, inputs, targets).abs()


EXPLAINERS = (input_x_gradient, sobel, unsigned)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shared = tmp_path / "shared"
    shared.mkdir()
    return shared


def verdict_of(
    folder: Path | None, explainer: Any = input_x_gradient, check: str = "target", **options: Any
) -> Verdict:
    """Of another process."""
    control_audit._SURVEYS = control_audit.ControlSurveys()
    with settings.using(replace(settings.Settings(progress=None), shared=folder)):
        return CHECKS[check](explainer, cnn(), images(16), **options)


def calls(verdict: Verdict) -> int:
    found: int = verdict.evidence["control_cost"]["calls"]
    return found


def same(*verdicts: Verdict) -> bool:
    """To the last bit, costs apart."""
    first, *others = (without_costs(one.to_json()) for one in verdicts)
    return all(other == first for other in others)


@pytest.mark.parametrize("check", [pytest.param("model", marks=pytest.mark.extended), "target"])
@pytest.mark.parametrize("explainer", EXPLAINERS)
def test_one_process_makes_a_control_and_the_others_read_it(folder: Path, explainer: Any, check: str) -> None:
    alone = verdict_of(None, explainer, check)
    one, other = (verdict_of(folder, explainer, check) for _ in range(2))
    assert same(alone, one, other)
    assert calls(one) == calls(alone) > calls(other)
    assert not list(folder.glob("*.lock"))


@pytest.mark.extended
def test_another_explainers_control_is_read_and_grows(folder: Path) -> None:
    """Of maps of one sign, all depths are asked of the control, at a larger look."""
    first = verdict_of(folder, input_x_gradient, "model")
    files = len(list(folder.glob("*.json")))
    second = verdict_of(folder, unsigned, "model")
    assert same(second, verdict_of(None, unsigned, "model"))
    assert 0 < calls(second) < calls(verdict_of(None, unsigned, "model"))
    assert len(list(folder.glob("*.json"))) > files
    assert same(first, verdict_of(folder, input_x_gradient, "model"))


# What is not as it was written.


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_something_else(path: Path) -> None:
    """Whole, and no such part."""
    store.save(path.parent, path.name.partition(".")[0], {"weight": torch.ones(2)}, {"epochs": 3})


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", [cut, altered, Path.unlink, of_something_else])
def test_what_is_damaged_counts_as_none(folder: Path, damage: Callable[[Path], None], suffix: str) -> None:
    one = verdict_of(folder)
    for path in folder.glob(f"*.{suffix}"):
        damage(path)
    other = verdict_of(folder)
    assert same(one, other)
    assert calls(other) == calls(one)
    assert calls(verdict_of(folder)) < calls(one)  # written again


# Where nothing is shared.


def test_a_folder_that_this_machine_does_not_see(tmp_path: Path) -> None:
    assert same(verdict_of(tmp_path / "elsewhere"), verdict_of(None))
    assert not (tmp_path / "elsewhere").exists()


def test_who_waits_too_long_makes_it_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> Any:
        raise store.Busy("another process holds it")

    monkeypatch.setattr(store, "locked", busy)
    assert same(verdict_of(folder), verdict_of(None))
    assert not list(folder.iterdir())


def test_a_process_waits_for_a_part_of_the_time_that_is_left(folder: Path) -> None:
    one = verdict_of(folder)
    key = next(path.stem for path in folder.glob("*.json"))
    for path in folder.glob("*.json"):
        path.unlink()
    with store.locked(folder, key, 0):
        again = verdict_of(folder, max_seconds=1)
    assert again.reason == "budget" or same(one, again)
    assert again.evidence["control_cost"]["total_seconds"] < 1


def test_without_locks_all_write_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> Any:
        raise OSError(errno.ENOLCK, "the file system has no locks")

    monkeypatch.setattr(store, "locked", none)
    one, other = verdict_of(folder), verdict_of(folder)
    assert same(one, other)
    assert calls(other) < calls(one)


def doubled(model: nn.Module, inputs: Tensor) -> Tensor:
    found: Tensor = 2 * model(inputs)
    return found


class Bound:
    def doubled(self, model: nn.Module, inputs: Tensor) -> Tensor:
        return doubled(model, inputs)


def closure(factor: int) -> Callable[..., Tensor]:
    return lambda model, inputs: factor * model(inputs)


def test_a_forward_function_is_told_by_its_name_or_not_at_all(folder: Path) -> None:
    assert name_of(folder, forward=doubled) not in ("", name_of(folder))
    for forward in (closure(2), Bound().doubled, lambda model, inputs: model(inputs)):
        assert name_of(folder, forward=forward) == ""


# Names.


def asked(**given: Any) -> Subject:
    arguments: dict[str, Any] = {"model": cnn(), "inputs": images(8), "targets": None, "seed": 0, **given}
    return subject(sobel, **arguments)


def name_of(folder: Path | None, what: str = "it", **given: Any) -> str:
    with settings.using(replace(settings.Settings(), shared=folder)):
        return shared_name(asked(**given), what)


def with_tanh() -> nn.Module:
    """Equal weights."""
    model = cnn()
    model[1] = nn.Tanh()
    return model


def test_what_a_control_depends_on_tells_surveys_apart(folder: Path) -> None:
    names = [
        name_of(folder),
        name_of(folder, model=cnn(seed=1)),
        name_of(folder, model=with_tanh()),
        name_of(folder, inputs=images(8, seed=1)),
        name_of(folder, targets=torch.zeros(8, dtype=torch.long)),
        name_of(folder, seed=1),
        name_of(folder, "another look"),
        name_of(folder, inputs=images(8).double(), model=cnn().double()),
    ]
    assert len(set(names)) == len(names) and "" not in names
    assert name_of(folder) == names[0]
    assert name_of(None) == ""


def test_threads_tell_surveys_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They round differently."""
    before = name_of(folder)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    assert name_of(folder) != before


class Unreadable(nn.Sequential):
    def state_dict(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("not now")


def test_a_model_that_cannot_be_read_is_not_shared(folder: Path) -> None:
    with settings.using(replace(settings.Settings(), shared=folder)):
        told = asked()
        assert shared_name(replace(told, model=Unreadable(*cnn())), "it") == ""


@pytest.mark.extended
def test_a_name_is_the_same_in_another_process(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.sensitivity import test_shared_surveys as it; import torch; "
        "torch.set_num_threads(int(sys.argv[2])); print(it.name_of(Path(sys.argv[1]), forward=it.doubled))"
    )
    command = [sys.executable, "-c", program, str(folder), str(torch.get_num_threads())]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert found == name_of(folder, forward=doubled)


def test_patience_is_bounded_where_there_is_no_budget() -> None:
    assert shared_surveys._patience(shared_surveys.Meter()) == shared_surveys._LONGEST
