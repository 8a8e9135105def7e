"""Insertion and deletion curves, beside a slow reference: one image, one step, one forward pass at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.insertion import (
    NOISE,
    area_between,
    auc,
    blurred,
    least_first,
    linearly_imputed,
    normalized,
    perturbation_curves,
    ranked,
    smooth_random_maps,
)

SHAPES = [(3, 8, 8), (3, 7, 9), (2, 31), (1, 4, 3, 5)]


class Counting(nn.Module):
    """A small network for any number of spatial axes, which notes the size of each batch."""

    def __init__(self, *shape: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(int(np.prod(shape)), 16), nn.Tanh(), nn.Linear(16, classes)
        )
        self.sizes: list[int] = []
        self.gradients: list[bool] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.sizes.append(len(inputs))
        self.gradients.append(torch.is_grad_enabled())
        return self.layers(inputs)


def setting(*shape: int, n: int = 3) -> tuple[Counting, Tensor, Tensor, Tensor]:
    """A network, n images, their maps without ties, and targets."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, *shape, generator=generator) * 2
    maps = torch.randn(n, *shape[1:], generator=generator)
    return Counting(*shape).eval(), inputs, maps, torch.arange(n) % 4


# The reference, from the paper and its program.


def published_blur(image: np.ndarray) -> np.ndarray:
    """RISE's gkern(11, 5) and conv2d(x, kern, padding=5), for (C, *S)."""
    impulse = np.zeros((11,) * (image.ndim - 1))
    impulse[(5,) * (image.ndim - 1)] = 1
    kernel = scipy.ndimage.gaussian_filter(impulse, 5)
    return np.stack([scipy.ndimage.convolve(c, kernel, mode="constant", cval=0.0) for c in image])


def reference(
    model: nn.Module, image: Tensor, ranking: np.ndarray, target: int, steps: int, infill: Tensor, mode: str
) -> list[float]:
    """RISE's CausalMetric.single_run: from `start` to `finish`, some pixels at a time."""
    start, finish = (image, infill) if mode == "deletion" else (infill, image)
    current, finish = start.clone().flatten(1), finish.flatten(1)
    salient_order = np.argsort(-ranking, kind="stable")
    scores = []
    for step in range(steps + 1):
        moved = salient_order[: step * len(ranking) // steps]
        current[:, moved] = finish[:, moved]
        with torch.no_grad():
            scores.append(model(current.view(1, *image.shape)).softmax(1)[0, target].item())
    return scores


def references(
    model: nn.Module, inputs: Tensor, maps: Tensor, targets: Tensor, steps: int, infills: Tensor, mode: str
) -> np.ndarray:
    """(n, steps + 1) the reference, image after image."""
    flat = maps.flatten(1).numpy()
    return np.array(
        [
            reference(model, image, row, int(target), steps, infill, mode)
            for image, row, target, infill in zip(inputs, flat, targets, infills, strict=True)
        ]
    )


# Curves.


@pytest.mark.parametrize("steps", [1, 2, 6, 12])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_protocol_of_rise_equals_the_reference(shape: tuple[int, ...], steps: int) -> None:
    model, inputs, maps, targets = setting(*shape)
    curves = perturbation_curves(model, inputs, maps, targets, steps=steps, batch_size=7)
    blur = torch.from_numpy(np.stack([published_blur(image) for image in inputs.double().numpy()])).float()
    starts = {"insertion": blur, "deletion": torch.zeros_like(inputs)}
    for mode, infills in starts.items():
        expected = references(model, inputs, maps, targets, steps, infills, mode)
        assert curves.scores[mode].shape == (1, 3, steps + 1)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


@pytest.mark.parametrize("infill", [torch.tensor(0.7), torch.randn(3, 1, 1), torch.randn(3, 3, 7, 9)])
def test_a_tensor_is_infilled(infill: Tensor) -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill=infill)
    for mode in ("insertion", "deletion"):
        expected = references(model, inputs, maps, targets, 5, infill.expand_as(inputs), mode)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


def test_each_mode_may_have_its_infill() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    infill = {"insertion": "zero", "deletion": "blur"}
    curves = perturbation_curves(model, inputs, maps, targets, steps=5, infill=infill)
    for mode, infills in (("insertion", torch.zeros_like(inputs)), ("deletion", blurred(inputs))):
        expected = references(model, inputs, maps, targets, 5, infills, mode)
        np.testing.assert_allclose(curves.scores[mode][0], expected, atol=1e-6)


