"""A method that does not exist for a network: no check accuses it, whoever says so and wherever."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import pytest_saliency_sanity as package
from pytest_saliency_sanity import (
    NotApplicable,
    SanityCheckInconclusive,
    TrueAndPermuted,
    Verdict,
    assert_contract,
    check_contract,
    check_model_sensitivity,
    settings,
)
from pytest_saliency_sanity.explainers import (
    deconvnet,
    gradcam,
    gradient,
    guided_backprop,
    guided_gradcam,
    integrated_gradients,
    occlusion,
    rise,
)
from tests.calibration import tables, trials
from tests.checks.models import Wrapped, cnn, images, seeded, tabular, two_branches
from tests.perturbations.state import state_of

SIDE = (1, 12, 12)


def perceptron(activation: Callable[[], nn.Module] = nn.ReLU, seed: int = 0) -> nn.Module:
    """For images; it has no feature map."""
    return seeded(
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(144, 24), activation(), nn.Linear(24, 16), activation(), nn.Linear(16, 4)
        ),
        seed,
    ).eval()


def smooth(seed: int = 0) -> nn.Module:
    return perceptron(nn.GELU, seed)


def detached(seed: int = 0) -> nn.Module:
    return Wrapped(lambda scores: scores.detach() + 0, perceptron(seed=seed)).eval()


def int8(seed: int = 0) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(perceptron(seed=seed), {nn.Linear})


def transformers_only(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A wrapper of a project's own."""
    if not any(isinstance(module, nn.MultiheadAttention) for module in model.modules()):
        raise NotApplicable("attention rollout needs attention;\nuse gradcam")
    return gradient(model, inputs, targets)


METHODS: dict[str, tuple[Callable[..., Any], Callable[..., nn.Module], str]] = {
    "gradcam": (gradcam, perceptron, "gradcam found no spatial feature map in Sequential"),
    "guided_gradcam": (guided_gradcam, perceptron, "gradcam found no spatial feature map"),
    "guided_backprop": (guided_backprop, smooth, "no ReLU runs in Sequential"),
    "deconvnet": (deconvnet, smooth, "no ReLU runs in Sequential"),
    "int8": (gradient, int8, "is quantized or leaves torch"),
    "gradient": (gradient, detached, "No gradient reaches the inputs"),
    "integrated_gradients": (integrated_gradients, detached, "No gradient reaches the inputs"),
    "own": (transformers_only, cnn, "it does not apply to this model: attention rollout needs attention;"),
}


def data_sensitivity(explainer: Any, make: Callable[..., nn.Module], **options: Any) -> Verdict:
    labels = torch.arange(8) % 4
    networks = TrueAndPermuted(true=[make(seed=0), make(seed=1)], permuted=[make(seed=2), make(seed=3)])
    return package.check_data_sensitivity(
        explainer, None, (images(8), labels), images(8, seed=1), models=networks, **options
    )


def distancing(explainer: Any, make: Callable[..., nn.Module], **options: Any) -> Verdict:
    return package.check_distancing(
        explainer,
        make(),
        images(8),
        classes=(0, 1),
        data=(images(8), torch.arange(8) % 2),
        epochs=1,
        alphas=(2,),
        min_agreement=0,
        **options,
    )


def on_images(check: Callable[..., Verdict], **more: Any) -> Callable[..., Verdict]:
    return lambda explainer, make, **options: check(explainer, make(), images(8), **more, **options)


def making_references(check: Callable[..., Verdict]) -> Callable[..., Verdict]:
    """The check where a reference may be made, which it never is here."""

    def checked(*args: Any, **options: Any) -> Verdict:
        with settings.using(replace(settings.current(), references=("create",))):
            return check(*args, **options)

    return checked


CHECKS: dict[str, Callable[..., Verdict]] = {
    "contract": on_images(check_contract),
    "model_sensitivity": on_images(check_model_sensitivity),
    "target_sensitivity": on_images(package.check_target_sensitivity),
    "data_sensitivity": data_sensitivity,
    "consistency": on_images(package.check_consistency),
    "parity": making_references(on_images(package.check_parity, reference="never.safetensors")),
    "completeness": on_images(package.check_completeness),
    "linear_oracle": on_images(package.check_linear_oracle),
    "ignored_input": on_images(package.check_ignored_input),
    "implementation_invariance": on_images(package.check_implementation_invariance),
    "input_shift": on_images(package.check_input_shift),
    "occlusion_sensitivity": on_images(package.check_occlusion_sensitivity),
    "insertion_deletion": on_images(package.check_insertion_deletion),
    "localization": on_images(package.check_localization, regions=torch.tensor([[2, 2, 7, 7]] * 8)),
    "distancing": distancing,
}
# Such a network can be neither trained nor randomized, and its logits depend on the batch.
IMPOSSIBLE = {
    "distancing": ("int8", "gradient", "integrated_gradients"),
    "model_sensitivity": ("int8",),
    "completeness": ("int8",),
    "insertion_deletion": ("int8",),
    "occlusion_sensitivity": ("int8",),
}


def test_every_check_is_there() -> None:
    assert {f"check_{name}" for name in CHECKS} == {
        name for name in dir(package) if name.startswith("check_")
    }


