"""What the first maps foretell, and what is told of each call."""

from __future__ import annotations

import importlib
import re
import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    check_consistency,
    check_contract,
    check_localization,
    check_model_sensitivity,
    settings,
)
from pytest_saliency_sanity.examination import forecast
from pytest_saliency_sanity.examination.memory import Memory, memory_of
from pytest_saliency_sanity.explainers import gradient, smoothgrad
from tests.checks.models import cnn, images


def slow(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    time.sleep(0.02 * len(inputs))
    return gradient(model, inputs, targets)


@pytest.mark.parametrize("budget, told", [(4.0, True), (600.0, False)])
def test_a_check_that_will_run_out_of_its_budget_is_foretold(budget: float, told: bool) -> None:
    sentences: list[str] = []
    with settings.using(replace(settings.current(), tell=sentences.append)):
        verdict = check_model_sensitivity(slow, cnn(), images(16), max_seconds=budget, name="slow")
    assert (verdict.reason == "budget") == told
    assert len(sentences) == told
    if told:
        pattern = (
            r"slow takes 0\.02\d* s a map; \d+ maps take about \d+ s, and the budget is 4 s\. Cheaper: .*"
        )
        assert re.fullmatch(pattern, sentences[0])


def noisy(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return smoothgrad(model, inputs, targets, samples=2)


BOXES = torch.tensor([[2, 2, 8, 8]]).repeat(16, 1)
NEEDED = {
    "consistency": (5 * 16, lambda: check_consistency(noisy, cnn(), images(16))),
    "localization": (16, lambda: check_localization(noisy, cnn(), images(16), regions=BOXES)),
}


@pytest.mark.parametrize("check", NEEDED)
def test_other_checks_foretell_as_well(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed, ask = NEEDED[check]
    counts: list[int] = []
    home = importlib.import_module(f"pytest_saliency_sanity.checks.{check}")
    monkeypatch.setattr(home, "foretell", lambda audited, meter, maps: counts.append(maps))
    ask()
    assert counts == [needed]


def test_nothing_is_foretold_of_maps_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    home = importlib.import_module("pytest_saliency_sanity.checks.consistency")
    monkeypatch.setattr(home, "foretell", lambda *_: pytest.fail("it calls the explainer no more"))
    assert check_consistency(gradient, cnn(), images(16)).outcome == "pass"


def test_each_call_of_an_explainer_is_counted() -> None:
    counts: list[int] = []
    with settings.using(replace(settings.current(), explained=counts.append)):
        verdict = check_contract(gradient, cnn(), images(8))
    assert sum(counts) == verdict.evidence["cost"]["images"] > 0


MIB = 2**20


@dataclass
class Machine:
    """Its memory, as `memory_of` says it."""

    left: int
    total: int = 2**40
    taken: int = 0

    def __call__(self, device: torch.device) -> Memory:
        return Memory(held=MIB, peak=MIB + self.taken, left=self.left, total=self.total)

    def explainer(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """One that takes 4 MiB for each image."""
        self.taken = max(self.taken, 4 * MIB * len(inputs))
        return gradient(model, inputs, targets)


def told(
    monkeypatch: pytest.MonkeyPatch,
    explainer: Any,
    machine: Machine,
    check: Any = check_contract,
    processes: int = 1,
) -> list[str]:
    """What is told of a check on a machine with so much memory."""
    sentences: list[str] = []
    monkeypatch.setattr(forecast, "memory_of", machine)
    present = replace(settings.current(), tell=sentences.append, processes=processes)
    with settings.using(present):
        verdict = check(explainer, cnn(), images(16), name="large")
    assert verdict.outcome == "pass"
    return sentences


linux = pytest.mark.skipif(memory_of(torch.device("cpu")) is None, reason="the system does not say")
CHEAPER = (
    r"Cheaper: (fewer processes \(-n\), )?fewer images at once within the explainer \(captum's internal_batch_size or "
    r"perturbations_per_eval\), fewer steps or samples, smaller images"
)


def test_a_call_that_takes_most_of_the_memory_is_told_with_what_is_cheaper(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(left=32 * MIB)
    (sentence,) = told(monkeypatch, machine.explainer, machine)
    pattern = (
        r"large takes 32 MiB of memory for 8 images at once, as each call will, and 32 MiB were left "
        r"before\. "
    )
    assert re.fullmatch(pattern + CHEAPER, sentence)


def test_processes_of_one_run_take_it_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(left=2**40, total=90 * MIB)
    (sentence,) = told(monkeypatch, machine.explainer, machine, processes=64)
    pattern = (
        r"large takes 32 MiB of memory for 8 images at once; 64 processes take 2\.0 GiB when they explain at "
        r"the same time, and there are 90 MiB\. "
    )
    assert re.fullmatch(pattern + CHEAPER, sentence)
    machine = Machine(left=2**40)
    assert told(monkeypatch, machine.explainer, machine, processes=64) == []


@linux
@pytest.mark.extended
def test_memory_that_is_taken_in_truth_is_told(pytester: pytest.Pytester) -> None:
    """In a process of its own, whose peak is not that of other tests."""
    pytester.makepyfile(
        """
        from dataclasses import replace
        import numpy as np
        import torch
        from torch import nn
        from pytest_saliency_sanity import assert_contract, explainers
        from pytest_saliency_sanity.examination import forecast

        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 4))
        images = torch.rand(8, 1, 12, 12)
        real = forecast.memory_of
        forecast.memory_of = lambda device: replace(real(device), left=2**30)

        def explain(each, model, inputs, targets):
            block = np.ones(each * len(inputs), dtype=np.uint8)
            return explainers.gradient(model, inputs, targets) + 0 * int(block[-1])

        def test_large():
            assert_contract(lambda *given: explain(2**27, *given), model, images, name="large")

        def test_small():
            assert_contract(lambda *given: explain(2**20, *given), model, images, name="small")
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
    (line,) = (line for line in result.errlines if "of memory" in line)
    assert re.match(r"saliency sanity: large takes 1\.\d GiB of memory for 8 images at once, as each", line)


def test_what_stays_after_each_map_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process holds is made up, since other tests' garbage comes and goes here; `extended` has a real one."""
    kept: list[int] = []
    monkeypatch.setattr(forecast, "held_of", lambda device: 100 * MIB + sum(kept))

    def leaking(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        kept.append(2 * MIB * len(inputs))
        return gradient(model, inputs, targets)

    (sentence,) = told(monkeypatch, leaking, Machine(left=64 * MIB), check_model_sensitivity)
    pattern = (
        r"each map of large leaves 2(\.0)? MiB of memory taken; \d+ maps leave about \d+ MiB, and 64 MiB are "
        r"left\. Cheaper: return maps\.detach\(\), and keep no graph, no activation and no hook's output from one call "
        r"to the next"
    )
    assert re.fullmatch(pattern, sentence), sentence


@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity, check_consistency])
def test_nothing_is_told_of_an_ordinary_explainer(check: Any) -> None:
    sentences: list[str] = []
    with settings.using(replace(settings.current(), tell=sentences.append, processes=4)):
        assert check(gradient, cnn(), images(16)).outcome == "pass"
    assert sentences == []


def test_nothing_is_told_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "held_of", lambda device: 0)
    monkeypatch.setattr(forecast, "memory_of", lambda device: None)
    sentences: list[str] = []
    with settings.using(replace(settings.current(), tell=sentences.append)):
        check_model_sensitivity(gradient, cnn(), images(16))
    assert sentences == []


def test_nothing_is_read_where_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("memory_of", "held_of"):
        monkeypatch.setattr(forecast, name, lambda device: pytest.fail("read"))
    assert check_contract(gradient, cnn(), images(16)).outcome == "pass"


def test_the_verdict_is_the_same_whether_it_is_told_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def stages() -> Any:
        return check_model_sensitivity(smoothgrad, cnn(), images(16), seed=3).stages

    silent = stages()
    monkeypatch.setattr(forecast, "memory_of", Machine(left=1, total=1))
    with settings.using(replace(settings.current(), tell=lambda sentence: None, processes=9)):
        assert stages() == silent


SCARCE = {
    "on a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "on the processor": RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"
    ),
    "of Python": MemoryError(),
}


@pytest.mark.parametrize("kind", SCARCE)
def test_an_explainer_that_ran_out_of_memory_is_told_how_it_takes_less(kind: str) -> None:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        raise SCARCE[kind]

    sentence = check_contract(explainer, cnn(), images(8)).findings[0].sentence
    assert "(cheaper: fewer images at once within the explainer (captum's internal_batch_size or" in sentence