def test_224_pixels_a_step_of_a_whole_photograph() -> None:
    pixels = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    inputs, maps = torch.ones(1, 2, 224, 224), torch.randn(1, 224, 224)
    curves = perturbation_curves(pixels, inputs, maps, [0], modes="deletion", score="logit")
    assert curves.scores["deletion"].shape == (1, 1, 225)
    kept = 1 - torch.arange(225) * 224 / 224**2
    torch.testing.assert_close(curves.scores["deletion"][0, 0], kept, atol=1e-5, rtol=0)
    torch.testing.assert_close(curves.fractions, 1 - kept)


def test_small_images_move_one_pixel_a_step() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    assert perturbation_curves(model, inputs, maps, targets).fractions.tolist() == pytest.approx(
        [i / 63 for i in range(64)]
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype) -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    single = perturbation_curves(model, inputs, maps, targets, steps=5)
    seen = []

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        seen.append(inputs.dtype)
        return model(inputs)

    model = model.to(dtype)
    other = perturbation_curves(model, inputs.to(dtype), maps.to(dtype), targets, steps=5, forward=forward)
    assert set(seen) == {dtype}
    tolerance = 1e-6 if dtype is torch.float64 else 0.05
    for mode, scores in other.scores.items():
        assert scores.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
        torch.testing.assert_close(scores.float(), single.scores[mode], atol=tolerance, rtol=0)


def test_scores_of_weights_and_logits() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    weights = torch.nn.functional.one_hot(targets, 4) * 2.0
    for score in ("softmax", "logit"):
        one = perturbation_curves(model, inputs, maps, targets, steps=4, score=score)
        two = perturbation_curves(model, inputs, maps, weights, steps=4, score=score)
        torch.testing.assert_close(one.scores["deletion"] * 2, two.scores["deletion"])
    with torch.no_grad():
        expected = model(inputs).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(one.scores["deletion"][0, :, 0], expected)


def test_several_rankings_are_those_of_one_at_a_time() -> None:
    model, inputs, maps, targets = setting(3, 7, 9)
    rankings = torch.stack((ranked(maps), least_first(ranked(maps)), ranked(torch.randn(3, 7, 9))))
    together = perturbation_curves(model, inputs, rankings, targets, steps=6)
    for place, ranking in enumerate(rankings):
        alone = perturbation_curves(model, inputs, ranking, targets, steps=6)
        for mode in ("insertion", "deletion"):
            torch.testing.assert_close(together.scores[mode][place], alone.scores[mode][0])
    several_maps = torch.stack((maps, -maps))
    torch.testing.assert_close(
        perturbation_curves(model, inputs, several_maps, targets, steps=6).scores["insertion"],
        together.scores["insertion"][:2],
    )


# Costs, and the model.


