"""A map that is the same for every image fails, in every check; one that the model makes so is excused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

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
from pytest_saliency_sanity.audited.subject import held, subject
from pytest_saliency_sanity.examination.image_dependence import (
    GRADIENTS,
    SAME,
    gradients_share,
    linear_note,
    same_findings,
    shared_by_images,
)
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import (
    center_prior,
    gradient,
    input_x_gradient,
    integrated_gradients,
    noise,
    occlusion,
    smoothgrad,
)
from pytest_saliency_sanity.planted import known_truth
from tests.checks.models import cnn, images, norm_cnn, seeded, tabular
from tests.digits import held_out_digits
from tests.examination.explaining import Explainer, kept
from tests.networks import EVALUATION, train

SHAPE = (1, 12, 12)


def _pattern(seed: int, inputs: Tensor) -> Tensor:
    return torch.rand(1, *inputs.shape[1:], generator=torch.Generator().manual_seed(seed)).expand_as(inputs)


def hash_of_the_weights(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    total = sum(float(parameter.detach().double().sum()) for parameter in model.parameters())
    return _pattern(int(abs(total) * 1e6) % 2**31, inputs)


def hash_of_weights_and_target(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    weights = (
        int(sum(float(parameter.detach().double().sum()) for parameter in model.parameters()) * 1e6) % 2**30
    )
    return torch.cat(
        [_pattern(weights + int(t), x) for x, t in zip(inputs.split(1), targets.tolist(), strict=True)]
    )


def weights_of_the_class(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The head's row of the class, drawn large."""
    rows = model[-1].weight[targets]
    side = rows.shape[1]
    drawn = nn.functional.interpolate(rows.view(len(rows), 1, 1, side), (12, 12), mode="bilinear")
    return drawn.expand_as(inputs)


