"""Every way to break the contract has its reason and its sentence; what only looks odd is fine."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    ExplainerContractError,
    SanityCheckFailed,
    Verdict,
    assert_contract,
    assert_model_sensitive,
    assert_target_sensitive,
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
from tests.checks.models import cnn, images, norm_cnn, signal_cnn, tabular, two_branches
from tests.perturbations.state import state_of

Explainer = Callable[..., Any]


def after(change: Callable[[nn.Module], Any]) -> Explainer:
    """The plain gradient, by an explainer that then does something to the model."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        change(model)
        return maps

    return explainer


def made_of(change: Callable[[Tensor], Any], base: Explainer = gradient) -> Explainer:
    """An explainer that returns `change` of another's maps."""
    return lambda model, inputs, targets: change(base(model, inputs, targets))


def kept(verdict: Verdict) -> bool:
    return (verdict.outcome, verdict.reason) == ("pass", "contract")


# What comes back.

RETURNED = {
    "side": (
        lambda maps: maps[..., :-1],
        "contract.shape",
        "it returned (8, 1, 12, 11) for inputs (8, 1, 12, 12); choose from (8, 1, 12, 12), (8, 1, 12, 12), (8, 12, 12)",
    ),
    "flat": (
        lambda maps: maps.flatten(1),
        "contract.shape",
        "it returned (8, 144) for inputs (8, 1, 12, 12); choose from (8, 1, 12, 12), (8, 1, 12, 12), (8, 12, 12)",
    ),
    "one map": (lambda maps: maps.mean(0), "contract.count", "it returned (1, 12, 12) for 8 inputs; one map for each is needed"),
    "a number": (lambda maps: maps.sum(), "contract.count", "it returned () for 8 inputs; one map for each is needed"),
    "too many": (
        lambda maps: maps.repeat(2, 1, 1, 1),
        "contract.count",
        "it returned (16, 1, 12, 12) for 8 inputs; one map for each is needed",
    ),
    "nan": (lambda maps: maps * torch.nan, "contract.finite", "it returned NaN in 8 of 8 maps"),
    "inf": (
        lambda maps: maps.index_fill(0, torch.tensor([3]), torch.inf),
        "contract.finite",
        "it returned infinite values in 1 of 8 maps",
    ),
    "nothing": (lambda maps: None, "contract.type", "it returned NoneType; a tensor or an array of real numbers is needed"),
    "complex": (
        lambda maps: maps + 1j,
        "contract.type",
        "it returned torch.complex64; a tensor or an array of real numbers is needed",
    ),
    "complex array": (
        lambda maps: maps.numpy() + 1j,
        "contract.type",
        "it returned complex64; a tensor or an array of real numbers is needed",
    ),
    "strings": (
        lambda maps: np.full(maps.shape, "a"),
        "contract.type",
        "it returned <U1; a tensor or an array of real numbers is needed",
    ),
    "a list": (
        list,
        "contract.type",
        "it returned a list of 8; one tensor is needed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, reason, sentence", RETURNED.values(), ids=RETURNED)
def test_maps_that_are_none(change: Callable[[Tensor], Any], reason: str, sentence: str) -> None:
    verdict = check_contract(made_of(change), cnn(), images(), name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", reason)
    assert verdict.summary == f"mine broke the contract: {sentence}"


def test_one_map_for_two_inputs() -> None:
    verdict = check_contract(
        made_of(lambda maps: maps[0]), two_branches(), (images(), images(shape=(2, 40))), name="mine"
    )
    assert verdict.reason == "contract.type"
    assert verdict.summary == "mine broke the contract: it returned one Tensor for the 2 inputs of the model"


def test_choices_of_an_input_with_several_channels() -> None:
    verdict = check_contract(made_of(lambda maps: maps[:, :2]), cnn(channels=3), images(shape=(3, 12, 12)))
    assert "choose from (8, 3, 12, 12), (8, 1, 12, 12), (8, 12, 12)" in verdict.summary


FINE = {
    "as the input": lambda maps: maps,
    "one channel": lambda maps: maps.sum(1, keepdim=True),
    "no channel": lambda maps: maps.sum(1),
    "array": lambda maps: maps.numpy(),
    "reversed array": lambda maps: maps.numpy()[..., ::-1],
    "big-endian array": lambda maps: maps.numpy().astype(">f4"),
    "long double": lambda maps: maps.numpy().astype(np.longdouble),
    "half array": lambda maps: (1e3 * maps).numpy().astype(np.float16),
    "whole numbers": lambda maps: (1e6 * maps).long(),
    "half": lambda maps: (1e3 * maps).half(),
    "bfloat16": lambda maps: maps.bfloat16(),
    "double": lambda maps: maps.double(),
    "with a graph": lambda maps: maps.requires_grad_() * 2,
    "huge": lambda maps: 1e12 * maps,
    "tiny": lambda maps: 1e-12 * maps,
    "not contiguous": lambda maps: maps.transpose(2, 3).contiguous().transpose(2, 3),
    "in a tuple": lambda maps: (maps,),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_maps_that_are_fine(change: Callable[[Tensor], Any]) -> None:
    assert kept(check_contract(made_of(change), cnn(channels=3), images(shape=(3, 12, 12))))


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_maps_that_are_fine_do_not_change_the_verdict(change: Callable[[Tensor], Any]) -> None:
    model, inputs = cnn(channels=3), images(8, (3, 12, 12))
    expected, found = (
        check_model_sensitivity(explainer, model, inputs, profile="smoke")
        for explainer in (gradient, made_of(change))
    )
    assert found.outcome == expected.outcome == "pass"
    assert found.statistic == pytest.approx(expected.statistic, abs=0.01)


def test_signals() -> None:
    signals = images(8, (2, 40))
    for change in (lambda maps: maps, lambda maps: maps.sum(1, keepdim=True), lambda maps: maps.sum(1)):
        assert kept(check_contract(made_of(change), signal_cnn(), signals))


def test_tables() -> None:
    assert kept(check_contract(gradient, tabular(), images(8, (24,))))
    verdict = check_contract(made_of(lambda maps: maps.sum(1)), tabular(), images(8, (24,)), name="mine")
    assert (
        verdict.summary == "mine broke the contract: it returned (8,) for inputs (8, 24); choose from (8, 24)"
    )


def test_a_tuple_of_inputs() -> None:
    inputs = images(), images(shape=(2, 40))
    assert kept(check_contract(gradient, two_branches(), inputs))
    assert kept(check_contract(made_of(list), two_branches(), list(inputs)))


# Exceptions.


class OwnError(Exception):
    pass


def raising(error: BaseException) -> Explainer:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        model[0].weight.data.zero_()
        model.train()
        raise error

    return explainer


@pytest.mark.parametrize("text, shown", [("no layer\nat all", ": no layer"), ("", "")])
@pytest.mark.parametrize("assertion", [assert_contract, assert_model_sensitive, assert_target_sensitive])
def test_an_exception_is_carried(assertion: Callable[..., Verdict], text: str, shown: str) -> None:
    error, model = OwnError(text), cnn()
    before = state_of(model)
    with pytest.raises(ExplainerContractError) as caught:
        assertion(raising(error), model, images(), name="mine")
    assert caught.value.__cause__ is error is caught.value.verdict.exception
    assert caught.value.verdict.reason == "contract.exception"
    assert caught.value.verdict.summary == f"mine broke the contract: it raised OwnError{shown}"
    assert state_of(model) == before


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity])
def test_an_interrupt_passes_through(check: Callable[..., Verdict], interrupt: type[BaseException]) -> None:
    model = cnn().train()
    before = state_of(model)
    with pytest.raises(interrupt):
        check(raising(interrupt()), model, images())
    assert state_of(model) == before


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
    assert verdict.summary == f"mine broke the contract: it changed the model's {aspect} ({names}); undone"


def test_batch_statistics_that_move_are_found() -> None:
    """A forward pass in training mode, and the mode put back: the running statistics are not what they were."""

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
    assert verdict.summary == f"mine broke the contract: it changed the {what} that it was given, in place"
    assert torch.equal(inputs, images()) and targets.tolist() == [1, 2, 3, 0, 1, 2, 3, 0]


def with_backward(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """As tutorials write it: `requires_grad_()` on the very inputs, `.backward()`, gradients left everywhere."""
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
        r"mine broke the contract: its maps depend on the rest of the batch: (alone|in another batch and order), "
        r"an image's map is \d+% away \(relative distance\) from its map in a batch of 8",
        verdict.summary,
    )


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
    assert verdict.evidence["cost"]["calls"] == 4
    assert verdict.evidence["cost"]["images"] == 8 + 8 + 1 + 3
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
            raise OwnError("weights are not mine")
        return gradient(model, inputs, targets)

    verdict = check_model_sensitivity(only_when_trained, model, images(), name="mine")
    assert (verdict.outcome, verdict.reason) == ("error", "contract.exception")
    assert verdict.summary == "mine broke the contract: it raised OwnError: weights are not mine (at 'head')"
    assert isinstance(verdict.exception, OwnError)