@pytest.mark.parametrize(
    "infill, infills", [({"insertion": "blur", "deletion": "zero"}, 2), ("zero", 1), (torch.zeros(()), 1)]
)
def test_ends_are_evaluated_once_and_batches_are_full(infill: Any, infills: int) -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    rankings = torch.stack([ranked(maps), least_first(ranked(maps))])
    perturbation_curves(model, inputs, rankings, targets, steps=6, infill=infill, batch_size=10)
    images = 3 * (1 + infills) + 2 * 3 * 2 * 5
    assert sum(model.sizes) == images
    assert model.sizes == [10] * (images // 10) + [images % 10] * (images % 10 > 0)


def test_the_model_is_left_alone_and_no_gradients_are_made() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs.requires_grad_()
    kept = inputs.detach().clone()
    curves = perturbation_curves(model, inputs, maps.requires_grad_(), targets, steps=4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(model.gradients) and not curves.scores["insertion"].requires_grad
    assert torch.equal(inputs, kept) and inputs.grad is None
    assert torch.is_grad_enabled()


def test_global_generators_stand_still() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    before = torch.get_rng_state()
    perturbation_curves(model, inputs, maps, targets, steps=2, infill="noisy_linear")
    smooth_random_maps(maps, 0)
    assert torch.equal(torch.get_rng_state(), before)


# Rankings.


def test_places_go_from_the_largest_value_to_the_smallest() -> None:
    assert ranked(torch.tensor([[0.5, -2.0, 3.0, 1.0]])).tolist() == [[2, 3, 0, 1]]
    assert least_first(ranked(torch.tensor([[0.5, -2.0, 3.0, 1.0]]))).tolist() == [[1, 0, 3, 2]]


def test_ties_are_broken_by_the_seed_and_not_by_position() -> None:
    maps = torch.zeros(2, 20, 20)
    maps[:, 4, 4] = 1
    one, same, other = ranked(maps, 1), ranked(maps, 1), ranked(maps, 2)
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    assert (one.view(2, 20, 20)[:, 4, 4] == 0).all()
    assert torch.equal(one.sort().values, torch.arange(400, dtype=torch.int32).expand(2, -1))
    ties = one.view(2, 20, 20).float()
    assert abs(ties[:, :10].mean() - ties[:, 10:].mean()) < 40  # by position it would be 200


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_are_not_finite_have_no_ranking(value: float) -> None:
    with pytest.raises(ValueError, match=r"^maps must be finite to be ranked, got NaN or infinite values\.$"):
        ranked(torch.tensor([[0.0, value]]))


# Infills.


@pytest.mark.parametrize("shape", [(3, 30, 24), (2, 9, 5), (2, 40), (1, 12, 6, 13)], ids=str)
def test_the_blur_is_that_of_the_published_evaluation(shape: tuple[int, ...]) -> None:
    inputs = torch.randn(2, *shape, dtype=torch.float64)
    expected = np.stack([published_blur(image) for image in inputs.numpy()])
    np.testing.assert_allclose(blurred(inputs), expected, atol=1e-12)
    torch.testing.assert_close(blurred(inputs.float()), torch.from_numpy(expected).float())


def test_the_blur_keeps_the_mean_and_mirrors_what_a_cut_gaussian_loses() -> None:
    impulse = torch.zeros(1, 1, 21, dtype=torch.float64)
    impulse[..., 10] = 1
    kernel = blurred(impulse)[0, 0, 5:16]
    weights = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / 50)
    assert kernel.sum().item() == pytest.approx(1)
    assert kernel[5] < weights[5] / weights.sum()  # flatter
    folded = [weights_of(place) for place in range(11)]
    np.testing.assert_allclose(kernel, folded, atol=1e-12)


def weights_of(place: int) -> float:
    """A Gaussian of σ = 5 cut at 20, folded into 11 places by mirrors at both borders."""
    weights = np.exp(-(np.arange(-20, 21) ** 2) / 50)
    mirrored = [x % 22 if x % 22 < 11 else 21 - x % 22 for x in range(-15, 26)]
    return float(weights[np.array(mirrored) == place].sum() / weights.sum())


def dense_imputation(image: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """ROAD's equations, a pixel and a neighbor at a time, solved densely."""
    height, width = hidden.shape
    system, right = np.eye(height * width), image.reshape(len(image), -1).T.copy()
    for y, x in zip(*np.nonzero(hidden), strict=True):
        row, total = y * width + x, 0.0
        right[row] = 0
        for dy, dx in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]:
            if 0 <= y + dy < height and 0 <= x + dx < width:
                weight = 1 / 12 if dy and dx else 1 / 6
                system[row, (y + dy) * width + x + dx] -= weight
                total += weight
        system[row, row] = total
    return np.linalg.solve(system, right).T.reshape(image.shape)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("side", [(5, 6), (1, 8), (9, 2)], ids=str)
def test_linear_imputation_equals_a_dense_solve(side: tuple[int, int], share: float) -> None:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(2, *side, generator=generator, dtype=torch.float64)
    hidden = torch.rand(side, generator=generator) < share
    hidden[0, 0], hidden[0, 1] = True, False
    found = linearly_imputed(image, hidden)
    np.testing.assert_allclose(found, dense_imputation(image.numpy(), hidden.numpy()), atol=1e-10)
    assert torch.equal(found[:, ~hidden], image[:, ~hidden])


def test_curves_with_noisy_linear_imputation() -> None:
    model, inputs, maps, targets = setting(3, 5, 6)
    seen: list[Tensor] = []

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return model(inputs)

    options: dict[str, Any] = {"steps": 3, "infill": "noisy_linear", "forward": forward, "batch_size": 4}
    perturbation_curves(model, inputs, maps, targets, **options)
    images = torch.cat(seen)
    assert torch.equal(images[:3], inputs)
    means = inputs.mean((2, 3), keepdim=True)
    noise = images[3:6] - means
    assert 0.7 * NOISE < noise.std() < 1.3 * NOISE
    expected = [
        torch.where(hidden, linearly_imputed(image, hidden).float() + added, image)
        for mode in ("insertion", "deletion")
        for image, ranking, added in zip(inputs, ranked(maps).view(3, 5, 6), noise, strict=True)
        for hidden in (
            [ranking >= k for k in (10, 20)] if mode == "insertion" else [ranking < 10, ranking < 20]
        )
    ]
    torch.testing.assert_close(images[6:], torch.stack(expected))


def test_linear_imputation_needs_a_known_pixel() -> None:
    with pytest.raises(ValueError, match=r"^linear imputation needs a known pixel, but all 6 are hidden$"):
        linearly_imputed(torch.zeros(1, 2, 3), torch.ones(2, 3, dtype=torch.bool))


# Areas.


def test_the_area_is_that_of_the_published_program() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.5, 0.0], [0.2, 0.9, 0.4]])
    torch.testing.assert_close(auc(scores), torch.tensor([1.0, 0.5, (1.5 - 0.1 - 0.2) / 2]))
    curve = torch.rand(5, 8, dtype=torch.float64)
    torch.testing.assert_close(auc(curve), torch.trapezoid(curve, dx=1 / 7))


