"""Axioms: methods that have them pass on networks of many kinds, planted faults fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import captum.attr
import pytest
import torch
from torch import Tensor, nn

import pytest_saliency_sanity as sanity
from pytest_saliency_sanity import SanityCheckFailed, Verdict
from pytest_saliency_sanity.adapters import UnusableExplainer
from pytest_saliency_sanity.explainers import (
    gradcam,
    gradient,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
    occlusion,
    smoothgrad,
    sobel,
    vargrad,
)
from tests.axioms.networks import NETWORKS, residual
from tests.checks.models import cnn, images
from tests.manual import fenced

Explainer = Callable[..., Any]
QUICK = ("cnn", "three channels", "tables", "two inputs")
every_network = pytest.mark.parametrize(
    "network",
    [pytest.param(one, marks=() if one in QUICK else pytest.mark.extended) for one in NETWORKS],
)
SEEDS = [0, 1, 2]
every_seed = pytest.mark.parametrize(
    "seed", [SEEDS[0], *(pytest.param(seed, marks=pytest.mark.extended) for seed in SEEDS[1:])]
)


def check(name: str, explainer: Any, network: str = "cnn", **options: Any) -> Verdict:
    model, inputs = NETWORKS[network]()
    return getattr(sanity, f"check_{name}")(explainer, model, inputs, **options)


HONEST = {
    "completeness": [partial(integrated_gradients, steps=64)],
    "linear_oracle": [gradient, input_x_gradient, partial(integrated_gradients, steps=4), smoothgrad],
    "ignored_input": [gradient, partial(integrated_gradients, steps=4), smoothgrad, vargrad],
    "implementation_invariance": [gradient, partial(integrated_gradients, steps=4), smoothgrad],
    "input_shift": [gradient, smoothgrad, vargrad],
}


@every_network
@pytest.mark.parametrize("name", HONEST)
def test_methods_that_have_it_pass(name: str, network: str) -> None:
    for explainer in HONEST[name]:
        verdict = check(name, explainer, network)
        assert verdict.outcome == "pass", verdict


CAPTUM = {
    "completeness": [captum.attr.IntegratedGradients, captum.attr.DeepLift],
    "linear_oracle": [
        partial(captum.attr.Saliency, abs=False), captum.attr.InputXGradient, captum.attr.DeepLift,
        captum.attr.IntegratedGradients,
    ],
    "ignored_input": [captum.attr.Saliency, captum.attr.DeepLift, captum.attr.LRP],
    "implementation_invariance": [captum.attr.Saliency, captum.attr.IntegratedGradients],
    "input_shift": [captum.attr.Saliency],
}  # fmt: skip


@every_seed
@pytest.mark.parametrize("name", CAPTUM)
def test_so_do_those_of_captum(name: str, seed: int) -> None:
    for explainer in CAPTUM[name]:
        verdict = getattr(sanity, f"check_{name}")(explainer, cnn(seed=seed), images(8, seed=seed), seed=seed)
        assert verdict.outcome == "pass", verdict


ig = partial(integrated_gradients, steps=16)


def changed(by: Callable[[Tensor], Tensor], explainer: Explainer = ig) -> Explainer:
    def explain(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return by(explainer(model, inputs, targets))

    return explain


def other_target(explainer: Explainer) -> Explainer:
    return lambda model, inputs, targets: explainer(model, inputs, (targets + 1) % 3)


def of_the_softmax(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return ig(nn.Sequential(model, nn.Softmax(1)), inputs, targets)


def of_another_baseline(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return ig(model, inputs, targets, baseline=0.5)


def of_a_stale_model(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return ig(cnn(seed=7), inputs, targets)


def of_the_neighbor(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return ig(model, inputs, targets).flip(0)


def by_modules(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A rule for ReLU modules, which it looks for by their class."""
    rectified = sum(isinstance(module, nn.ReLU) for module in model.modules())
    return gradient(model, inputs, targets) * inputs ** (1 + rectified)