@pytest.mark.filterwarnings("ignore:torch.ao.quantization:DeprecationWarning")
@pytest.mark.parametrize(
    "check, method",
    [(check, method) for check in CHECKS for method in METHODS if method not in IMPOSSIBLE.get(check, ())],
)
def test_no_check_accuses_a_method_that_does_not_exist(check: str, method: str, tmp_path: Any) -> None:
    explainer, make, sentence = METHODS[method]
    cache = {"cache": tmp_path} if check == "distancing" else {}
    verdict = CHECKS[check](explainer, make, name="mine", **cache)
    assert (verdict.check, verdict.outcome, verdict.reason) == (check, "inconclusive", "not_applicable")
    assert verdict.summary.startswith("mine: inconclusive: it does not apply to this model: ")
    assert sentence in verdict.summary
    assert isinstance(verdict.exception, NotApplicable)


OTHER_INPUTS: dict[str, tuple[Callable[..., Any], Callable[[], nn.Module], Any, str]] = {
    "gradcam of tables": (gradcam, tabular, images(8, (24,)), "one to three spatial dimensions"),
    "occlusion of tables": (occlusion, tabular, images(8, (24,)), "needs inputs (N, C, *S) with a spatial"),
    "rise of tables": (rise, tabular, images(8, (24,)), "needs inputs (N, C, *S) with a spatial"),
    "gradcam of two inputs": (
        gradcam, two_branches, (images(8), images(8, (2, 40))), "got a tuple of 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("explainer, make, inputs, sentence", OTHER_INPUTS.values(), ids=OTHER_INPUTS)
def test_nor_one_that_does_not_exist_for_the_kind_of_inputs_or_model(
    explainer: Any, make: Any, inputs: Any, sentence: str
) -> None:
    verdict = check_contract(explainer, make(), inputs)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "not_applicable")
    assert sentence in verdict.summary


BAD_OPTIONS = {
    "an unknown layer": partial(gradcam, layer="conv9"),
    "a layer without a map": partial(gradcam, layer="5"),
    "a window that does not fit": partial(occlusion, window=50),
    "no samples": partial(integrated_gradients, steps=0),
}


@pytest.mark.parametrize("explainer", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_a_mistake_is_still_an_error(explainer: Any) -> None:
    verdict = check_contract(explainer, cnn(), images())
    assert (verdict.outcome, verdict.reason) == ("error", "contract.exception")


def test_it_is_said_where_it_shows_on_the_randomized_model_only() -> None:
    model, trained = cnn(), cnn()[-1].weight

    def only_when_trained(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if not torch.equal(model[-1].weight, trained):
            raise NotApplicable("this needs a trained head")
        return gradient(model, inputs, targets)

    verdict = check_model_sensitivity(only_when_trained, model, images(), name="mine")
    assert verdict.summary == (
        "mine: inconclusive: it does not apply to this model: this needs a trained head (at 'head')"
    )
    assert verdict.reason == "not_applicable"


def test_an_explainer_of_some_classes_may_say_so_of_the_others() -> None:
    """The contract asks for other targets beside the user's; a method for two classes knows no third."""

    def of_two(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if (targets > 1).any():
            raise NotApplicable("it explains the classes 0 and 1")
        return gradient(model, inputs, targets)

    assert check_contract(of_two, cnn(), images(), torch.arange(8) % 2).outcome == "pass"


def test_the_model_is_restored_afterwards() -> None:
    def leaves_a_mess(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        model[0].weight.data.zero_()
        model.train()
        torch.rand(3)
        raise NotApplicable("no")

    model = cnn()
    before, stream = state_of(model), torch.get_rng_state()
    assert check_contract(leaves_a_mess, model, images()).reason == "not_applicable"
    assert state_of(model) == before
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize(
    "error, sentence",
    [
        (NotApplicable(), "mine: inconclusive: it does not apply to this model"),
        (NotApplicable("no:\n  nothing"), "mine: inconclusive: it does not apply to this model: no:"),
        (
            type("NoTokens", (NotApplicable,), {})("a"),
            "mine: inconclusive: it does not apply to this model: a",
        ),
    ],
)
def test_its_words(error: NotApplicable, sentence: str) -> None:
    def refuses(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        raise error

    assert check_contract(refuses, cnn(), images(), name="mine").summary == sentence


def test_an_assertion_is_inconclusive_and_chained_to_it() -> None:
    with pytest.raises(SanityCheckInconclusive, match="does not apply to this model: gradcam") as caught:
        assert_contract(gradcam, perceptron(), images())
    assert isinstance(caught.value.__cause__, NotApplicable)


def test_it_is_a_value_error_that_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(NotApplicable("no head")))
    assert type(again) is NotApplicable and isinstance(again, ValueError) and str(again) == "no head"


@pytest.mark.parametrize(
    "name, make, outcome",
    [("gradcam", perceptron, "refused"), ("guided_backprop", smooth, "refused"), ("constant", cnn, "fail")],
)
def test_the_tables_of_the_calibration_say_refused(name: str, make: Any, outcome: str) -> None:
    def setting(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
        return make(), images(8), torch.arange(8) % 4

    def check(explainer: Any, model: nn.Module, inputs: Tensor, *, labels: Any, **options: Any) -> Verdict:
        return check_model_sensitivity(explainer, model, inputs, **options)

    found = trials.trials_of(check, [name], setting, ("network", 0))
    assert found[0].outcome == outcome
    assert tables.matrix(found, [name], ["network"]).splitlines()[-1].startswith(f"| {name} | {outcome}")


def test_a_mistake_is_no_refusal_in_the_tables() -> None:
    def setting(network: str, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
        return cnn(), images(8), torch.arange(8) % 4

    def check(explainer: Any, model: nn.Module, inputs: Tensor, *, labels: Any, **options: Any) -> Verdict:
        return check_contract(partial(gradcam, layer="conv9"), model, inputs, name=options["name"])

    assert trials.trials_of(check, ["gradcam"], setting, ("network", 0))[0].outcome == "error"
