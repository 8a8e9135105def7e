"""Maps held against those of another explainer: the same method, computed otherwise."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import SanityCheckFailed, assert_parity, check_parity
from pytest_saliency_sanity.examination.parting import parting
from pytest_saliency_sanity.explainers import gradient, guided_backprop, input_x_gradient, smoothgrad
from tests.checks.models import cnn, images, norm_cnn
from tests.digits import held_out_digits
from tests.networks import train
from tests.perturbations.state import state_of

Explainer = Callable[..., Any]
NETWORKS = ("plain_cnn", "residual", "vision_transformer")


def saliency(**options: Any) -> Any:
    return partial(captum.attr.Saliency, abs=False, **options)


@pytest.mark.covering
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "mine, theirs",
    [
        (gradient, saliency()),
        (input_x_gradient, captum.attr.InputXGradient),
    ],
    ids=["gradient", "input_x_gradient"],
)
def test_own_code_against_captum(mine: Explainer, theirs: Any, network: str) -> None:
    verdict = check_parity(mine, train(network), held_out_digits().images[:16], reference=theirs)
    assert (verdict.outcome, verdict.reason) == ("pass", "same_maps"), verdict
    assert verdict.statistic is not None and verdict.threshold is not None
    assert verdict.statistic < verdict.threshold < 0.1


def in_double(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(copy.deepcopy(model).double(), inputs.double(), targets).float()


def in_bfloat16(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(copy.deepcopy(model).bfloat16(), inputs.bfloat16(), targets)


def one_by_one(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return torch.cat([gradient(model, x[None], t[None]) for x, t in zip(inputs, targets, strict=True)])


@pytest.mark.parametrize("reference", [in_double, one_by_one])
def test_other_arithmetic_is_the_same_method(reference: Explainer) -> None:
    verdict = check_parity(gradient, train("plain_cnn"), held_out_digits().images[:16], reference=reference)
    assert verdict.outcome == "pass", verdict


def test_half_precision_is_allowed_what_half_precision_explains() -> None:
    """In bfloat16 a unit in the last place is 0.8 %."""
    inputs = held_out_digits().images[:16]
    model = train("mlp")
    verdict = check_parity(in_bfloat16, model, inputs, reference=gradient)
    assert verdict.outcome == "pass" or verdict.reason == "gate.arithmetic", verdict
    within = check_parity(in_bfloat16, model, inputs, reference=gradient, tolerance=0.5)
    assert within.outcome == "pass" and within.statistic is not None and within.statistic > 1e-3
    narrow = check_parity(in_bfloat16, model, inputs, reference=gradient, tolerance=1e-6)
    assert narrow.outcome == "fail", narrow


def changed(change: Callable[[Tensor, Tensor], Tensor]) -> Explainer:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return change(gradient(model, inputs, targets), inputs)

    return explainer


FAULTS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str]] = {
    "sign": (lambda m, x: -m, "times -1"),
    "scale": (lambda m, x: 2.5 * m, "times 2.5"),
    "each scaled": (
        lambda m, x: m / m.flatten(1).abs().amax(1).view(-1, 1, 1, 1),
        "each times a factor of its own",
    ),
    "absolute": (lambda m, x: m.abs(), "without their signs, times 1"),
    "rectified": (lambda m, x: m.relu(), "without their negative part, times 1"),
    "times the input": (lambda m, x: m * x, "times the input"),
    "transposed": (lambda m, x: m.mT, "transposed"),
    "flipped": (lambda m, x: m.flip(-1), "flipped along axis 2"),
    "shifted": (lambda m, x: m.roll(1, -2), "shifted by 1 along axis 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_port_fails_and_is_told(fault: str) -> None:
    change, words = FAULTS[fault]
    digits = held_out_digits()
    with pytest.raises(SanityCheckFailed) as failed:
        assert_parity(changed(change), train("plain_cnn"), digits.images[:16], reference=gradient, name=fault)
    verdict = failed.value.verdict
    assert (verdict.outcome, verdict.reason) == ("fail", "other_maps")
    assert words in verdict.hint, verdict.hint
    assert re.match(
        rf"{fault} gives other maps than the reference: \S+ is the largest relative distance from gradient's maps",
        verdict.summary,
    )


def test_another_method_is_told_by_the_place() -> None:
    verdict = check_parity(
        guided_backprop, train("plain_cnn"), held_out_digits().images[:16], reference=gradient
    )
    assert verdict.reason == "other_maps"
    assert re.search(
        r"they lie apart most for image \d+, at \(\d+, \d+\): \S+ instead of \S+; half of the gap there is in \d+ of "
        r"784 pixels",
        verdict.hint,
    )


def test_a_small_fault_in_one_pixel_is_found() -> None:
    def touched(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets).clone()
        maps[0, 0, 5, 7] += 0.5 * maps[0].norm()
        return maps

    verdict = check_parity(touched, cnn(), images(16), reference=gradient)
    assert verdict.outcome in ("fail", "error"), verdict
    if verdict.outcome == "fail":
        assert "at (5, 7)" in verdict.hint


def test_noise_is_drawn_from_the_same_stream() -> None:
    verdict = check_parity(
        partial(smoothgrad, samples=3), cnn(), images(16), reference=partial(smoothgrad, samples=3)
    )
    assert (verdict.outcome, verdict.statistic) == ("pass", 0.0)


def test_a_reference_that_raises_is_inconclusive() -> None:
    def broken(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        raise ZeroDivisionError("no")

    verdict = check_parity(gradient, cnn(), images(16), reference=broken)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "unusable_reference")
    assert (
        "the maps cannot be compared with those of broken: it raised ZeroDivisionError: no" in verdict.summary
    )


def test_maps_of_another_shape() -> None:
    def small(model: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        return gradient(model, inputs, targets)[..., ::2, ::2]

    verdict = check_parity(gradient, cnn(), images(16), reference=small)
    assert verdict.outcome != "pass", verdict


def test_the_model_comes_back() -> None:
    model = norm_cnn().train()
    before = state_of(model)
    check_parity(gradient, model, images(16), reference=saliency())
    assert state_of(model) == before


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_model_comes_back_from_its_rounded_weights(error: type[BaseException]) -> None:
    model, seen = cnn(), []
    before = state_of(model)

    def raising(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(float(model[0].weight.detach().flatten()[0]))
        if len(set(seen)) == 2:
            raise error
        return gradient(model, inputs, targets)

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            check_parity(gradient, model, images(16), reference=raising)
    else:
        assert check_parity(gradient, model, images(16), reference=raising).reason == "unusable_reference"
    assert len(set(seen)) == 2 and state_of(model) == before


def test_bad_options() -> None:
    with pytest.raises(ValueError, match=r"^tolerance= belongs to a reference that is another explainer"):
        check_parity(gradient, cnn(), images(16), reference="maps.safetensors", tolerance=0.1)
    with pytest.raises(ValueError, match="tolerance"):
        check_parity(gradient, cnn(), images(16), reference=gradient, tolerance=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_cpu_against_the_gpu() -> None:
    def on_cpu(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(copy.deepcopy(model).cpu(), inputs.cpu(), targets.cpu()).to(inputs.device)

    model, inputs = train("plain_cnn").cuda(), held_out_digits().images[:16].cuda()
    try:
        assert check_parity(gradient, model, inputs, reference=on_cpu).outcome == "pass"
    finally:
        model.cpu()


def test_two_signals_of_one_axis() -> None:
    maps = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    assert "times -3" in parting(-3 * maps, maps, None, 1e-6)
    assert "shifted by 2 along axis 1" in parting(maps.roll(2, 1), maps, None, 1e-6)
    assert "of the image before it in the batch" in parting(maps.roll(1, 0), maps, None, 1e-6)
