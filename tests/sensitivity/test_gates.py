"""What has to hold before a verdict means something."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    SanityCheckInconclusive,
    assert_model_sensitive,
    check_model_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.explainers import constant, gradient, guided_backprop, sobel
from tests.checks.models import Wrapped, cnn, images, seeded
from tests.checks.verdicts import checked
from tests.digits import held_out_digits
from tests.networks import train


class Masked(nn.Module):
    """A network that sees a part of the image only."""

    def __init__(self, network: nn.Module, seen: Tensor) -> None:
        super().__init__()
        self.network, self.seen = network, seen

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.seen)


# Gates.


def test_labels_at_chance() -> None:
    labels = (held_out_digits().labels[:32] + 3) % 10
    verdict = checked(gradient, labels=labels)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.accuracy")
    assert re.fullmatch(
        r"gradient: inconclusive: the model predicts \d of 32 labels correctly, no better than chance "
        r"\(0\.\d\d, the accuracy of the best constant answer\); its maps "
        r"cannot show whether they depend on what it learned",
        verdict.summary,
    )
    with pytest.raises(SanityCheckInconclusive):
        assert_model_sensitive(gradient, train("plain_cnn"), held_out_digits().images[:32], labels=labels)


def test_labels_of_one_class() -> None:
    digits = held_out_digits()
    threes = digits.images[digits.labels == 3][:16]
    verdict = check_model_sensitivity(gradient, train("plain_cnn"), threes, labels=[3] * 16)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.accuracy")
    assert re.fullmatch(
        r"gradient: inconclusive: all 16 labels are 3: a constant answer is at least as accurate as the model "
        r"\(1\d of 16\); add images of other classes",
        verdict.summary,
    )


def test_a_dead_network_is_not_the_explainers_fault() -> None:
    """No ReLU of it passes anything: the honest gradient is zero everywhere."""
    network = cnn()
    network[2].bias.data.fill_(-1e6)
    for explainer in (gradient, constant):
        verdict = check_model_sensitivity(explainer, network, images(16), labels=[0, 1, 2, 3] * 4)
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images")


def test_without_labels_it_is_said() -> None:
    assert checked(sobel, labels=None).summary.endswith(" [accuracy not checked]")
    assert "accuracy" not in checked(sobel).summary


def test_random_weights_may_be_audited() -> None:
    model, inputs = cnn(), images(32, (1, 12, 12))
    assert check_model_sensitivity(gradient, model, inputs).outcome == "pass"
    assert check_model_sensitivity(sobel, model, inputs).outcome == "fail"


@pytest.mark.parametrize("explainer", [gradient, guided_backprop])
def test_images_that_are_one_and_the_same(explainer: Callable[..., Any]) -> None:
    """To the model: it sees only the left edge, where no digit has ink."""
    seen = torch.zeros(1, 1, 28, 28)
    seen[..., 0] = 1
    verdict = check_model_sensitivity(
        explainer, Masked(train("plain_cnn"), seen).eval(), held_out_digits().images[:16], name="mine"
    )
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.images")
    assert verdict.summary == (
        "mine: inconclusive: the model's logits are the same for all 16 images, so these images cannot show anything"
    )


def test_images_that_are_all_alike() -> None:
    """One digit, lighter and darker: the edges are the same in all of them."""
    lighter = torch.linspace(0.6, 1, 16)[:, None, None, None] * held_out_digits().images[:1]
    verdict = check_model_sensitivity(gradient, train("plain_cnn"), lighter)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert (
        "even Sobel's edges cannot tell the images apart (rank correlation 1.00 between different images); with "
        "this model and these" in verdict.summary
    )


class Skipping(nn.Module):
    """Logits that are all but free of the blocks that can be re-initialized."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()
        self.fixed = seeded(lambda: (torch.randn(144, 64), torch.randn(64, 4)))

    def forward(self, x: Tensor) -> Tensor:
        return 100 * (x.flatten(1) @ self.fixed[0]).relu() @ self.fixed[1] + 1e-3 * self.network(x)


def test_a_model_that_cannot_show_anything() -> None:
    """The plain gradient stays as well: the verdict of no explainer means something here."""
    for explainer in (gradient, sobel):
        verdict = check_model_sensitivity(explainer, Skipping().eval(), images(16), name="mine")
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
        assert re.fullmatch(
            r"mine: inconclusive: even the plain gradient, which should pass, retains 1\.00 \(upper bound 1\.00\) "
            r"when the upper third \(network\.7 … network\.5\) is re-initialized; with this model and these images, "
            r"it cannot be shown whether an explainer depends on the model",
            verdict.summary,
        )


def test_a_bottleneck_of_one_unit_fails_no_explainer() -> None:
    """What is above it decides the sign of an honest gradient, and nothing else."""
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 1), nn.Tanh(),
            nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 4),
        )
    ).eval()  # fmt: skip
    verdict = check_model_sensitivity(gradient, model, images(32))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")


