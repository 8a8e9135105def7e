"""`audit(..., plan=True)`: what checks would take, held against what they take."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Case, audit, explainers
from pytest_saliency_sanity.checks.registry import CHECKS
from pytest_saliency_sanity.examination.trial import Calls, in_chunks
from pytest_saliency_sanity.plan import Plan, Plans
from pytest_saliency_sanity.report.plan import lines, size, total
from pytest_saliency_sanity.sensitivity import control_audit
from pytest_saliency_sanity.suite import evaluation

QUICK = (
    "target_sensitivity",
    "consistency",
    "contract",
    "localization",
    "ignored_input",
    "input_shift",
    "completeness",
)
EXPLAINERS = {
    "gradient": explainers.gradient,
    "input_x_gradient": explainers.input_x_gradient,
    "smoothgrad": partial(explainers.smoothgrad, samples=3),
    "gradcam": explainers.gradcam,
}


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers, nn.Linear(8 * 144, 6)).eval()


def case(images: int = 16) -> Case:
    inputs = torch.randn(images, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[2, 2, 7, 7]]).repeat(images, 1)
    return Case(model=small(), inputs=inputs, regions=boxes)


def maps_of(
    chosen: dict[str, Any], given: Case, checks: tuple[str, ...]
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """By explainer and check the maps that are planned, and those that are made, controls apart."""
    control_audit._SURVEYS = control_audit.ControlSurveys()
    evaluation._contracts.clear()
    plans = audit(chosen, given, checks, plan=True, progress=False)
    results = audit(chosen, given, checks, progress=False)
    made = {(one.explainer, one.check): _made(one.verdict) for one in results}
    planned = {(one.explainer, one.check): (one.explanations, one.controls) for one in plans}
    return {key: planned[key] for key in made}, made


def _made(verdict: Any) -> tuple[int, int]:
    assert verdict is not None
    controls = verdict.evidence.get("control_cost", {"images": 0})
    return verdict.evidence["cost"]["images"], controls["images"]


def test_as_many_maps_are_made_as_planned() -> None:
    chosen = {name: EXPLAINERS[name] for name in ("gradient", "input_x_gradient")}
    planned, made = maps_of(chosen, case(9), ("target_sensitivity", "contract", "localization"))
    assert planned == made


@pytest.mark.extended
@pytest.mark.parametrize("images", [3, 8, 9, 16, 21, 40])
def test_as_many_maps_are_made_as_planned_for_any_number_of_images(images: int) -> None:
    planned, made = maps_of(EXPLAINERS, case(images), (*QUICK, "model_sensitivity"))
    same = [planned[key] == made[key] for key in made]
    # some checks look again where the first look that may pass leaves a question open
    assert sum(same) >= 0.8 * len(same), [
        (key, planned[key], made[key]) for key in made if planned[key] != made[key]
    ]
    assert sum(a + b for a, b in planned.values()) == pytest.approx(
        sum(a + b for a, b in made.values()), rel=0.3
    )


def test_an_explainer_that_fails_is_said_to_and_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return inputs[:, :, :3]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a network is trained")

    monkeypatch.setattr("pytest_saliency_sanity.trained_networks.networks.fit", never)
    given = case()
    labels = torch.arange(16) % 6
    given = Case(given.model, given.inputs, train_set=(given.inputs, labels), make_model=small)
    chosen = {"gradient": explainers.gradient, "broken": broken, "missing": "captum:Nothing"}
    plans = audit(chosen, given, ("data_sensitivity", "contract"), plan=True, progress=False)
    assert isinstance(plans, Plans)
    found = {(one.explainer, one.check): one for one in plans}
    assert found["gradient", "data_sensitivity"].networks == plans.networks == 4
    assert "shape" in found["broken", "contract"].problem
    assert found["missing", "contract"].problem
    assert "broken cannot explain two images: " in str(plans)
    assert plans.to_json()["networks"] == 4


def test_a_plan_is_made_without_the_executor() -> None:
    class Unused(Executor):
        def submit(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("a task is submitted")

    plans = audit(
        {"gradient": explainers.gradient},
        case(4),
        ("contract",),
        plan=True,
        progress=False,
        executor=Unused(),
    )
    assert len(plans) == 1


def test_a_plan_leaves_no_trace_in_the_next_audit() -> None:
    chosen = {"gradient": explainers.gradient}
    given = case(4)
    audit(chosen, given, ("contract",), plan=True, progress=False)
    assert audit(chosen, given, ("contract",), progress=False)["gradient", "contract"].outcome == "pass"


@pytest.mark.extended
def test_every_check_of_the_registry_is_planned() -> None:
    given = case()
    labels = torch.arange(16) % 6
    given = Case(
        given.model, given.inputs, regions=given.regions, train_set=(given.inputs, labels), make_model=small
    )
    named = [check.name for check in CHECKS if check.assertion and "reference" not in check.needs]
    plans = audit({"gradient": explainers.gradient}, given, named, plan=True, progress=False)
    assert {one.check for one in plans} == set(named)
    assert all(one.explanations and one.seconds is not None for one in plans)


def test_words_of_a_table() -> None:
    plans = Plans((Plan("contract", "a", "Net", 1200, 3, 2, 150.0, 3 * 2**29), Plan("theirs", "b", "Net")))
    assert lines(plans)[-2:] == ["1 checks cannot tell what they take; they are not counted", total(plans)]
    assert total(plans) == (
        "saliency plan: 2 checks, 1,203 explanations with those of controls, 2 networks to train, about 2 min in one "
        "process beside their training, 1.5 GiB of memory at most"
    )
    assert size(5 * 2**20) == "5 MiB"


def test_a_single_image_left_over_joins_the_chunk_before() -> None:
    assert [in_chunks(n) for n in (0, 1, 8, 9, 10, 17)] == [
        Calls(0, 0), Calls(1, 1), Calls(1, 8), Calls(1, 9), Calls(2, 10), Calls(2, 17),
    ]  # fmt: skip
