"""Models whose own logits depend on the batch: they are named, and nobody is accused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    check_consistency,
    check_contract,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.audited.model_batches import BATCH, depends_by
from pytest_saliency_sanity.explainers import gradient, occlusion, smoothgrad, sobel
from pytest_saliency_sanity.perturbations import replayed
from tests.checks.models import cnn, images, norm_cnn, seeded, tabular

NOTE = "the model's own logits depend on the batch"


def with_norm(norm: Callable[[], nn.Module]) -> nn.Module:
    return seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 6, 3), norm(), nn.ReLU(), nn.Flatten(), nn.Linear(600, 4))
    ).eval()


class Centered(nn.Module):
    """Takes the mean of the batch from its features."""

    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer or cnn()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layer(x)
        return scores - scores.mean(0)


class Sorted(nn.Module):
    """Attends from each image to its neighbours in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = cnn()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layer(x)
        return scores + 0.2 * scores.roll(1, 0)


def quantized() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(cnn(), {nn.Linear}).eval()


class Ranged(nn.Module):
    """Has a scale that the largest value of the batch sets, as dynamic quantization has."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x / x.abs().amax())


class InTraining(nn.Module):
    """BatchNorm on vectors that is never in evaluation mode: a single image is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.weight, self.bias = cnn(), nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(self.layer(x), None, None, self.weight, self.bias, training=True)


DEPENDENT = {
    "no running statistics": lambda: with_norm(lambda: nn.BatchNorm2d(6, track_running_stats=False)),
    "the batch's mean": Centered,
    "neighbours": Sorted,
    "no single image": InTraining,
}
INDEPENDENT = {
    "cnn": cnn,
    "BatchNorm": norm_cnn,
    "GroupNorm": lambda: with_norm(lambda: nn.GroupNorm(2, 6)),
    "double": lambda: cnn().double(),
    "half": lambda: cnn().bfloat16(),
    "faint": lambda: scaled(1e-6),
    "loud": lambda: scaled(1e6),
}


def scaled(factor: float) -> nn.Module:
    model = cnn()
    with torch.no_grad():
        model[-1].weight *= factor
        model[-1].bias.mul_(factor).add_(100 * factor)
    return model


KEPT = [(explainer, make) for make in DEPENDENT.values() for explainer in (occlusion, gradient, smoothgrad)]


@pytest.mark.parametrize("explainer, make", [*KEPT, (occlusion, quantized)])
def test_the_contract_is_kept_and_the_model_named(explainer: Any, make: Callable[[], nn.Module]) -> None:
    verdict = check_contract(explainer, make(), images(16))
    assert (verdict.outcome, verdict.reason) == ("pass", "contract"), verdict
    assert verdict.summary.endswith("[the model depends on its batch]")
    assert any(note.startswith(NOTE) for note in verdict.notes)


@pytest.mark.parametrize("make", INDEPENDENT.values(), ids=INDEPENDENT)
@pytest.mark.parametrize("count", [2, 3, 5, 9, 16])
def test_of_others_nothing_is_said(make: Callable[[], nn.Module], count: int) -> None:
    verdict = check_contract(gradient, make(), images(count))
    assert not verdict.caveats and not any(note.startswith(NOTE) for note in verdict.notes)


def test_explainers_of_such_models_are_judged() -> None:
    """On batches that stay as they are: a copy of the edges fails, and the gradient does not."""
    model, inputs = DEPENDENT["no running statistics"](), images(16)
    for check, kind in ((check_model_sensitivity, "insensitive"), (check_target_sensitivity, "insensitive")):
        faulty, honest = check(sobel, model, inputs), check(gradient, model, inputs)
        assert (faulty.outcome, faulty.reason) == ("fail", kind), faulty
        assert honest.outcome == "pass", honest
        assert "the model depends on its batch" in faulty.caveats


LABELS = torch.arange(16) % 4
REGIONS = (torch.arange(12) < 6).expand(16, 12, 12)
COMPARED: dict[str, Callable[..., Any]] = {
    "insertion_deletion": lambda model: check_insertion_deletion(gradient, model, images(16)),
    "occlusion": lambda model: check_occlusion_sensitivity(gradient, model, images(16)),
    "distancing": lambda model: check_distancing(
        gradient, model, images(16), LABELS % 2, labels=LABELS % 2, classes=(0, 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("check", COMPARED.values(), ids=COMPARED)
@pytest.mark.parametrize("make", DEPENDENT.values(), ids=DEPENDENT)
def test_where_other_batches_are_compared_nothing_is_shown(check: Any, make: Callable[[], nn.Module]) -> None:
    verdict = check(make())
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.batch"), verdict
    assert verdict.exception is None


@pytest.mark.parametrize("make", DEPENDENT.values(), ids=DEPENDENT)
def test_where_none_are_there_is_a_verdict(make: Callable[[], nn.Module]) -> None:
    for verdict in (
        check_consistency(gradient, make(), images(16)),
        check_localization(gradient, make(), images(16), regions=REGIONS),
    ):
        assert verdict.reason != "gate.batch" and verdict.outcome != "error", verdict
        assert "the model depends on its batch" in verdict.caveats


@pytest.mark.parametrize("largest", range(BATCH))
def test_any_image_may_set_the_range_of_the_others(largest: int) -> None:
    inputs = images(BATCH)
    inputs[largest] *= 5
    assert check_contract(gradient, Ranged(), inputs).caveats == ("the model depends on its batch",)


def test_a_wrapper_that_looks_at_the_batch_is_still_caught() -> None:
    def of_the_batch(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(model, inputs, targets) - gradient(model, inputs, targets).mean(0)

    assert check_contract(of_the_batch, norm_cnn(), images(16)).reason == "contract.batch"


class Drawing(nn.Module):
    """Dropout that is on in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(nn.functional.dropout(x, 0.2, training=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_draws_does_not_depend_on_its_batch(seed: int) -> None:
    model, inputs = Drawing(), images(16)
    with torch.no_grad():
        with replayed(seed):
            first = model(inputs[:BATCH])
        assert depends_by(model, (inputs,), False, None, seed, first) == 0


def test_tables() -> None:
    rows = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    assert not check_contract(gradient, tabular(), rows).caveats
    norm = seeded(lambda: nn.BatchNorm1d(24, track_running_stats=False))
    verdict = check_contract(gradient, nn.Sequential(norm, tabular()).eval(), rows)
    assert verdict.caveats == ("the model depends on its batch",)


def test_a_little_noise_hides_no_dependence_on_the_batch() -> None:
    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = DEPENDENT["no running statistics"]()

        def forward(self, x: Tensor) -> Tensor:
            scores = self.layers(x)
            return scores * (1 + 1e-7 * torch.randn_like(scores))

    inputs = images(16) * torch.linspace(0.1, 3, 16)[:, None, None, None]
    verdict = check_contract(gradient, Faint().eval(), inputs)
    assert (verdict.outcome, verdict.caveats) == ("pass", ("the model depends on its batch",)), verdict