def test_the_curves_know_their_areas() -> None:
    model, inputs, maps, targets = setting(3, 8, 8)
    curves = perturbation_curves(model, inputs, maps, targets, steps=4)
    assert torch.equal(curves.aucs["deletion"], auc(curves.scores["deletion"]))
    assert torch.equal(curves.normalized_aucs["insertion"], auc(normalized(curves.scores["insertion"])))
    assert list(curves.aucs) == ["insertion", "deletion"] and curves.aucs["deletion"].shape == (1, 3)


def test_normalized_curves_run_from_the_lower_end_to_the_higher() -> None:
    falling, rising = torch.tensor([0.9, 0.3, 0.1]), torch.tensor([0.1, 1.0, 0.9])
    torch.testing.assert_close(normalized(falling), torch.tensor([1.0, 0.25, 0.0]))
    torch.testing.assert_close(normalized(rising), torch.tensor([0.0, 1.125, 1.0]))
    assert normalized(torch.tensor([0.4, 0.9, 0.4])).isnan().all()


def test_the_area_between_of_a_linear_model_rewards_its_own_ranking() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    inputs = torch.rand(5, 1, 8, 8)
    maps = inputs[:, 0] * linear[1].weight[0].view(8, 8)
    rankings = torch.stack((least_first(ranked(maps)), ranked(maps)))
    curves = perturbation_curves(linear.eval(), inputs, rankings, [0] * 5, score="logit", modes="deletion")
    least, most = curves.scores["deletion"]
    assert (area_between(least, most) > 0).all()
    torch.testing.assert_close(area_between(most, least), -area_between(least, most))


# Random maps of the same smoothness.


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (31,), (4, 3, 6)], ids=str)
def test_random_maps_share_the_power_spectrum(shape: tuple[int, ...]) -> None:
    maps = torch.randn(3, *shape, dtype=torch.float64).cumsum(1)
    random = smooth_random_maps(maps, 5)
    spectra = [np.abs(np.fft.fftn(part.numpy(), axes=range(1, part.ndim))) for part in (maps, random)]
    np.testing.assert_allclose(*spectra, rtol=1e-9, atol=1e-9)
    assert random.dtype == torch.float64 and random.shape == maps.shape
    assert torch.equal(random, smooth_random_maps(maps, 5))
    assert not torch.allclose(random, smooth_random_maps(maps, 6))
    torch.testing.assert_close(random[:2], smooth_random_maps(maps[:2], 5))


def test_random_maps_know_nothing_of_the_map() -> None:
    white = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(2))
    maps = white.cumsum(1).cumsum(2).expand(400, -1, -1)
    random = smooth_random_maps(maps, 0).flatten(1)
    pairs = torch.stack((random, maps.flatten(1)), 1)
    correlations = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert correlations.mean().abs() < 4 * correlations.std() / 20


@pytest.mark.parametrize("draw", ["smooth", "white"])
def test_random_rankings_have_no_area_between_on_average(draw: str) -> None:
    model, inputs, maps, targets = setting(1, 8, 8, n=1)
    maps = maps.cumsum(1).cumsum(2).expand(300, -1, -1)
    white = torch.randn(300, 8, 8, generator=torch.Generator().manual_seed(0))
    random = ranked(smooth_random_maps(maps, 0) if draw == "smooth" else white)[:, None]
    rankings = torch.cat((least_first(random), random))
    curves = perturbation_curves(model, inputs, rankings, targets, steps=8, modes="deletion", batch_size=512)
    least, most = curves.scores["deletion"].split(300)
    areas = area_between(least, most)
    assert areas.mean().abs() < 4 * areas.std() / 300**0.5
    assert areas.std() > 1e-3