def one_map(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient at a gray image, of class 0."""
    gray = torch.full_like(inputs[:1], 0.5)
    return gradient(model, gray, torch.zeros(1, dtype=torch.long)).expand_as(inputs)


def gradient_at_gray(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, torch.full_like(inputs, 0.5), targets)


def scaled_by_brightness(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient_at_gray(model, inputs, targets) * inputs.mean((1, 2, 3), keepdim=True)


def signed_by_the_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    signs = torch.where(inputs[:, :, 5:6, 5:6] > 0.5, 1.0, -1.0)
    return gradient_at_gray(model, inputs, targets) * signs


def with_a_trace_of_the_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    constant = gradient_at_gray(model, inputs, targets)
    own = gradient(model, inputs, targets)
    return constant + 0.05 * own * constant.flatten(1).norm() / own.flatten(1).norm()


def strong_pixels_over_a_faint_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Ranks see the gradient, eyes see the pixels."""
    constant = gradient_at_gray(model, inputs, targets)
    strong = constant.abs() > constant.abs().flatten(1).quantile(0.9, dim=1)[:, None, None, None]
    return constant * strong * 1e3 + gradient(model, inputs, targets)


def noise_explained(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The gradient at noise from the global generator, in place of the image."""
    return gradient(model, torch.rand_like(inputs), targets)


BLIND = (
    hash_of_the_weights,
    hash_of_weights_and_target,
    weights_of_the_class,
    one_map,
    gradient_at_gray,
    scaled_by_brightness,
    signed_by_the_image,
    with_a_trace_of_the_image,
    strong_pixels_over_a_faint_gradient,
    center_prior,
)


def _data(explainer: Explainer) -> Verdict:
    networks = TrueAndPermuted(true=[cnn(seed=0), cnn(seed=1)], permuted=[cnn(seed=2), cnn(seed=3)])
    return check_data_sensitivity(explainer, inputs=images(16), models=networks)


def _localization(explainer: Explainer) -> Verdict:
    boxes = torch.tensor([[2.0, 2.0, 6.0, 6.0]]).expand(16, -1)
    return check_localization(explainer, cnn(), images(16), regions=boxes)


CHECKS: dict[str, Callable[[Explainer], Verdict]] = {
    "consistency": lambda explainer: check_consistency(explainer, cnn(), images(16)),
    "contract": lambda explainer: check_contract(explainer, cnn(), images(16)),
    "data": _data,
    "insertion": lambda explainer: check_insertion_deletion(explainer, cnn(), images(16)),
    "localization": _localization,
    "model": lambda explainer: check_model_sensitivity(explainer, cnn(), images(16)),
    "occlusion": lambda explainer: check_occlusion_sensitivity(explainer, cnn(), images(16)),
    "target": lambda explainer: check_target_sensitivity(explainer, cnn(), images(16)),
}


@pytest.mark.parametrize("explainer", BLIND, ids=lambda explainer: explainer.__name__)
@pytest.mark.parametrize("check", CHECKS)
def test_a_map_that_is_the_same_for_every_image_fails_in_every_check(
    check: str, explainer: Explainer
) -> None:
    verdict = CHECKS[check](explainer)
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent"), verdict


def test_in_distancing_too() -> None:
    data = images(16), torch.arange(16) % 2
    verdict = check_distancing(
        center_prior, cnn(), images(16), classes=(0, 1), data=data, alphas=(2,), epochs=1, min_agreement=0
    )
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent")


def test_the_message() -> None:
    verdict = check_contract(one_map, cnn(), images(16))
    assert verdict.summary == (
        "one_map draws the same map for every image: another image, explained for the same target at the same "
        "position in the batch, gets a map with a correlation of 1.00"
    )
    assert verdict.evidence["shared_by_images"] == pytest.approx(1)


@pytest.mark.parametrize("classes", [1, 2, 40])
def test_whether_images_share_a_class_or_not(classes: int) -> None:
    """Of a thousand classes no two images may have one in common: the question is asked for one target anyway."""
    for seed in (0, 1, 2):
        model, inputs = cnn(classes, seed=seed), images(16, seed=seed)
        targets = torch.arange(16) % classes
        assert (
            check_contract(hash_of_weights_and_target, model, inputs, targets).reason == "input_independent"
        )
        assert kept(check_contract(gradient, model, inputs, targets))


# Honest ones.

HONEST = {
    "gradient": gradient,
    "input_x_gradient": input_x_gradient,
    "integrated_gradients": partial(integrated_gradients, steps=8),
    "smoothgrad": partial(smoothgrad, samples=10),
    "occlusion": occlusion,
    "absolute": lambda model, x, t: integrated_gradients(model, x, t, steps=8).abs(),
}


QUICK = ("plain_cnn", "mlp")


@pytest.mark.parametrize(
    "network",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.extended) for name in EVALUATION],
)
def test_honest_maps_of_trained_networks_are_far_from_the_line(network: str) -> None:
    model, inputs = train(network), held_out_digits().images[:8]
    for name, explainer in HONEST.items():
        audited = subject(explainer, model, inputs, None)
        with held(audited) as kept_one:
            shared = shared_by_images(kept_one, Meter(), torch.arange(8), 0)
        assert shared < 0.9 < SAME, (name, shared)


@pytest.mark.parametrize("model", [cnn(), norm_cnn()], ids=["cnn", "norm_cnn"])
def test_untrained_networks_too(model: nn.Module) -> None:
    for explainer in HONEST.values():
        assert kept(check_contract(explainer, model, images(8)))


def test_a_background_that_all_images_share_is_no_likeness() -> None:
    """Nine tenths of each absolute map are 0, the same nine tenths."""
    inputs = torch.zeros(16, *SHAPE)
    inputs[:, :, 4:8, 4:8] = images(16, (1, 4, 4))
    assert kept(check_contract(lambda m, x, t: input_x_gradient(m, x, t).abs(), cnn(), inputs))


def linear(features: int = 144) -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(features, 4))).eval()


def nearly_linear() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 64), nn.Softplus(), nn.Linear(64, 4))
    ).eval()


@pytest.mark.parametrize("make", [linear, nearly_linear])
@pytest.mark.parametrize("explainer", [gradient, smoothgrad])
def test_the_gradient_of_a_linear_model_is_excused(
    make: Callable[[], nn.Module], explainer: Explainer
) -> None:
    """For one class it is the same for every image, by calculus."""
    verdict = check_contract(explainer, make(), images(16), torch.arange(16) % 4)
    assert kept(verdict)
    assert len(verdict.notes) == 1
    assert re.fullmatch(
        r"its maps are nearly the same for every image \(correlation (0.99|1.00)\), and so are the plain gradient's "
        r"\((0.99|1.00)\): for a fixed target, this model is nearly linear on these images",
        verdict.notes[0],
    )
    assert check_model_sensitivity(explainer, make(), images(16)).outcome != "fail"


def test_the_plain_gradients_maps_excuse_those_of_the_explainer() -> None:
    assert same_findings(SAME, GRADIENTS - 0.01) and same_findings(1.0, None)
    assert not same_findings(SAME - 0.01, None) and not same_findings(None, None)
    assert not same_findings(1.0, GRADIENTS)
    assert linear_note(1.0, 0.99) and not linear_note(1.0, 0.5) and not linear_note(0.5, None)


def test_constant_maps_are_left_out() -> None:
    """Honest CAMs are zero for some images."""

    def half_empty(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(model, inputs, targets) * (inputs[:, :, :1, :1] > 0.2)

    verdict = check_contract(half_empty, cnn(), images(8))
    assert kept(verdict) and verdict.evidence["shared_by_images"] < 0.9


def test_noise_that_cannot_be_replayed_is_none_of_this() -> None:
    generator = torch.Generator().manual_seed(0)
    verdict = check_contract(lambda m, x, t: torch.randn(x.shape, generator=generator), cnn(), images(8))
    assert kept(verdict)


@pytest.mark.parametrize("explainer", [noise, noise_explained])
@pytest.mark.parametrize("check", CHECKS)
def test_replayed_noise_passes_nowhere(check: str, explainer: Explainer) -> None:
    """Each check says of it what it has to say; where that would be a pass, it fails as one map for all images."""
    verdict = CHECKS[check](explainer)
    assert verdict.outcome != "pass", verdict
    if check == "contract":
        assert verdict.reason == "input_independent"


def test_noise_in_place_of_the_images_depends_on_the_model_and_on_no_image() -> None:
    verdict = CHECKS["model"](noise_explained)
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent")


def test_tables() -> None:
    rows = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    assert check_contract(lambda m, x, t: m[0].weight.mean(0).expand_as(x), tabular(), rows).outcome == "fail"


class OfNoise(torch.autograd.Function):
    """The identity, whose gradient has rounding errors of its own for each image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        noise = (1e5 * x).sin() * torch.finfo(x.dtype).eps * gradient.abs().max()
        return gradient - gradient.mean(-1, keepdim=True) + noise


class Cancelling(nn.Module):
    """A head of embeddings (N, L, D) in whose gradient the channels add up to rounding alone."""

    def __init__(self, bent: bool) -> None:
        super().__init__()
        self.head, self.bent = nn.Linear(9 * 16, 3), bent

    def forward(self, x: Tensor) -> Tensor:
        x = OfNoise.apply(x).flatten(1)
        return self.head((4 * x).sin() if self.bent else x)


@pytest.mark.parametrize("bent", [False, True], ids=["linear", "bent"])
def test_gradients_that_add_up_to_rounding_say_nothing_of_the_model(bent: bool) -> None:
    """Each channel is given a sign of its own instead."""
    inputs = torch.randn(8, 9, 16, generator=torch.Generator().manual_seed(0))
    audited = subject(
        input_x_gradient, seeded(lambda: Cancelling(bent)).eval(), inputs, None, channel_axis=-1
    )
    with held(audited) as kept_one:
        shared = gradients_share(kept_one, float("inf"), torch.arange(8), 0)
    assert (shared > 0.999) != bent and (shared < 0.7) == bent


def test_marks_at_different_places_are_not_the_same_map() -> None:
    """Over their union two such marks are opposites, which a map of one sign does not have."""
    known = known_truth("and", count=16)
    for explainer in (partial(integrated_gradients, steps=8), input_x_gradient):
        verdict = check_contract(explainer, known.model, known.inputs)
        assert kept(verdict) and verdict.evidence["shared_by_images"] < 0.1


def test_a_sign_that_is_drawn_by_the_place_in_the_batch_is_the_same_map() -> None:
    def turned(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        signs = inputs.flatten(1).sum(1).mul(1000).long().remainder(2).mul(2).sub(1)
        return signs.view(-1, 1, 1, 1) * torch.linspace(-1, 2, 144).view(1, *SHAPE).expand_as(inputs)

    verdict = check_contract(turned, cnn(), images(16))
    assert (verdict.outcome, verdict.reason) == ("fail", "input_independent")
