"""Bad input gives one clear sentence, with the value and the choices."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SettingsError,
    check_contract,
    check_model_sensitivity,
    check_target_sensitivity,
    settings,
)
from pytest_saliency_sanity.audited.subject import evaluating, subject
from pytest_saliency_sanity.explainers import deconvnet, gradient, guided_backprop, smoothgrad, sobel
from pytest_saliency_sanity.text import name_of
from tests.checks.models import Wrapped, cnn, images, seeded, tabular, two_branches

CHECKS = [check_contract, check_model_sensitivity, check_target_sensitivity]


def sentence(text: str) -> str:
    """A pattern for exactly this text."""
    return f"^{re.escape(text)}$"


class Explainer:
    """A class as captum's are: an object of it explains."""

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(model, inputs, targets)


# Explainer and model.


@pytest.mark.parametrize("check", CHECKS)
def test_a_class_in_place_of_an_object(check: Callable[..., Any]) -> None:
    text = (
        "the explainer is the class Explainer itself; pass a function explainer(model, inputs, "
        "targets), or a callable instance of the class"
    )
    with pytest.raises(TypeError, match=sentence(text)):
        check(Explainer, cnn(), images())
    assert check(Explainer(), cnn(), images(16)).explainer == "Explainer"


@pytest.mark.parametrize("check", CHECKS)
def test_an_explainer_that_cannot_be_called(check: Callable[..., Any]) -> None:
    text = "an explainer is called as explainer(model, inputs, targets); 'gradient' is not callable"
    with pytest.raises(TypeError, match=sentence(text)):
        check("gradient", cnn(), images())


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model, kind", [(nn.Linear, "type"), (gradient, "function"), (None, "NoneType")])
def test_a_model_that_is_none(check: Callable[..., Any], model: object, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^the model must be a torch.nn.Module, not {kind}: "):
        check(gradient, model, images())


def test_a_model_without_parameters() -> None:
    text = "Sequential has no parameters: there is nothing to re-initialize."
    model = nn.Sequential(nn.Flatten(), nn.Softmax(1))
    with pytest.raises(ValueError, match=sentence(text)):
        check_model_sensitivity(gradient, model, images())
    assert check_contract(gradient, model, images()).outcome == "pass"


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_model() -> None:
    model = torch.ao.quantization.quantize_dynamic(cnn(), {nn.Linear}, dtype=torch.qint8)
    text = (
        "Sequential cannot be randomized: '5' is quantized (Linear), its weights are packed; "
        "audit the float model."
    )
    with pytest.raises(ValueError, match=sentence(text)):
        check_model_sensitivity(gradient, model, images())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("explainer", [guided_backprop, deconvnet])
def test_a_scripted_model_under_guided_methods(explainer: Callable[..., Any]) -> None:
    scripted = torch.jit.script(cnn())
    verdict = check_model_sensitivity(explainer, scripted, images())
    assert (verdict.outcome, verdict.reason) == ("error", "contract.exception")
    assert verdict.summary == (
        f"{explainer.__name__} broke the contract: it raised ValueError: {explainer.__name__} intercepts the "
        f"functions that a model calls, but cannot see inside the model, which is scripted "
        "(RecursiveScriptModule): pass the original model."
    )
    assert check_contract(gradient, scripted, images()).outcome == "pass"


# Images.

IMAGES = {
    "none": (
        torch.empty(0, 1, 12, 12),
        ValueError,
        "inputs hold no images; at least 2 are needed, 16 are better",
    ),
    "one": (
        images(1),
        ValueError,
        "inputs hold one image, shape (1, 1, 12, 12); at least 2 are needed (a map has to differ "
        "between images), "
        "16 are better",
    ),
    "bytes": (
        torch.zeros(4, 1, 12, 12, dtype=torch.uint8),
        TypeError,
        "inputs must be floating point, normalized as the model expects, not torch.uint8; for "
        "images of 0 to 255 "
        "pass inputs.float() / 255",
    ),
    "nan": (images() * torch.nan, ValueError, "inputs hold 1152 values that are NaN or infinite"),
    "a list of images": (
        list(images(4)),
        ValueError,
        "inputs are 4 tensors of shape (1, 12, 12), which is read as one image of a model with 4 inputs; "
        "if they are 4 images, pass torch.stack(inputs)",
    ),
    "a vector": (
        torch.rand(12),
        ValueError,
        "inputs must have the shape (N, C, *S), with N images; this one is (12,)",
    ),
    "a dict": ({"x": 1}, TypeError, "inputs must be a tensor (N, C, *S) or a tuple of tensors, not dict"),
    "a string": ("digits", TypeError, "inputs must be a tensor (N, C, *S) or a tuple of tensors, not str"),
    "an empty tuple": (
        (),
        ValueError,
        "inputs is an empty tuple; pass a tensor (N, C, *S) or a tuple of such tensors",
    ),
    "unequal": (
        (images(4), images(5)),
        ValueError,
        "the inputs of the tuple hold [4, 5] images; each must hold the same number",
    ),
}


@pytest.mark.parametrize("given, error, text", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("check", CHECKS)
def test_bad_images(check: Callable[..., Any], given: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=sentence(text)):
        check(gradient, cnn(), given)


class Strict(nn.Module):
    """Checks its input as torchvision's vision transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()

    def forward(self, x: Tensor) -> Tensor:
        torch._assert(x.shape[2] == 12, f"Wrong image height! Expected 12 but got {x.shape[2]}!")
        return self.network(x)


@pytest.mark.parametrize(
    "model, shape, reason",
    [
        (cnn(), (3, 12, 12), "Given groups=1, weight of size [6, 1, 3, 3], expected input"),
        (cnn(), (1, 9, 9), "mat1 and mat2 shapes cannot be multiplied"),
        (tabular(), (7,), "mat1 and mat2 shapes cannot be multiplied"),
        (Strict(), (1, 9, 9), "Wrong image height! Expected 12 but got 9!"),
    ],
)
def test_images_that_the_model_does_not_take(model: nn.Module, shape: tuple[int, ...], reason: str) -> None:
    kind = "AssertionError" if reason.startswith("Wrong") else "RuntimeError"
    start = f"the model raised {kind} for inputs of shape {(4, *shape)}: {reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(start)}") as caught:
        check_contract(gradient, model, images(4, shape))
    assert caught.value.__cause__ is not None
    assert "\n" not in str(caught.value)


def test_a_tuple_for_a_model_of_one_input() -> None:
    with pytest.raises(
        ValueError,
        match=r"^the model raised TypeError for inputs of shape \(4, 1, 12, 12\), \(4, 1, 12, 12\): ",
    ):
        check_contract(gradient, cnn(), (images(4), images(4)))


def test_a_list_of_single_images_is_taken_for_a_tuple_of_inputs() -> None:
    with pytest.raises(ValueError, match=r"^the model raised TypeError for inputs of shape \(3, 12, 12\), "):
        check_contract(gradient, cnn(channels=3), list(images(4, (3, 12, 12))))


def test_one_tensor_for_a_model_of_two_inputs() -> None:
    with pytest.raises(
        ValueError, match=r"^the model raised TypeError for inputs of shape \(4, 1, 12, 12\): "
    ):
        check_contract(gradient, two_branches(), images(4))


@pytest.mark.parametrize(
    "given",
    [
        images(4).numpy(),
        images(4).numpy()[::-1],
        images(4).numpy().astype(">f4"),
        images(4).double(),
        images(4).half(),
        images(4).requires_grad_(),
        [images(4)],
    ],
)
def test_images_that_are_fine(given: Any) -> None:
    assert check_contract(gradient, cnn(), given).outcome == "pass"


def test_logits_that_are_not_finite() -> None:
    model = Wrapped(lambda scores: scores * torch.tensor([[1.0]] * 3 + [[torch.nan]]))
    with pytest.raises(ValueError, match=sentence("the model's logits are not finite on 1 of the images")):
        check_contract(gradient, model, images(4))


# Targets and labels.

TARGETS = {
    "too few": ([0, 1], "targets has 2 entries for 8 images; give one for each"),
    "too many": (torch.zeros(9, dtype=torch.long), "targets has 9 entries for 8 images; give one for each"),
    "too large": ([0, 1, 2, 3, 4, 0, 0, 0], "Target 4 is out of range: the model has the classes 0..3."),
    "one too large": (7, "Target 7 is out of range: the model has the classes 0..3."),
    "negative": ([0, 1, 2, 3, -1, 0, 0, 0], "Target -1 is out of range: the model has the classes 0..3."),
    "fractions": (torch.rand(8), "targets of shape (8,) must be class indices (int64), got torch.float32."),
    "truths": (torch.ones(8).bool(), "targets of shape (8,) must be class indices (int64), got torch.bool."),
    "weights": (torch.rand(8, 3), "targets of two dimensions are weights of shape (8, 4), got (8, 3)."),
    "cubes": (
        torch.rand(8, 4, 1),
        "targets must be (8,) class indices or (8, K) weights, got shape (8, 4, 1).",
    ),
    "names": (
        ["cat"] * 8,
        "targets must be class indices or weights, not ['cat', 'cat', 'cat', 'cat', 'cat', 'cat', ...]",
    ),
    "ragged": (
        [[0], [1, 2]] * 4,
        "targets must be class indices or weights, not [[0], [1, 2], [0], [1, 2], [0], [1, 2], ...]",
    ),
}


@pytest.mark.parametrize("targets, text", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("check", CHECKS)
def test_bad_targets(check: Callable[..., Any], targets: Any, text: str) -> None:
    with pytest.raises(ValueError, match=sentence(text)):
        check(gradient, cnn(), images(), targets)


@pytest.mark.parametrize(
    "targets",
    [
        None,
        2,
        [0, 1, 2, 3] * 2,
        np.zeros(8, int),
        np.zeros(8, np.int32),
        torch.zeros(8, dtype=torch.int16),
        torch.rand(8, 4),
    ],
)
def test_targets_that_are_fine(targets: Any) -> None:
    assert check_contract(gradient, cnn(), images(), targets).outcome == "pass"


def test_the_models_own_prediction_is_the_default() -> None:
    model, inputs = cnn(), images()
    found = subject(gradient, model, inputs, None)
    assert torch.equal(found.targets, model(inputs).argmax(1))


LABELS = {
    "too few": ([0, 1], "labels has 2 entries for 8 images; give one for each"),
    "too large": ([0, 1, 2, 3, 4, 0, 0, 0], "label 4 is out of range; the model has the classes 0 to 3"),
    "negative": ([-2] * 8, "label -2 is out of range; the model has the classes 0 to 3"),
    "fractions": (
        torch.rand(8),
        "labels must be (N,) integers, not torch.float32 of shape (8,); pass labels.long()",
    ),
    "of other classes": (
        torch.eye(8).long(),
        "labels must be (N,) integers, not torch.int64 of shape (8, 8); for several labels per image they must be "
        "(8, 4) of 0 and 1, a column for each output of the model",
    ),
    "no labels but weights": (
        torch.full((8, 4), 0.5),
        "labels of two dimensions must be 0 or 1, not 0.5: a 1 for each label that an image has",
    ),
    "names": (
        ["cat"] * 8,
        "labels must be (N,) integers, not ['cat', 'cat', 'cat', 'cat', 'cat', 'cat', ...]",
    ),
}


@pytest.mark.parametrize("labels, text", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
def test_bad_labels(check: Callable[..., Any], labels: Any, text: str) -> None:
    with pytest.raises(ValueError, match=sentence(text)):
        check(gradient, cnn(), images(), labels=labels)


def test_targets_and_labels_follow_the_images_that_are_chosen() -> None:
    inputs = images(100)
    numbers = torch.arange(100) % 4
    found = subject(gradient, cnn(), inputs, numbers, labels=numbers, seed=3)
    assert found.images == 32 == len(found.targets) == len(found.labels)
    places = [int((inputs == image).flatten(1).all(1).nonzero()) for image in found.inputs[0]]
    assert places == sorted(places)
    assert found.targets.tolist() == found.labels.tolist() == [place % 4 for place in places]
    again, other = (subject(gradient, cnn(), inputs, numbers, seed=seed) for seed in (3, 4))
    assert torch.equal(again.inputs[0], found.inputs[0])
    assert not torch.equal(other.inputs[0], found.inputs[0])


# Options.


def test_an_unknown_profile() -> None:
    with pytest.raises(
        SettingsError, match=sentence("profile must be one of smoke, ci, release, not 'quick'")
    ):
        check_model_sensitivity(gradient, cnn(), images(), profile="quick")


@pytest.mark.parametrize("seed", [-1, 0.5, "0", True])
def test_a_seed_that_is_none(seed: Any) -> None:
    with pytest.raises(SettingsError, match=sentence(f"seed must be an integer of at least 0, not {seed!r}")):
        check_model_sensitivity(gradient, cnn(), images(), seed=seed)


def test_a_budget_that_is_none() -> None:
    with pytest.raises(
        SettingsError, match=sentence("max_seconds must be a number of seconds above 0, not 0")
    ):
        check_model_sensitivity(gradient, cnn(), images(), max_seconds=0)


@pytest.mark.parametrize("depths", [["third"], "third", ["head", "third"]])
def test_an_unknown_depth(depths: Any) -> None:
    with pytest.raises(
        ValueError, match=sentence("unknown depth 'third'; choose from head, upper, half, all, or 'every'")
    ):
        check_model_sensitivity(gradient, cnn(), images(), depths=depths)


def test_a_depth_that_is_a_number() -> None:
    text = "unknown depth 3; choose from head, upper, half, all, or 'every'"
    with pytest.raises(ValueError, match=sentence(text)):
        check_model_sensitivity(gradient, cnn(), images(), depths=3)


@pytest.mark.parametrize("depths", [["head"], "head", ()])
def test_the_head_alone_decides_nothing(depths: Any) -> None:
    text = "the depth 'head' is shown but does not decide; add one of upper, half, all to depths, or pass 'every'"
    with pytest.raises(ValueError, match=sentence(text)):
        check_model_sensitivity(gradient, cnn(), images(), depths=depths)


@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
@pytest.mark.parametrize("option", ["threshold", "one_sided_threshold"])
@pytest.mark.parametrize("value", [0, 1, -0.1, 30, float("nan")])
def test_a_threshold_that_is_no_fraction(check: Callable[..., Any], option: str, value: float) -> None:
    with pytest.raises(ValueError, match=sentence(f"{option} must lie between 0 and 1, not {value!r}")):
        check(gradient, cnn(), images(), **{option: value})


@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
def test_an_unknown_similarity(check: Callable[..., Any]) -> None:
    text = "unknown similarity 'mse'; choose from spearman, abs_spearman, ssim, hog_pearson"
    with pytest.raises(ValueError, match=sentence(text)):
        check(gradient, cnn(), images(), similarities=["mse"])


def test_unknown_blocks() -> None:
    with pytest.raises(
        ValueError, match=r"^Sequential has no 'fc'; its blocks are '0', '2', '5', '7', and any module"
    ):
        check_model_sensitivity(gradient, cnn(), images(), blocks=["fc"])


# Models that return something else.


def test_a_model_that_returns_a_tuple() -> None:
    model = Wrapped(lambda scores: (scores, None))
    start = (
        "The model returned a tuple of 2, in which there is no tensor under 'logits' or 'out': pass forward="
    )
    with pytest.raises(TypeError, match=f"^{re.escape(start)}"):
        check_contract(gradient, model, images())
    verdict = check_contract(gradient, model, images(), forward=lambda model, inputs: model(inputs)[0])
    assert verdict.outcome == "pass"


def test_a_forward_that_is_no_function() -> None:
    with pytest.raises(
        TypeError, match=r"^forward= must be a function forward\(model, inputs\) -> logits, got 3\.$"
    ):
        check_contract(gradient, cnn(), images(), forward=3)


# What a subject is.


def test_inputs_take_the_models_dtype() -> None:
    for dtype in (torch.half, torch.bfloat16, torch.double):
        found = subject(gradient, cnn().to(dtype), images(), None)
        assert found.inputs[0].dtype == dtype
        assert found.scores.dtype == torch.float


def test_clones_are_handed_out() -> None:
    inputs = images()
    found = subject(gradient, cnn(), inputs, None)
    found.chosen(torch.tensor([0, 1])).zero_()
    assert torch.equal(inputs, images()) and torch.equal(found.inputs[0], inputs)


def test_a_tuple_stays_a_tuple() -> None:
    found = subject(gradient, two_branches(), (images(), images(shape=(2, 40))), None)
    assert found.packed and [part.shape[1:] for part in found.chosen(torch.arange(3))] == [
        (1, 12, 12),
        (2, 40),
    ]
    assert not subject(gradient, cnn(), images(), None).packed


def test_names() -> None:
    assert name_of(gradient) == "gradient"
    assert name_of(functools.partial(smoothgrad, samples=4, noise=0.1)) == "smoothgrad(samples=4, noise=0.1)"
    assert name_of(Explainer()) == "Explainer"
    assert name_of(Explainer().__call__) == "__call__"
    assert name_of(lambda: None) == "<lambda>"


def test_the_training_mode_is_noted() -> None:
    note = "the model was passed in training mode and audited in evaluation mode"
    model = cnn().train()
    assert subject(gradient, model, images(), None).notes == (note,)
    assert model.training
    assert subject(gradient, model.eval(), images(), None).notes == ()


def test_a_train_of_its_own_that_was_not_called_is_named() -> None:
    class Merging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers, self.merged = cnn(), False

        def train(self, mode: bool = True) -> nn.Module:
            self.merged = not mode
            return super().train(mode)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    (note,) = subject(gradient, Merging(), images(), None).notes
    assert note.endswith(
        "; Merging has a train() of its own, which was not called: if it prepares weights, call "
        "model.eval() first"
    )
    assert subject(gradient, Merging().eval(), images(), None).notes == ()


def test_modes_are_given_back_one_by_one() -> None:
    model = cnn()
    model[2].train()
    before = [module.training for module in model.modules()]
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before


def test_settings_of_the_running_test_hold() -> None:
    with settings.using(settings.Settings(seed=7, profile="smoke", max_seconds=3.0)):
        found = subject(gradient, cnn(), images(40), None)
        assert (found.seed, found.amounts.name, found.amounts.max_seconds, found.images) == (
            7,
            "smoke",
            3.0,
            16,
        )
        found = subject(gradient, cnn(), images(40), None, seed=8, profile="ci", max_seconds=4.0)
        assert (found.seed, found.amounts.name, found.amounts.max_seconds, found.images) == (8, "ci", 4.0, 32)


def test_a_lazy_model_is_made_by_the_first_images() -> None:
    model = seeded(lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)))
    assert check_contract(gradient, model, images()).outcome == "pass"


def test_options_that_are_nearly_right() -> None:
    """A numpy seed and one name instead of a list of names are taken for what they mean."""
    model, inputs = cnn(), images(8)
    plain, same = (check_model_sensitivity(gradient, model, inputs, seed=seed) for seed in (3, np.int64(3)))
    assert plain.interval == same.interval and type(same.seed) is int
    verdict = check_model_sensitivity(gradient, model, inputs, similarities="abs_spearman")
    assert set(verdict.stages[0].evidence["similarities"]) == {"abs_spearman"}


@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
def test_options_that_are_wrong_in_type(check) -> None:
    with pytest.raises(ValueError, match=r"^threshold must lie between 0 and 1, not 'a'$"):
        check(gradient, cnn(), images(8), threshold="a")
    with pytest.raises(
        ValueError, match=r"^unknown similarity 'ssmi'; choose from spearman, abs_spearman, ssim, hog_"
    ):
        check(gradient, cnn(), images(8), similarities="ssmi")


def test_named_blocks_are_not_called_all_weights() -> None:
    verdict = check_model_sensitivity(sobel, cnn(), images(8), blocks=["0"])
    assert "when all named blocks (0) are re-initialized" in verdict.summary
