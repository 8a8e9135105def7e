"""The course of a check: random streams, the budget, what is given back, what it cost."""

from __future__ import annotations

import copy
import json
import re

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_model_sensitivity, explainers, settings
from pytest_saliency_sanity.explainers import gradient, guided_backprop, noise, sobel
from pytest_saliency_sanity.sensitivity import control_audit
from tests.checks.models import cnn, images, norm_cnn
from tests.checks.verdicts import checked, named
from tests.digits import held_out_digits
from tests.networks import train
from tests.perturbations.state import state_of

# Random streams.


def test_noise_with_a_generator_of_its_own_is_inconclusive() -> None:
    generator = torch.Generator().manual_seed(0)

    def own_noise(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.randn(inputs.shape, generator=generator)

    verdict = checked(own_noise)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.repeatability")
    assert re.fullmatch(
        r"own_noise: inconclusive: two runs of it agree by only -?0\.\d\d, and they cannot be replayed, because "
        r"it draws from a random generator of its own; let it draw from torch's global generator, or raise its "
        r"number of samples",
        verdict.summary,
    )


def test_free_runs_that_disagree_are_noted() -> None:
    note = r"two runs on different random streams agree by only -?0\.0\d; raise the number of samples"
    assert any(re.fullmatch(note, found) for found in checked(noise).notes)
    assert not any(re.fullmatch(note, found) for found in checked(sobel).notes)


def test_the_same_seed_gives_the_same_verdict() -> None:
    model, inputs = train("mlp"), held_out_digits().images[:32]
    first, again, other = (check_model_sensitivity(gradient, model, inputs, seed=seed) for seed in (0, 0, 1))
    assert without_cost(first) == without_cost(again)
    assert first.interval != other.interval


def without_cost(verdict: Verdict) -> str:
    shown = verdict.to_json()
    del shown["evidence"]["cost"], shown["evidence"]["control_cost"]
    return json.dumps(shown)


def test_a_seed_of_the_run_and_an_argument_are_the_same() -> None:
    model, inputs = train("mlp"), held_out_digits().images[:32]
    with settings.using(settings.Settings(seed=1)):
        of_the_run = check_model_sensitivity(gradient, model, inputs)
    assert without_cost(of_the_run) == without_cost(check_model_sensitivity(gradient, model, inputs, seed=1))


# The budget.


def test_a_budget_that_is_used_up_early() -> None:
    verdict = checked(gradient, max_seconds=1e-6)
    assert (verdict.outcome, verdict.reason, verdict.stages) == ("inconclusive", "budget", ())
    assert re.fullmatch(
        r"gradient: inconclusive: the budget of 1e-06 s was used up after 8 maps \(0\.\d\d s each\); "
        r"raise max_seconds, or use the profile 'smoke'",
        verdict.summary,
    )


def test_a_budget_that_ends_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known by then is shown, and decides nothing: not even for an edge detector."""
    calls: list[int] = []

    def slow(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        calls.append(len(inputs))
        if len(calls) == 14:
            monkeypatch.setattr("time.monotonic", lambda: float("inf"))
        return sobel(model, inputs, targets)

    verdict = checked(slow, max_seconds=500)
    monkeypatch.undo()
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "budget")
    assert "; so far 1.00 is retained at 'upper'; raise max_seconds" in verdict.summary
    assert [stage.name for stage in verdict.stages] == ["upper", "half", "all"]
    assert verdict.stages[0].draws >= 2


# What is given back.


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("calls", [1, 3, 8])
def test_the_model_is_restored_whenever_the_explainer_raises(error: type[BaseException], calls: int) -> None:
    """Call 1 examines the contract, 3 repeats it, 8 sees a re-initialized model."""
    model, made = norm_cnn().train(), []
    before = state_of(model)

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        made.append(len(inputs))
        model[1].running_mean.add_(0 if len(made) < calls else 1)
        if len(made) == calls:
            raise error
        return gradient(model, inputs, targets)

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            check_model_sensitivity(explainer, model, images(16))
    else:
        assert check_model_sensitivity(explainer, model, images(16)).reason == "contract.exception"
    assert state_of(model) == before


def test_the_model_is_restored_after_a_verdict() -> None:
    model = train("plain_cnn")
    before = state_of(model)
    for explainer in (gradient, sobel, noise, guided_backprop, explainers.constant):
        check_model_sensitivity(explainer, model, held_out_digits().images[:16])
    assert state_of(model) == before


# Evidence.


def test_the_evidence_of_a_verdict() -> None:
    evidence = checked(gradient).to_json()["evidence"]
    assert set(evidence) == {
        "profile", "images", "one_sided", "explainer", "cost", "control_cost", "blocks", "copies",
        "head_negation",
    }  # fmt: skip
    assert (evidence["profile"], evidence["images"], evidence["one_sided"]) == ("ci", 32, False)
    assert evidence["blocks"] == ["0", "3", "6", "9", "11"]
    assert set(evidence["cost"]) == {"calls", "images", "seconds", "total_seconds"}
    assert set(evidence["copies"]) == {"upper", "all"}  # the shallowest and the deepest


def test_the_coverage_of_the_randomization() -> None:
    copies = checked(sobel).evidence["copies"]
    parameters = sum(parameter.numel() for parameter in train("plain_cnn").parameters())
    assert set(copies["all"]) == {
        "tensors_changed", "tensors_total", "parameters_changed", "parameters_total",
        "logit_correlation", "prediction_agreement", "nan", "dead",
    }  # fmt: skip
    assert copies["all"]["tensors_changed"] == copies["all"]["tensors_total"] == 10
    assert copies["all"]["parameters_changed"] == copies["all"]["parameters_total"] == parameters
    assert copies["upper"]["tensors_changed"] == 4
    assert all(copy["nan"] is False and copy["dead"] < 1 for copy in copies.values())


@pytest.mark.parametrize("name", ["gradient", "input_x_gradient"])
def test_head_negation_turns_a_gradient_around(name: str) -> None:
    assert checked(named(name), "mlp").evidence["head_negation"] == pytest.approx(-1, abs=1e-3)


def test_head_negation_leaves_edges_and_most_of_guided_backpropagation_alone() -> None:
    assert checked(sobel).evidence["head_negation"] == 1
    assert checked(guided_backprop).evidence["head_negation"] > 0


def test_the_control_is_made_once_for_all_explainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    calls = [
        checked(explainer).evidence["control_cost"]["calls"] for explainer in (sobel, noise, guided_backprop)
    ]
    assert calls[0] > 0 and calls[1:] == [0, 0]
    other_seed = checked(sobel, seed=1).evidence["control_cost"]["calls"]
    assert other_seed == calls[0]


def test_the_gradient_is_its_own_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by two images on the model, and one of them on each of two copies; what was made for others is used."""
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())

    kept = copy.deepcopy(train("plain_cnn"))

    def stale(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(kept, inputs, targets)

    own, other, again = (
        checked(explainer).evidence["control_cost"]["images"] for explainer in (gradient, stale, gradient)
    )
    assert own == 2 + 2
    assert other >= 2 + 1 + 10 + 8 * 3  # compared up to the first copy, and then a control of its own
    assert again == 0


def test_a_gradient_with_old_lower_weights_is_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the plain gradient of the model and of its shallowest copy: the deepest tells."""
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    kept = copy.deepcopy(train("plain_cnn"))

    def half_stale(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        state = model.state_dict()
        first = next(iter(state)).rpartition(".")[0]
        stale = copy.deepcopy(model)
        stale.load_state_dict(
            {k: v if not k.startswith(first) else kept.state_dict()[k] for k, v in state.items()}
        )
        return gradient(stale, inputs, targets)

    assert checked(half_stale).evidence["control_cost"]["images"] >= 2 + 2 + 10 + 8 * 3


def test_controls_of_other_blocks_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measures have the same names: what differs is a block between the first and the last."""
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    # Of plain ReLU units, 5 networks in 40 are dead at this depth.
    layers = [layer for k in (1, *[4] * 8) for layer in (nn.Conv2d(k, 4, 3, padding=1), nn.LeakyReLU(0.5))]
    inputs = images(8)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * inputs[0].numel(), 3)).eval()
    for second in ("2", "4"):
        blocks = ["0", second, "6", "8", "10", "12", "14", "19"]
        verdict = check_model_sensitivity(sobel, model, inputs, [0] * 8, blocks=blocks)
        assert verdict.evidence["control_cost"]["calls"] > 0, blocks


def test_controls_of_two_architectures_with_equal_weights_are_kept_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Activations have no weights: what tells the two networks apart is not among their parameters."""
    monkeypatch.setattr(control_audit, "_SURVEYS", control_audit.ControlSurveys())
    relu, tanh = cnn(), cnn()
    tanh[1], tanh[3], tanh[6] = nn.Tanh(), nn.Tanh(), nn.Tanh()
    for model in (relu, tanh):
        verdict = check_model_sensitivity(sobel, model, images(8), [0] * 8)
        assert verdict.evidence["control_cost"]["calls"] > 0