class Bypassed(nn.Module):
    """Its network runs and has a gradient, of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.network = cnn()

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] + 0 * self.network(x)


def dying() -> nn.Module:
    """Logits that pass a threshold which re-initialized weights are too small for."""
    network = cnn()
    network[-1].weight.data.mul_(1e6)
    return Wrapped(lambda scores: (scores - 1e3).relu(), network)


def overflowing() -> nn.Module:
    """Logits that are finite as long as the head is small."""
    network = cnn()
    network[-1].weight.data.mul_(1e-9), network[-1].bias.data.zero_()
    return Wrapped(lambda scores: (1e5 * scores).exp(), network)


UNUSABLE = {
    "unchanged": (Bypassed, "re-initializing network.7 … network.5 (2 of 4 blocks) changed no logit"),
    "dead": (dying, "the logits at 'upper' are the same for every image"),
    "not finite": (overflowing, "the logits at 'upper' are not finite"),
}


@pytest.mark.parametrize("make, text", UNUSABLE.values(), ids=UNUSABLE)
def test_copies_that_cannot_show_anything(make: Callable[[], nn.Module], text: str) -> None:
    verdict = check_model_sensitivity(sobel, make().eval(), images(8), name="mine")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.randomization")
    assert verdict.summary == f"mine: inconclusive: {text}; such a copy of the model cannot show anything"


def test_mostly_constant_maps() -> None:
    def of_few(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        brightest = inputs.mean((1, 2, 3), keepdim=True) > images(16).mean((1, 2, 3)).topk(2).values[1]
        return gradient(model, inputs, targets) * brightest

    verdict = check_model_sensitivity(of_few, cnn(), images(16))
    assert (verdict.outcome, verdict.reason) in {("inconclusive", "gate.constant_maps"), ("fail", "constant")}


# BatchNorm that was never shown an image.


def fading(momentum: float | None = 0.1) -> nn.Sequential:
    """Four layers through which no signal comes without statistics of it."""
    layers = [
        part
        for channels in (1, 8, 8, 8)
        for part in (nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8, momentum=momentum), nn.ReLU())
    ]
    model = seeded(lambda: nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 4)))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.mul_(1e-3), module.bias.data.zero_()
    return model.eval()


def flattening() -> nn.Module:
    """Alive as it is, dead as soon as its head is drawn at another scale."""
    network = nn.Sequential(nn.BatchNorm2d(1), *cnn())
    network[-1].weight.data.mul_(1e6)
    return Wrapped(lambda scores: (scores - 1e3).relu(), network)


UNCALIBRATED = {
    "its own logits": (fading, "gate.images", "4 of the model's 4 BatchNorm layers (1, …) still have"),
    "its copies'": (
        flattening,
        "gate.randomization",
        "1 of the model's 1 BatchNorm layers (network.0) still have",
    ),
}
WAY_OUT = (
    "pass some batches of images through the model in training mode (model.train(); model(images)), or load trained "
    "weights"
)


@pytest.mark.parametrize("make, reason, text", UNCALIBRATED.values(), ids=UNCALIBRATED)
def test_batch_norm_that_was_never_calibrated_is_named(
    make: Callable[[], nn.Module], reason: str, text: str
) -> None:
    verdict = check_model_sensitivity(gradient, make().eval(), images(16))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", reason)
    assert verdict.hint.startswith(text) and verdict.hint.endswith(WAY_OUT)


def test_its_way_out_leads_out() -> None:
    model = fading(momentum=None)
    model.train()(images(16))
    assert check_model_sensitivity(gradient, model.eval(), images(16)).outcome == "pass"


def test_other_checks_name_it_too() -> None:
    verdict = check_target_sensitivity(gradient, fading(), images(16))
    assert verdict.reason == "gate.images" and verdict.hint.endswith(WAY_OUT)


def test_calibrated_batch_norm_is_not_blamed() -> None:
    model = fading()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.fill_(2)
    verdict = check_model_sensitivity(gradient, model, images(16))
    assert verdict.reason == "gate.images" and not verdict.hint


def test_nothing_is_said_of_it_where_one_image_is_there_many_times() -> None:
    for check in (check_model_sensitivity, check_target_sensitivity):
        verdict = check(gradient, fading(), images(1).expand(16, 1, 12, 12))
        assert verdict.reason == "gate.images" and not verdict.hint


def test_nothing_is_said_of_it_where_the_gates_hold() -> None:
    verdict = check_model_sensitivity(gradient, nn.Sequential(nn.BatchNorm2d(1), cnn()).eval(), images(16))
    assert verdict.outcome == "pass" and not verdict.hint


def test_a_fresh_mobilenet() -> None:
    models = pytest.importorskip("torchvision.models")
    model = seeded(lambda: models.mobilenet_v3_small(weights=None, num_classes=4)).eval()
    verdict = check_model_sensitivity(gradient, model, images(16, (3, 32, 32)), profile="smoke")
    assert verdict.reason == "gate.randomization"
    assert verdict.hint.startswith(
        "34 of the model's 34 BatchNorm layers (features.0.1, …) still have their initial statistics"
    )
