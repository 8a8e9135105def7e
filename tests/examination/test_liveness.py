"""Where images or model can show nothing, no check accuses an explainer; where they can, faulty ones still fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    TrueAndPermuted,
    Verdict,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.examination import liveness
from pytest_saliency_sanity.explainers import (
    constant,
    gradient,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
    noise,
    occlusion,
    rise,
    sobel,
)
from tests.checks.models import Wrapped, cnn, images, seeded
from tests.examination.explaining import Explainer

N, SHAPE = 16, (1, 12, 12)
Make = Callable[[], nn.Module]


def _networks(make: Make) -> TrueAndPermuted:
    """Four that differ by a hundredth."""
    made = [make() for _ in range(4)]
    for seed, network in enumerate(made):
        stream = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1 + 0.01 * torch.randn(weights.shape, generator=stream).to(weights.dtype))
    return TrueAndPermuted(true=made[:2], permuted=made[2:])


def _localization(explainer: Explainer, make: Make, inputs: Tensor) -> Verdict:
    boxes = torch.tensor([[2.0, 2.0, 6.0, 6.0]]).expand(len(inputs), -1)
    return check_localization(explainer, make(), inputs, regions=boxes)


def _distancing(explainer: Explainer, make: Make, inputs: Tensor) -> Verdict:
    return check_distancing(
        explainer, make(), inputs, classes=(0, 1), data=(inputs, torch.arange(len(inputs)) % 2), alphas=(2,),
        epochs=1, min_agreement=0,
    )  # fmt: skip


Check = Callable[[Explainer, Make, Tensor], Verdict]
CHECKS: dict[str, Check] = {
    "contract": lambda explainer, make, x: check_contract(explainer, make(), x),
    "model": lambda explainer, make, x: check_model_sensitivity(explainer, make(), x),
    "target": lambda explainer, make, x: check_target_sensitivity(explainer, make(), x),
    "data": lambda explainer, make, x: check_data_sensitivity(explainer, inputs=x, models=_networks(make)),
    "consistency": lambda explainer, make, x: check_consistency(explainer, make(), x),
    "localization": _localization,
    "insertion": lambda explainer, make, x: check_insertion_deletion(explainer, make(), x),
    "insertion by lines": lambda explainer, make, x: check_insertion_deletion(
        explainer, make(), x, min_insertion=0.5, max_deletion=0.5
    ),
    "occlusion": lambda explainer, make, x: check_occlusion_sensitivity(explainer, make(), x),
    "distancing": _distancing,
}
every_check = pytest.mark.parametrize("check", CHECKS)


# Models that can show nothing.


def centered(scale: float = 1) -> nn.Sequential:
    """Logits of all signs, that large."""
    network = cnn()
    with torch.no_grad():
        network[-1].bias.sub_(network(images(64, seed=5)).mean(0)).mul_(scale)
        network[-1].weight.mul_(scale)
    return network


def softmax() -> nn.Module:
    return Wrapped(lambda scores: scores.softmax(1), centered(1e7)).eval()


def log_softmax() -> nn.Module:
    return Wrapped(lambda scores: scores.log_softmax(1).clamp_min(-100), centered(1e7)).eval()


def sigmoid() -> nn.Module:
    return Wrapped(lambda scores: scores.sigmoid(), centered(1e7)).eval()


def tanh() -> nn.Module:
    return Wrapped(lambda scores: scores.tanh(), centered(1e7)).eval()


def stepping() -> nn.Module:
    return Wrapped(lambda scores: (1e3 * scores).round() / 1e3, centered()).eval()


def underflowing() -> nn.Module:
    """Half precision: differences come through, gradients do not."""
    network = centered()
    for layer, scale in ((0, 3e-3), (2, 1e-2), (5, 1e-2)):
        network[layer].weight.data.mul_(scale), network[layer].bias.data.zero_()
    network[-1].bias.data.zero_()
    return network.half()


def dead() -> nn.Module:
    network = cnn()
    network[2].bias.data.fill_(-1e6)
    return network


def saturated_for_all() -> nn.Module:
    """One and the same class, with certainty."""
    return Wrapped(lambda scores: (1e5 * scores).softmax(1)).eval()


def saturated_for_two() -> nn.Module:
    """Sure of one class or the other by the first pixel, which `blob` does not point at."""
    weights = torch.zeros(4, 144)
    weights[:2, 0] = torch.tensor([1e6, -1e6])
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    network[1].weight.data.copy_(weights)
    network[1].bias.data.copy_(torch.tensor([-5e5, 5e5, -1e7, -1e7]))
    return Wrapped(lambda scores: scores.softmax(1), network).eval()


SATURATED = (
    "Wrapped is saturated; its outputs lie at the extremes of a softmax or a sigmoid, where they no longer "
    "respond to the input: explain the logits before it, with forward="
)
FLAT = (
    "is flat around these images (as with dead ReLUs, step functions, or underflow in half precision); explain "
    "another output with forward=, or use other weights, a wider dtype or other images"
)
GRADIENT = "the plain gradient's maps are constant on 8 of 8 images: "
MODELS: dict[str, tuple[Make, str, str]] = {
    "softmax": (softmax, "gate.model", GRADIENT + SATURATED),
    "log softmax": (log_softmax, "gate.model", GRADIENT + SATURATED),
    "sigmoid": (sigmoid, "gate.model", GRADIENT + SATURATED),
    "tanh": (tanh, "gate.model", GRADIENT + "Wrapped " + FLAT),
    "steps": (stepping, "gate.model", GRADIENT + "Wrapped " + FLAT),
    "underflow": (underflowing, "gate.model", GRADIENT + "Sequential " + FLAT),
    "dead ReLUs": (dead, "gate.images", "the model's logits are the same for all "),
    "one class": (
        saturated_for_all,
        "gate.images",
        "; its outputs lie at the extremes of a softmax or a sigmoid, ",
    ),
}


@pytest.mark.covering(2)
@every_check
@pytest.mark.parametrize("make, reason, text", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize(
    "explainer",
    [
        gradient,
        constant,
        *(pytest.param(one, marks=pytest.mark.extended) for one in (input_x_gradient, guided_backprop)),
    ],
    ids=lambda explainer: explainer.__name__,
)
def test_a_model_that_shows_nothing_is_named(
    explainer: Explainer, make: Make, reason: str, text: str, check: str
) -> None:
    verdict = CHECKS[check](explainer, make, images(N))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", reason), verdict
    assert text in verdict.summary


@pytest.mark.covering(2)
@every_check
@pytest.mark.parametrize(
    "make",
    [sigmoid, stepping, *(pytest.param(one, marks=pytest.mark.extended) for one in (underflowing, dead))],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize(
    "explainer",
    [partial(rise, samples=30), partial(integrated_gradients, steps=4), occlusion],
    ids=["rise", "integrated_gradients", "occlusion"],
)
def test_nor_are_explainers_accused_that_draw_something_there(
    explainer: Explainer, make: Make, check: str
) -> None:
    """RISE draws the mean of its masks, for instance: the same for every image."""
    if check != "distancing":
        verdict = CHECKS[check](explainer, make, images(N))
        assert verdict.outcome in ("inconclusive", "pass"), verdict


# Images that can show nothing.


def gray() -> Tensor:
    return torch.linspace(0.1, 1, N)[:, None, None, None].expand(N, *SHAPE).clone()


def colored() -> Tensor:
    return images(N, (3, 1, 1)).expand(N, 3, 12, 12).clone()


def rounded() -> Tensor:
    """One value everywhere, but for the last bit."""
    return gray() * (1 + 1e-7 * images(N))


def black() -> Tensor:
    return torch.zeros(N, *SHAPE)


def normalized_black() -> Tensor:
    return (torch.zeros(N, 3, 12, 12) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / 0.229


def nearly_black() -> Tensor:
    """What no model sees beside its biases."""
    return 1e-7 * images(N)


def mostly_gray() -> Tensor:
    return torch.cat([gray()[:12], images(4)])


ONE_VALUE = (
    "images have one value everywhere in each channel, as a black image does; such images cannot show anything: "
    "pass "
)
IMAGES: dict[str, tuple[Callable[[], Tensor], str]] = {
    "gray": (gray, f"16 of the 16 {ONE_VALUE}"),
    "colored": (colored, f"16 of the 16 {ONE_VALUE}"),
    "rounded": (rounded, f"16 of the 16 {ONE_VALUE}"),
    "mostly gray": (mostly_gray, f"12 of the 16 {ONE_VALUE}"),
    "black": (black, "all count as 1"),
    "normalized black": (normalized_black, "all count as 1"),
    "nearly black": (nearly_black, "logits are the same for all "),
}


@pytest.mark.covering(2)
@every_check
@pytest.mark.parametrize("make, text", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("explainer", [gradient, input_x_gradient], ids=lambda explainer: explainer.__name__)
def test_images_without_content_are_named(
    explainer: Explainer, make: Callable[[], Tensor], text: str, check: str
) -> None:
    inputs = make()
    verdict = CHECKS[check](explainer, partial(cnn, channels=inputs.shape[1]), inputs)
    if check in ("contract", "consistency") and "one value" in text:  # these can be seen on any images
        assert verdict.outcome == "pass"
    else:
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images"), verdict
        assert text in verdict.summary


@pytest.mark.covering
@every_check
@pytest.mark.parametrize("make", [gray, black, nearly_black], ids=lambda make: make.__name__)
@pytest.mark.parametrize("explainer", [constant, sobel, occlusion], ids=lambda explainer: explainer.__name__)
def test_constant_maps_of_constant_images_are_not_the_explainers_fault(
    explainer: Explainer, make: Callable[[], Tensor], check: str
) -> None:
    verdict = CHECKS[check](explainer, cnn, make())
    assert (verdict.outcome, verdict.reason) in {
        ("inconclusive", "gate.images"),
        *({("pass", "contract"), ("pass", "consistent")} if explainer is occlusion else ()),
    }


def test_tables_have_no_space_to_vary_in() -> None:
    rows = torch.linspace(0.1, 1, N)[:, None].expand(N, 24).clone()
    network = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))
    assert check_contract(constant, network, rows).reason == "constant"


# Hiding that moves nothing.


class WhetherBright(nn.Module):
    """Logits that no part of an image decides alone, and without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.amax((1, 2, 3)) > 1.5).to(x.dtype)[:, None])