def by_weights(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The first layer's weights are read as they stand."""
    layer = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    return gradient(model, inputs, targets) + 0.05 * layer.weight.norm() * inputs


def normalized(maps: Tensor) -> Tensor:
    return maps / maps.flatten(1).abs().amax(1).view(-1, 1, 1, 1)


FAULTS: dict[str, dict[str, Explainer]] = {
    "completeness": {
        "gradient": gradient, "sobel": sobel, "wrong target": other_target(ig), "sign": changed(torch.neg),
        "absolute": changed(torch.abs), "softmax": of_the_softmax, "baseline": of_another_baseline,
        "stale model": of_a_stale_model, "doubled": changed(lambda maps: 2 * maps), "normalized": changed(normalized),
        "grad-cam": gradcam,
    },
    "linear_oracle": {
        "sobel": sobel, "wrong target": other_target(gradient), "sign": changed(torch.neg), 
        "absolute": changed(torch.abs), "stale model": of_a_stale_model, "doubled": changed(lambda maps: 2 * maps),
        "normalized": changed(normalized), "transposed": changed(lambda maps: maps.mT),
        "shifted": changed(lambda maps: maps.roll(1, -1)),
        "neighbor": of_the_neighbor, "baseline": of_another_baseline, "windows": partial(occlusion, window=3),
    },
    "ignored_input": {
        "sobel": sobel, "the input": lambda model, inputs, targets: inputs.clone(), "grad-cam": gradcam,
        "shifted": changed(lambda maps: maps.roll(1, -1), gradient),
        "smoothed": changed(lambda maps: nn.functional.avg_pool2d(maps, 3, 1, 1), gradient),
        "stale model": of_a_stale_model, "windows": partial(occlusion, window=3),
    },
    "implementation_invariance": {
        "by modules": by_modules, "by weights": by_weights, "deeplift": captum.attr.DeepLift,
    },
    "input_shift": {
        "input x gradient": input_x_gradient, "zero baseline": ig, "the input": lambda m, inputs, t: inputs.clone(),
        "deeplift": captum.attr.DeepLift,
    },
}  # fmt: skip
PLANTED = [(name, fault) for name, faults in FAULTS.items() for fault in faults]


@every_seed
@pytest.mark.parametrize("name, fault", PLANTED)
def test_a_planted_fault_fails(name: str, fault: str, seed: int) -> None:
    verdict = getattr(sanity, f"check_{name}")(
        FAULTS[name][fault], cnn(seed=seed), images(8, seed=seed), seed=seed
    )
    assert verdict.outcome == "fail" or verdict.reason == "contract.batch", verdict


def test_mixed_channels_show_on_a_linear_network() -> None:
    mixed = changed(lambda maps: maps.flip(1))
    assert check("linear_oracle", mixed, "three channels").reason == "off_oracle"
    assert check("linear_oracle", changed(lambda maps: maps.sum(1)), "three channels").outcome == "pass"
    assert (
        check("linear_oracle", changed(lambda maps: maps.sum(1, keepdim=True)), "three channels").outcome
        == "pass"
    )


def test_the_expected_map_is_the_users() -> None:
    assert check("linear_oracle", gradient, expects="gradient").outcome == "pass"
    assert check("linear_oracle", gradient, expects="contribution").outcome == "fail"
    assert check("linear_oracle", ig, expects="contribution").stages[0].name == "(x - baseline) * w"
    with pytest.raises(
        ValueError, match=r"^expects must be one of gradient, contribution, or None, not 'w'$"
    ):
        check("linear_oracle", gradient, expects="w")


@pytest.mark.parametrize("baseline", [0.5, torch.full((1, 12, 12), 0.5), images(1)[0].flip(-1)])
def test_a_baseline_of_the_users(baseline: Any) -> None:
    explainer = partial(integrated_gradients, steps=64, baseline=baseline)
    for name in ("completeness", "linear_oracle"):
        assert check(name, explainer, baseline=baseline).outcome == "pass"
        assert check(name, explainer, baseline=0.3).outcome == "fail"


@pytest.mark.parametrize("name", ["completeness", "linear_oracle"])
@pytest.mark.parametrize("baseline", [torch.zeros(8, 1, 12, 12), "black", (0, 0)])
def test_a_baseline_is_one_for_all_images(name: str, baseline: Any) -> None:
    with pytest.raises(ValueError, match=r"^baseline (must be None \(zero\), a number|has 2 entries for 1)"):
        check(name, ig, baseline=baseline)


def test_two_baselines_for_two_inputs() -> None:
    base = (0.25, -0.5)
    explainer = partial(integrated_gradients, steps=64, baseline=base)
    assert check("completeness", explainer, "two inputs", baseline=base).outcome == "pass"
    assert check("linear_oracle", explainer, "two inputs", baseline=base).outcome == "pass"
    assert check("completeness", explainer, "two inputs").outcome == "fail"


@pytest.mark.parametrize("weights", [False, True])
def test_weights_as_targets(weights: bool) -> None:
    targets = torch.rand(8, 4) if weights else torch.arange(8) % 4
    for name, explainers in HONEST.items():
        assert check(name, explainers[0], targets=targets).outcome == "pass"


def test_a_forward_function_of_the_users() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = cnn()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"scores": self.network(x), "features": x}

    for name, explainers in HONEST.items():
        verdict = getattr(sanity, f"check_{name}")(
            explainers[0], Twice().eval(), images(8), forward=lambda model, x: model(x)["scores"]
        )
        assert verdict.outcome == "pass", verdict


