"""Every way to break the contract has its reason and its sentence; what only looks odd is fine."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckFailed,
    Verdict,
    assert_contract,
    check_contract,
    check_model_sensitivity,
)
from pytest_saliency_sanity.explainers import (
    constant,
    gradient,
    guided_backprop,
    integrated_gradients,
    noise,
    occlusion,
    smoothgrad,
    sobel,
)
from tests.checks.models import cnn, images, norm_cnn
from tests.examination.explaining import Explainer, after, kept, made_of
from tests.perturbations.state import state_of

# Hands off.


def add_hook(model: nn.Module) -> None:
    model[0].register_forward_hook(lambda module, args, output: None)


def replace_module(model: nn.Module) -> None:
    model[1] = nn.Softplus()


def step(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.1)


CHANGES = {
    "weights": (step, "0.weight, 0.bias, 1.weight and 3 more"),
    "buffers": (lambda model: model[1].running_mean.add_(1), "1.running_mean"),
    "modes": (nn.Module.train, "the model itself, 0, 1 and 4 more"),
    "hooks": (add_hook, "0"),
    "modules": (replace_module, "the model itself"),
    "requires_grad": (lambda model: model[0].weight.requires_grad_(False), "0.weight"),
}


@pytest.mark.parametrize("aspect", CHANGES)
def test_changes_of_the_model_are_found_undone_and_reported(aspect: str) -> None:
    change, names = CHANGES[aspect]
    model = norm_cnn()
    before = state_of(model)
    verdict = check_contract(after(change), model, images(), name="mine")
    assert state_of(model) == before
    assert (verdict.outcome, verdict.reason) == ("error", f"contract.{aspect}")
    assert (
        verdict.summary
        == f"mine broke the contract: it changed the model's {aspect} ({names}); the original state was restored"
    )


def test_buffers_that_the_model_itself_moves_are_not_the_explainers() -> None:
    model = norm_cnn()
    model.register_buffer("calls", torch.zeros(()))
    model.register_forward_hook(lambda module, args, output: module.calls.add_(1) and None)
    assert check_contract(gradient, model, images()).outcome == "pass"
    assert model.calls == 0
    verdict = check_contract(after(lambda model: model[1].running_mean.add_(1)), model, images(), name="mine")
    assert (
        verdict.summary
        == "mine broke the contract: it changed the model's buffers (1.running_mean); the original state was restored"
    )


def test_batch_statistics_that_move_are_found() -> None:
    """A forward pass in training mode, and the mode put back: the running statistics are not "
    "what they were."""

    def in_training_mode(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        model[1].train()
        maps = gradient(model, inputs, targets)
        model[1].eval()
        return maps

    verdict = check_contract(in_training_mode, norm_cnn(), images())
    assert verdict.reason == "contract.buffers"
    assert "1.running_mean, 1.running_var, 1.num_batches_tracked" in verdict.summary


def change_inputs(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    inputs.mul_(2)
    return gradient(model, inputs, targets)


def change_targets(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs, targets)
    targets.zero_()
    return maps


@pytest.mark.parametrize("explainer, what", [(change_inputs, "inputs"), (change_targets, "targets")])
def test_changes_of_what_it_was_given_are_found(explainer: Explainer, what: str) -> None:
    inputs, targets = images(), torch.tensor([1, 2, 3, 0, 1, 2, 3, 0])
    verdict = check_contract(explainer, cnn(), inputs, targets, name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", "contract.inputs")
    assert verdict.summary == f"mine broke the contract: it changed its {what} in place"
    assert torch.equal(inputs, images()) and targets.tolist() == [1, 2, 3, 0, 1, 2, 3, 0]


def with_backward(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """As tutorials write it: `requires_grad_()` on the very inputs, `.backward()`, gradients "
    "left everywhere."""
    inputs.requires_grad_()
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad


@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity])
def test_backward_on_the_inputs_is_fine_and_the_users_gradients_stay(check: Callable[..., Verdict]) -> None:
    model, inputs = cnn(), images(16)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before = state_of(model)
    assert check(with_backward, model, inputs).outcome == "pass"
    assert state_of(model) == before
    assert inputs.grad is None and not inputs.requires_grad


@pytest.mark.parametrize("explainer", [gradient, smoothgrad, noise], ids=lambda explainer: explainer.__name__)
def test_the_callers_random_numbers_stay(explainer: Explainer) -> None:
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    model = cnn()
    before = state_of(model)
    check_contract(explainer, model, images())
    assert state_of(model) == before


class MonteCarlo(nn.Module):
    """Draws from the global generator in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(nn.functional.dropout(x, 0.1, training=True))


@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity])
def test_a_model_that_draws_is_replayed(check: Callable[..., Verdict]) -> None:
    model, inputs = MonteCarlo().eval(), images(16)
    before = state_of(model)
    first = check(gradient, model, inputs)
    assert state_of(model) == before
    torch.rand(5)
    assert check(gradient, model, inputs).statistic == first.statistic


# Constant maps.


@pytest.mark.parametrize("value", [0.0, 1.0, -3e7])
def test_constant_maps_fail(value: float) -> None:
    with pytest.raises(SanityCheckFailed) as caught:
        assert_contract(made_of(lambda maps: torch.full_like(maps, value)), cnn(), images(), name="mine")
    verdict = caught.value.verdict
    assert (verdict.outcome, verdict.reason) == ("fail", "constant")
    assert verdict.summary == "mine returns constant maps: one value everywhere on all 8 images"
    assert verdict.evidence["constant_maps"] == 8


def test_some_constant_maps_are_counted() -> None:
    def of_bright_images(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(model, inputs, targets) * (inputs.mean((1, 2, 3), keepdim=True) > 0.5)

    verdict = check_contract(of_bright_images, cnn(), images())
    assert kept(verdict) and 0 < verdict.evidence["constant_maps"] < 8


# One map for one image, whatever is beside it.

BATCH_DEPENDENT = {
    "maximum": lambda maps: maps / maps.abs().max(),
    "mean": lambda maps: maps.abs() - maps.abs().mean(),
    "standardized": lambda maps: (maps - maps.mean(0)) / maps.std(0, correction=0).clamp_min(1e-9),
    "sorted": lambda maps: maps[maps.sum((1, 2, 3)).argsort()],
}


@pytest.mark.parametrize("change", BATCH_DEPENDENT.values(), ids=BATCH_DEPENDENT)
def test_maps_that_depend_on_the_rest_of_the_batch(change: Callable[[Tensor], Tensor]) -> None:
    verdict = check_contract(made_of(change), cnn(), images(), name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", "contract.batch")
    assert re.fullmatch(
        r"mine broke the contract: its maps depend on the rest of the batch: (alone|in another "
        r"batch and order), "
        r"an image's map differs by \d+% \(relative distance\) from its map in a batch of 8",
        verdict.summary,
    )


def seeding(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    torch.manual_seed(0)
    return smoothgrad(model, inputs, targets, samples=4)


def with_a_generator(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    noise = np.random.default_rng(0).standard_normal((4, *inputs.shape))
    points = (inputs + 0.1 * torch.from_numpy(part).to(inputs.dtype) for part in noise)
    return sum(gradient(model, point, targets) for point in points)


@pytest.mark.parametrize("explainer", [seeding, with_a_generator])
def test_noise_of_an_own_seed_is_no_dependence_on_other_images(explainer: Explainer) -> None:
    """At another place of the batch the noise differs, even with the same other images."""
    assert kept(check_contract(explainer, cnn(), images()))


def test_the_mean_score_scales_maps_by_the_batch() -> None:
    """`.mean().backward()` in place of `.sum()`: the map is divided by the size of the batch."""

    def of_the_mean(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        inputs.requires_grad_()
        return torch.autograd.grad(model(inputs).gather(1, targets[:, None]).mean(), inputs)[0]

    assert check_contract(of_the_mean, cnn(), images()).reason == "contract.batch"


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("explainer", [gradient, integrated_gradients, guided_backprop, occlusion, sobel])
def test_rounding_is_no_dependence(explainer: Explainer, dtype: torch.dtype) -> None:
    assert kept(check_contract(explainer, norm_cnn().to(dtype), images()))


def test_stochastic_maps_are_measured_and_not_forbidden() -> None:
    verdict = check_contract(smoothgrad, cnn(), images())
    assert kept(verdict)
    assert verdict.evidence["deterministic"] is False
    assert verdict.evidence["repeated"] == 1.0
    assert 0 < verdict.evidence["free_runs_agree"] < 1


def test_maps_from_a_generator_of_their_own_are_not_repeated() -> None:
    generator = torch.Generator().manual_seed(0)
    verdict = check_contract(
        lambda model, inputs, targets: torch.randn(inputs.shape, generator=generator), cnn(), images()
    )
    assert kept(verdict)
    assert abs(verdict.evidence["repeated"]) < 0.2


# The verdict.


def test_a_passing_verdict() -> None:
    verdict = assert_contract(gradient, cnn(), images(20))
    assert verdict.summary == "gradient: keeps its contract"
    assert (verdict.check, verdict.explainer, verdict.model, verdict.stages) == (
        "contract",
        "gradient",
        "Sequential",
        (),
    )
    assert verdict.evidence["deterministic"] is True
    assert verdict.evidence["free_runs_agree"] == 1.0
    assert verdict.evidence["cost"]["calls"] == 6
    assert verdict.evidence["cost"]["images"] == 8 + 8 + 1 + 5 + 3 + 8
    assert verdict.replay == "check_contract(gradient, Sequential, …, seed=0)"


@pytest.mark.parametrize("images_given", [2, 3, 9])
def test_few_images_are_enough(images_given: int) -> None:
    assert kept(check_contract(gradient, cnn(), images(images_given)))


def test_a_breach_comes_before_a_constant_map() -> None:
    verdict = check_contract(
        lambda model, inputs, targets: constant(model, inputs, targets)[:, 0, :5], cnn(), images()
    )
    assert verdict.reason == "contract.shape"


def test_a_breach_on_the_randomized_model_says_where() -> None:
    model, trained = cnn(), cnn()[-1].weight

    def only_when_trained(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if not torch.equal(model[-1].weight, trained):
            raise ValueError("weights are not mine")
        return gradient(model, inputs, targets)

    verdict = check_model_sensitivity(only_when_trained, model, images(), name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", "contract.exception")
    assert (
        verdict.summary == "mine broke the contract: it raised ValueError: weights are not mine (at 'head')"
    )
    assert isinstance(verdict.exception, ValueError)