def whether_bright() -> nn.Module:
    return seeded(WhetherBright).eval()


def bright_and_dark() -> Tensor:
    """In turn."""
    return images(N) + (torch.arange(N) % 2)[:, None, None, None]


def blob(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """A region in each image, at a place of its own."""
    maps = 1e-3 * inputs
    for number, one in enumerate(maps):
        top, left = 1 + number % 5, 1 + number // 2 % 5
        one[:, top : top + 3, left : left + 3] += 1 + inputs[number, :, top : top + 3, left : left + 3]
    return maps


@pytest.mark.parametrize("check", ["insertion", "occlusion"])
def test_hiding_that_moves_nothing(check: str) -> None:
    verdict = CHECKS[check](blob, saturated_for_two, images(N))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.model"), verdict
    found = re.search(r" does not change the score of (\d+) of 16 images: ", verdict.summary)
    assert int(found[1]) > 8
    assert verdict.summary.removesuffix(" [accuracy not checked]").endswith(SATURATED)


def test_hiding_what_has_the_infills_value_already() -> None:
    """The infill is the image itself."""
    inputs = images(N)
    verdict = check_occlusion_sensitivity(blob, cnn(), inputs, infill=inputs)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images")
    assert verdict.summary.startswith(
        "blob: inconclusive: hiding a region does not change the score of 16 of 16 images, because they already "
        "have the infill's value there; use another infill=, or images with content"
    )


# What is alive is judged as before.

FAULTY = {
    "contract": {constant: "constant", noise: "input_independent"},
    "model": {constant: "constant", sobel: "insensitive", noise: "insensitive"},
    "target": {constant: "constant", sobel: "insensitive", noise: "insensitive"},
    "data": {constant: "constant"},
    "consistency": {constant: "constant", noise: "inconsistent"},
    "localization": {constant: "constant", sobel: "misplaced", noise: "misplaced"},
    "insertion": {constant: "constant"},
    "insertion by lines": {constant: "constant", sobel: "irrelevant", noise: "irrelevant"},
    "occlusion": {constant: "constant"},
    "distancing": {constant: "constant"},
}


@pytest.mark.parametrize(
    "check, explainer, reason",
    [(check, explainer, reason) for check, faults in FAULTY.items() for explainer, reason in faults.items()],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_faulty_explainers_fail_on_ordinary_models(check: str, explainer: Explainer, reason: str) -> None:
    verdict = CHECKS[check](explainer, cnn, images(N))
    assert (verdict.outcome, verdict.reason) == ("fail", reason), verdict


def test_half_of_the_images_may_be_gray() -> None:
    inputs = torch.cat([gray()[:8], images(8)])
    assert check_consistency(constant, cnn(), inputs).reason == "constant"
    assert check_occlusion_sensitivity(gradient, cnn(), inputs).reason != "gate.images"


# Models without a gradient: occlusion is asked.


def detached(network: nn.Module) -> nn.Module:
    return Wrapped(lambda scores: scores.detach(), network).eval()


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "distancing"])
def test_without_a_gradient_occlusion_is_asked(check: str) -> None:
    alive = CHECKS[check](constant, lambda: detached(cnn()), images(N))
    assert (alive.outcome, alive.reason) == ("fail", "constant")
    silent = CHECKS[check](constant, whether_bright, bright_and_dark())
    assert (silent.outcome, silent.reason) == ("inconclusive", "gate.model"), silent
    assert "occlusion's maps are constant on " in silent.summary


# What it costs.


def test_the_gradient_is_asked_where_something_speaks_against_the_explainer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def counted(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        asked.append(len(inputs))
        return gradient(model, inputs, targets)

    monkeypatch.setattr(liveness, "gradient", counted)
    for check in ("contract", "consistency", "insertion", "occlusion"):
        assert CHECKS[check](gradient, cnn, images(N)).outcome == "pass"
    assert asked == []
    for check in ("contract", "consistency", "insertion", "occlusion"):
        assert CHECKS[check](constant, cnn, images(N)).outcome == "fail"
    assert asked == [8, 8, 8, 8]


def test_what_its_control_does_to_the_model_is_undone() -> None:
    model = sigmoid().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_contract(constant, model, images(N))
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_hint_names_uncalibrated_layers_in_every_course() -> None:
    def make() -> nn.Module:
        network = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(800, 4)
        )
        network[0].bias.data.fill_(-1e6)
        return network.eval()

    for check in ("contract", "consistency", "localization", "occlusion", "data"):
        verdict = CHECKS[check](gradient, make, images(N))
        assert verdict.reason == "gate.images"
        assert (
            "1 of the model's 1 BatchNorm layers (1) still have their initial statistics" in verdict.hint
        ), check