# Completeness and its quadrature.


def test_the_quadrature_is_measured_apart() -> None:
    for seed in SEEDS:
        rough = sanity.check_completeness(
            partial(integrated_gradients, steps=2),
            cnn(seed=seed),
            images(8, seed=seed),
            quadrature_tolerance=0.05,
        )
        assert [stage.outcome == "fail" for stage in rough.stages] == [False, True]
        assert rough.hint.endswith("raise the number of steps")
        assert "128 steps instead of 2" in rough.render()
    exact = check("completeness", captum.attr.DeepLift)
    assert [stage.name for stage in exact.stages] == ["sum"] and exact.stages[0].upper < 1e-4


def test_the_steps_of_an_object_of_captum_are_known() -> None:
    model, inputs = NETWORKS["cnn"]()
    for explainer in (
        captum.attr.IntegratedGradients(model),
        partial(captum.attr.IntegratedGradients(model).attribute, n_steps=25),
    ):
        verdict = sanity.check_completeness(explainer, model, inputs)
        assert verdict.outcome == "pass"
        assert re.search(r"(400|200) steps instead of (50|25)", verdict.stages[1].detail)


def test_a_finer_one_of_the_users() -> None:
    def coarse(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return integrated_gradients(model, inputs, targets, steps=2)

    assert [stage.name for stage in check("completeness", coarse).stages] == ["sum"]
    finer = partial(integrated_gradients, steps=256)
    verdict = check("completeness", coarse, finer=finer)
    assert [(stage.name, stage.judged) for stage in verdict.stages] == [("sum", True), ("quadrature", False)]
    assert verdict.outcome == "pass" and any("raise their number" in note for note in verdict.notes)
    assert check("completeness", coarse, finer=finer, quadrature_tolerance=0.05).outcome == "fail"
    generous = check("completeness", coarse, finer=finer, quadrature_tolerance=1.0, tolerance=1.0)
    assert generous.outcome == "pass"


def test_what_the_steps_leave_open_is_inconclusive() -> None:
    coarse = partial(integrated_gradients, steps=1)
    finer = partial(integrated_gradients, steps=8)
    verdict = check("completeness", coarse, finer=finer, quadrature_tolerance=1.0)
    assert [stage.outcome for stage in verdict.stages] == ["inconclusive", "pass"]
    assert "(between 0 and " in verdict.summary and verdict.summary.endswith("reaches down to the tolerance")


HINTS = {
    "the sums are -1 times what they should be: the sign is wrong": changed(torch.neg),
    "the sums are 3 times what they should be on every image": changed(lambda maps: 3 * maps),
    "if the explainer has another baseline than zero, pass it as baseline=": of_another_baseline,
}


@pytest.mark.parametrize("hint", HINTS)
def test_what_a_failure_hints_at(hint: str) -> None:
    assert check("completeness", HINTS[hint]).hint == hint


def test_where_there_is_nothing_to_sum_to() -> None:
    """The first class is the same everywhere, the others are not."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    with torch.no_grad():
        model[3].weight[0] = 0
    verdict = sanity.check_completeness(sobel, model, images(8), torch.zeros(8, dtype=torch.long))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.baseline")


# A second network.


def test_a_rewritten_network_of_the_users() -> None:
    model, inputs = residual(), images(8)
    same, other = residual(), residual(seed=1)
    assert sanity.check_implementation_invariance(gradient, model, inputs, rewritten=same).outcome == "pass"
    verdict = sanity.check_implementation_invariance(gradient, model, inputs, rewritten=other)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.function")
    assert "the network of rewritten= computes other logits" in verdict.summary
    verdict = sanity.check_implementation_invariance(gradient, model, inputs, rewritten=nn.Linear(3, 2))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.function")


def test_guided_backpropagation_depends_on_it_where_some_relus_are_written_otherwise() -> None:
    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 0, x, torch.zeros_like(x))

    model, other = cnn(), cnn()
    other[1] = Other()
    verdict = sanity.check_implementation_invariance(guided_backprop, model, images(8), rewritten=other)
    assert verdict.reason == "implementation"


def test_a_network_without_such_layers_needs_another() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(144, 4, generator=torch.Generator().manual_seed(0)))

        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1) @ self.weight).tanh()

    verdict = sanity.check_implementation_invariance(gradient, Plain(), images(8))
    assert verdict.reason == "gate.function" and "pass rewritten=" in verdict.summary


def test_the_users_networks_stay_as_they_are() -> None:
    model, other = cnn().train(), cnn().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sanity.check_implementation_invariance(gradient, model, images(8), rewritten=other)
    sanity.check_ignored_input(gradient, model, images(8))
    assert model.training and other.training and not model[0]._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", [name for name in HONEST if name != "completeness"])
def test_an_object_that_is_bound_to_a_model_is_refused(name: str) -> None:
    model = cnn()
    with pytest.raises(UnusableExplainer, match=r"is bound to one model; pass captum\.attr\.Saliency"):
        getattr(sanity, f"check_{name}")(captum.attr.Saliency(model), model, images(8))


def test_an_explainer_that_does_not_repeat_itself_is_allowed_for_it() -> None:
    own = torch.Generator().manual_seed(0)

    def noisy(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        return maps + 0.02 * maps.std() * torch.randn(maps.shape, generator=own)

    verdict = check("input_shift", noisy)
    assert verdict.outcome == "inconclusive" and verdict.stages[0].lower < 0.01 < verdict.stages[0].upper


@pytest.mark.parametrize(
    "shift", [4.0, -1, torch.full((1, 1, 1), 2.0), (torch.linspace(0, 1, 144).view(1, 12, 12),)]
)
def test_a_shift_of_the_users(shift: Any) -> None:
    assert check("input_shift", gradient, shift=shift).outcome == "pass"
    assert check("input_shift", input_x_gradient, shift=shift).outcome == "fail"


def test_large_values_are_shifted_by_as_much() -> None:
    first = nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    inputs = 255 * images(8)
    assert sanity.check_input_shift(input_x_gradient, first, inputs).outcome == "fail"
    assert sanity.check_input_shift(gradient, first, inputs).stages[0].detail == "256"


# Words.


def test_the_message_of_the_manual() -> None:
    (shown,) = (block.text for block in fenced() if block.page == "docs/explanation/axioms.md")
    verdict = check("input_shift", input_x_gradient)
    pattern = re.sub(r"0\\\.\d\d", r"0\\.\\d+", re.escape(shown.strip()))
    assert re.fullmatch(pattern, verdict.summary)


def test_bounds_that_are_no_confidence_bounds_are_not_called_so() -> None:
    for explainer in (gradient, input_x_gradient):
        verdict = check("input_shift", explainer)
        assert "99 %" not in verdict.render() and "95 %" not in verdict.render()
    stage = check("completeness", ig, quadrature_tolerance=1.0).stages[0]
    assert (stage.alpha_fail, stage.alpha_pass) == (0, 0) and stage.lower < stage.upper


@pytest.mark.parametrize("name", HONEST)
def test_its_assertion_raises(name: str) -> None:
    assertion = {one.name: one for one in sanity.checks.registry.CHECKS}[name].assertion
    model, inputs = NETWORKS["cnn"]()
    fault = next(iter(FAULTS[name].values()))
    with pytest.raises(SanityCheckFailed):
        getattr(sanity, str(assertion))(fault, model, inputs)
    assert getattr(sanity, str(assertion))(HONEST[name][0], model, inputs).outcome == "pass"


@pytest.mark.extended
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_seed_gives_the_same_verdict(seed: int) -> None:
    for name, explainers in HONEST.items():
        first, second = (check(name, explainers[-1], seed=seed) for _ in range(2))
        assert [replace(one, evidence={}) for one in (first, second)] == [replace(first, evidence={})] * 2


def test_a_share_that_knows_nothing_is_a_quarter() -> None:
    verdict = check("ignored_input", sobel, "three channels")
    assert verdict.statistic is not None and 0.2 < verdict.statistic < 0.35
