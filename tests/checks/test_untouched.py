"""Whatever the model does to what it gets, the user's images, targets, training data and regions stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
    explainers,
)
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.perturbations import cascading
from tests.checks.models import cnn, images, seeded


class Writing(nn.Module):
    """Does something to its input in place before it reads it."""

    def __init__(self, write: Callable[[Tensor], Any], model: nn.Module | None = None) -> None:
        super().__init__()
        self.write, self.model = write, model or cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.write(x))


def normalize(x: Tensor) -> Tensor:
    return x.sub_(0.5).div_(0.25)


def a_view(x: Tensor) -> Tensor:
    x[:, :, :6].mul_(0.5)
    x.view(-1)[:5] = 0.1
    return x


def the_data(x: Tensor) -> Tensor:
    x.data.add_(0.25)
    return x


def the_first_image(x: Tensor) -> Tensor:
    x[0] = x[-1]
    return x


def and_forget(x: Tensor) -> Tensor:
    kept = x.clone()
    x.data.zero_()
    return kept


def an_activation(x: Tensor) -> Tensor:
    return nn.functional.leaky_relu(x.sub_(0.5), 0.1, inplace=True)


WRITES = [normalize, a_view, the_data, and_forget, an_activation]
LABELS = torch.arange(16) % 2
REGIONS = (torch.arange(12) < 6).expand(16, 12, 12)
Data = dict[str, Tensor]


def data() -> Data:
    return {
        "inputs": images(16), "targets": LABELS.clone(), "labels": LABELS.clone(), "regions": REGIONS.clone(),
        "train_inputs": images(40, seed=1), "train_labels": torch.arange(40) % 2,
    }  # fmt: skip


def fitted(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
    """A trainer that hands all samples to the model at once."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(dataset.tensors[0]), dataset.tensors[1]).backward()
        optimizer.step()
    return model


def of_data(write: Callable[[Tensor], Any], train: Any) -> Callable[..., Any]:
    def check(explainer: Any, model: nn.Module, given: Data) -> Any:
        return check_data_sensitivity(
            explainer, lambda: Writing(write, cnn(classes=2)), (given["train_inputs"], given["train_labels"]),
            given["inputs"], labels=given["labels"], train=train, max_epochs=2, cache=None,
        )  # fmt: skip

    return check


CHECKS: dict[str, Callable[..., Any]] = {
    "contract": lambda f, m, d: check_contract(f, m, d["inputs"], d["targets"]),
    "model": lambda f, m, d: check_model_sensitivity(f, m, d["inputs"], d["targets"], labels=d["labels"]),
    "target": lambda f, m, d: check_target_sensitivity(f, m, d["inputs"], d["targets"], labels=d["labels"]),
    "consistency": lambda f, m, d: check_consistency(f, m, d["inputs"], d["targets"]),
    "localization": lambda f, m, d: check_localization(f, m, d["inputs"], d["targets"], regions=d["regions"]),
    "insertion": lambda f, m, d: check_insertion_deletion(f, m, d["inputs"], d["targets"], steps=4),
    "thresholds": lambda f, m, d: check_insertion_deletion(f, m, d["inputs"], min_insertion=0.1, steps=4),
    "occlusion": lambda f, m, d: check_occlusion_sensitivity(f, m, d["inputs"], d["targets"]),
    "distancing": lambda f, m, d: check_distancing(
        f, m, d["inputs"], d["targets"], labels=d["labels"], classes=(0, 1), alphas=(1.0,), epochs=1,
        min_agreement=0.0, data=(d["train_inputs"], d["train_labels"]),
    ),
}  # fmt: skip