def test_half_precision_maps_are_widened() -> None:
    assert smooth_random_maps(torch.randn(2, 6, 6).half(), 0).dtype == torch.float32


# What cannot be done.


def image_maps() -> Tensor:
    return torch.zeros(2, 4, 4)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 16, the number of pixels, got 0."),
        ({"steps": 17}, "steps must be a whole number from 1 to 16, the number of pixels, got 17."),
        ({"steps": 2.0}, "steps must be a whole number from 1 to 16, the number of pixels, got 2.0."),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0."),
        ({"score": "margin"}, "score must be one of softmax, logit, got 'margin'."),
        ({"modes": "removal"}, "modes must be one of insertion, deletion, got 'removal'."),
        ({"modes": ()}, "modes must be one of insertion, deletion, got ()."),
        ({"infill": "mean"}, "infill must be one of zero, blur, noisy_linear or a tensor, got 'mean'."),
        (
            {"infill": "a tensor"},
            "infill must be one of zero, blur, noisy_linear or a tensor, got 'a tensor'.",
        ),
        ({"infill": 0.0}, "infill must be one of zero, blur, noisy_linear or a tensor, got 0.0."),
        ({"infill": {"insertion": "blur"}}, "infill must have an entry for deletion, got insertion."),
        (
            {"infill": torch.zeros(5)},
            "An infill of shape (5,) does not broadcast to inputs of shape (2, 3, 4, 4).",
        ),
        ({"targets": [0, 9]}, "Target 9 is out of range: the model has the classes 0..3."),
        ({"maps": torch.zeros(2, 3, 3)}, "maps must be (2, *(4, 4)) or (R, 2, *(4, 4)), got (2, 3, 3)."),
        (
            {"maps": torch.zeros(2, 16, dtype=torch.long)},
            "Integer maps must be rankings, each of the places 0 to 15 once; "
            "pass attribution maps as floating-point numbers.",
        ),
        (
            {"inputs": torch.zeros(2, 3)},
            "inputs must be (n, C, *S) with one to three spatial axes, got (2, 3).",
        ),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    arguments = {"inputs": torch.zeros(2, 3, 4, 4), "maps": image_maps(), "targets": [0, 1]} | options
    with pytest.raises(ValueError) as raised:
        perturbation_curves(Counting(3, 4, 4).eval(), **arguments)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"inputs": [1]},
            "inputs must be one floating-point tensor (n, C, *S), got list.",
        ),
        (
            {"inputs": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)},
            "inputs must be one floating-point tensor (n, C, *S), got torch.uint8.",
        ),
        ({"maps": "maps"}, "maps must be a tensor of real maps or of integer rankings, got str."),
        (
            {"maps": image_maps().bool()},
            "maps must be a tensor of real maps or of integer rankings, got torch.bool.",
        ),
    ],
)
def test_what_is_no_tensor_of_the_right_kind_is_named(options: dict[str, Any], message: str) -> None:
    arguments = {"inputs": torch.zeros(2, 3, 4, 4), "maps": image_maps(), "targets": [0, 1]} | options
    with pytest.raises(TypeError) as raised:
        perturbation_curves(Counting(3, 4, 4).eval(), **arguments)
    assert str(raised.value) == message


def message_of(action: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as raised:
        action()
    return str(raised.value)


def test_models_and_infills_that_do_not_fit_are_named() -> None:
    signal, maps = torch.zeros(2, 3, 16), torch.zeros(2, 16)
    model = Counting(3, 16)
    assert message_of(lambda: perturbation_curves(model, signal, maps, [0, 1])) == (
        "The model is in training mode, where a score depends on its batch; call model.eval() first."
    )
    model.eval()
    assert message_of(lambda: perturbation_curves(model, signal, maps, [0, 1], infill="noisy_linear")) == (
        'infill "noisy_linear" needs images (n, C, H, W), got (2, 3, 16).'
    )
    single = Counting(3, 16, classes=1).eval()
    assert message_of(lambda: perturbation_curves(single, signal, maps, [0, 0])) == (
        'score="softmax" is 1 for every image of a model with a single logit; use score="logit".'
    )
    assert perturbation_curves(single, signal, maps, [0, 0], score="logit").fractions[-1] == 1