def handed(seen: dict[bytes, Tensor]) -> Callable[..., Any]:
    """A careful explainer, which notes what it is given, each once: it keeps no more with every call."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        seen.setdefault(inputs.numpy().tobytes(), inputs.clone())
        return gradient(model, inputs, targets)

    return explainer


@pytest.mark.covering
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_in_every_check(check: Callable[..., Any], write: Callable[[Tensor], Any]) -> None:
    given, seen = data(), {}
    before = copy.deepcopy(given)
    verdict = check(handed(seen), Writing(write).eval(), given)
    assert verdict.outcome != "error", verdict
    for name, value in given.items():
        assert torch.equal(value, before[name]), name
    rows = {tuple(row.flatten().tolist()) for row in before["inputs"]}
    for inputs in seen.values():
        assert {tuple(row.flatten().tolist()) for row in inputs} <= rows


@pytest.mark.parametrize("train", [None, fitted], ids=["default", "own"])
@pytest.mark.parametrize("write", WRITES)
def test_where_networks_are_trained(write: Callable[[Tensor], Any], train: Any) -> None:
    given, seen = data(), {}
    before = copy.deepcopy(given)
    of_data(write, train)(handed(seen), None, given)
    for name, value in given.items():
        assert torch.equal(value, before[name]), name
    rows = {tuple(row.flatten().tolist()) for row in before["inputs"]}
    assert all({tuple(row.flatten().tolist()) for row in inputs} <= rows for inputs in seen.values())


BUILT_IN = {
    **{
        name: getattr(explainers, name)
        for name in (
            "gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "vargrad", "gradcam",
            "guided_gradcam", "guided_backprop", "deconvnet", "occlusion", "noise", "sobel",
        )
    },
    "rise": partial(explainers.rise, samples=8),
    "mask_estimation": partial(explainers.mask_estimation, steps=20, chains=2),
}  # fmt: skip


@pytest.mark.covering
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("explainer", BUILT_IN.values(), ids=BUILT_IN)
def test_by_every_explainer(explainer: Callable[..., Any], write: Callable[[Tensor], Any]) -> None:
    model, inputs = Writing(write).eval(), images(6)
    targets = torch.arange(6) % 4
    before = inputs.clone(), targets.clone()
    explainer(model, inputs, targets)
    assert torch.equal(inputs, before[0]) and torch.equal(targets, before[1])
    verdict = check_contract(explainer, model, images(8))
    assert verdict.reason not in ("contract.inputs", "contract.exception"), verdict


@pytest.mark.parametrize("write", WRITES)
def test_an_explainer_is_not_responsible_for_what_the_model_writes(
    write: Callable[[Tensor], Any],
) -> None:
    def handing_on(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        base = inputs.clone()
        with torch.no_grad():
            score = model(inputs).gather(1, targets[:, None])
        return base * score.view(-1, 1, 1, 1)

    assert check_contract(handing_on, Writing(write).eval(), images(8)).reason != "contract.inputs"
    assert check_contract(handing_on, cnn(), images(8)).reason != "contract.inputs"


def test_an_explainer_that_writes_into_its_inputs_breaks_the_contract() -> None:
    def writes(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        inputs.mul_(2)
        return maps

    assert check_contract(writes, cnn(), images(8)).reason == "contract.inputs"


def test_a_leaf_that_the_model_writes_into_is_explained() -> None:
    def plain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        inputs.requires_grad_()
        return torch.autograd.grad(model(inputs).gather(1, targets[:, None]).sum(), inputs)[0]

    verdict = check_contract(plain, Writing(normalize).eval(), images(8))
    assert verdict.reason == "contract.exception"
    assert (
        "does the model write into its inputs? call it with a copy, model(inputs.clone())" in verdict.summary
    )


def test_blocks_are_found_without_a_trace() -> None:
    inputs = images(6)
    before = inputs.clone()
    with cascading(Writing(normalize).eval(), inputs) as steps:
        for _ in steps:
            pass
    assert torch.equal(inputs, before)


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = cnn(), seeded(lambda: nn.Linear(12, 4))

        def forward(self, x: Tensor, table: Tensor) -> Tensor:
            return self.first(x.sub_(0.5)) + self.second(table.mul_(2))

    given = (images(8), torch.rand(8, 12))
    before = copy.deepcopy(given)
    verdict = check_contract(gradient, Two().eval(), given)
    assert verdict.outcome == "pass", verdict
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
