"""Gradient artificial distancing: the intersection, what is warned of, refused, cached and left alone."""

from __future__ import annotations

import functools
import random
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from pytest_saliency_sanity import explainers, settings
from pytest_saliency_sanity.explainers import DistancingWarning, NotDistanced, gad, largest_alpha
from pytest_saliency_sanity.explainers.distances import _largest
from pytest_saliency_sanity.text import name_of
from pytest_saliency_sanity.trained_networks import support
from tests.perturbations.state import random_numbers_ahead, state_of

DATA = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 2] * 12)
SEEN, TARGETS = DATA[:6], LABELS[:6]
FAST = {"classes": (0, 2), "epochs": 60, "learning_rate": 0.01, "alphas": (1, 2)}


def network(channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)
    ).eval()


def explainer(base: Any = explainers.gradient, data: Any = (DATA, LABELS), **options: Any) -> Any:
    return gad(base, data, **{**FAST, **options})


def top(map: Tensor, share: float) -> Tensor:
    """The pixels of one map (H, W) above its own quantile, by sorting."""
    order = map.flatten().sort(descending=True).values
    return map >= order[round(share * map.numel()) - 1]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    support.forget()
    with settings.using(settings.Settings(progress=None)):
        yield
    support.forget()


# The map.


@pytest.mark.parametrize("share", [None, 0.25])
@pytest.mark.parametrize("base", [explainers.gradient, explainers.guided_backprop])
def test_a_pixel_stays_where_it_is_important_in_every_map(base: Any, share: float | None) -> None:
    model, made = network(), explainer(base, share=share)
    found = made(model, SEEN, TARGETS)
    networks = [model, *(one.model for one in made.supports(model))]
    assert len(networks) == 3
    maps = torch.stack([base(one, SEEN, TARGETS)[:, 0] for one in networks])
    for number in range(len(SEEN)):
        kept = torch.stack([top(one[number].abs(), share or 0.5) for one in maps]).all(0)
        expected = torch.where(kept, maps[0, number], 0)
        assert torch.equal(found[number, 0], expected)
        assert 0 < kept.sum() < kept.numel() * (share or 0.5)


def test_with_a_fraction_of_the_maximum() -> None:
    model, made = network(), explainer(fraction=0.1)
    maps = [explainers.gradient(one, SEEN, TARGETS) for one in (model, made.supports(model)[1].model)]
    found = explainer(fraction=0.1, alphas=(2,))(model, SEEN, TARGETS)
    kept = [one.abs() >= 0.1 * one.abs().amax((1, 2, 3), keepdim=True) for one in maps]
    assert torch.equal(found, torch.where(kept[0] & kept[1], maps[0], 0))


@pytest.mark.covering
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alphas", [(1,), (1, 3), (0.5, 1, 2, 4)])
def test_no_pixel_appears_and_the_values_stay(seed: int, alphas: tuple[float, ...]) -> None:
    torch.manual_seed(seed)
    model, images, targets = network(3), torch.randn(24, 3, 8, 8), torch.tensor([0, 2] * 12)
    original = explainers.input_x_gradient(model, images, targets)
    original_support = original != 0
    found = explainer(explainers.input_x_gradient, (images, targets), alphas=alphas, min_agreement=0)(
        model, images, targets
    )
    stays = found != 0
    assert not (stays & ~original_support).any()
    assert torch.equal(found[stays], original[stays])
    assert 0 < stays.sum() < original_support.sum()


def test_more_distances_keep_less() -> None:
    model = network()
    kept = [explainer(alphas=alphas)(model, SEEN, TARGETS) != 0 for alphas in ((1,), (1, 2), (1, 2, 3))]
    assert not (kept[1] & ~kept[0]).any() and not (kept[2] & ~kept[1]).any()
    assert kept[2].sum() < kept[0].sum()


@pytest.mark.parametrize("shape", ["(N, 1, H, W)", "(N, H, W)"])
def test_maps_without_channels(shape: str) -> None:
    def base(model: Any, inputs: Tensor, targets: Any) -> Tensor:
        map = explainers.gradient(model, inputs, targets).sum(1)
        return map if shape == "(N, H, W)" else map.unsqueeze(1)

    torch.manual_seed(0)
    images = torch.randn(8, 3, 8, 8)
    labels = torch.tensor([0, 2] * 4)
    found = explainer(base, (images, labels), min_agreement=0)(network(3), images, labels)
    assert found.shape == ((8, 8, 8) if shape == "(N, H, W)" else (8, 1, 8, 8))
    assert 0 < (found != 0).float().mean() < 0.5


def test_a_constant_map_has_no_important_pixel() -> None:
    found = explainer(lambda model, inputs, targets: torch.ones_like(inputs))(network(), SEEN, TARGETS)
    assert not found.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("always", [True, False])
def test_what_is_not_finite_in_the_map_stays(value: float, always: bool) -> None:
    """A check of the map has to see it, whatever the support networks' maps are."""
    model = network()

    def base(given: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        map = explainers.gradient(given, inputs, targets)
        if always or given is model:
            map[2, 0, 3, 4] = value
        return map

    found = explainer(base)(model, SEEN, TARGETS)
    assert (~found.isfinite()).nonzero().tolist() == [[2, 0, 3, 4]]
    others = torch.tensor([0, 1, 3, 4, 5])
    assert torch.equal(found[others], explainer()(model, SEEN, TARGETS)[others])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_in_a_support_networks_map_alone_is_an_error(value: float) -> None:
    model, calls = network(), []

    def base(given: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        calls.append(given)
        map = explainers.gradient(given, inputs, targets)
        if len(calls) == 3:
            map[1:3, 0, 3, 4] = value
        return map

    sentence = "base returned NaN or infinite values in 2 of 6 maps of the support network of α = 2; the network's own"
    before = state_of(model)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        explainer(base)(model, SEEN, TARGETS)
    assert state_of(model) == before


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ">f4"])
def test_maps_that_are_arrays(dtype: Any) -> None:
    def base(model: Any, inputs: Tensor, targets: Any) -> np.ndarray:
        return explainers.gradient(model, inputs, targets).numpy().astype(dtype)

    found = explainer(base)(network(), SEEN, TARGETS)
    expected = explainer()(network(), SEEN, TARGETS)
    assert ((found != 0) == (expected != 0)).float().mean() > 0.98
    assert torch.allclose(
        found[found != 0].float(), explainers.gradient(network(), SEEN, TARGETS)[found != 0], rtol=2e-3
    )


def test_maps_of_whole_numbers() -> None:
    def base(model: Any, inputs: Tensor, targets: Any) -> Tensor:
        return (1000 * explainers.gradient(model, inputs, targets)).long()

    found = explainer(base)(network(), SEEN, TARGETS)
    assert found.is_floating_point() and 0 < (found != 0).float().mean() < 0.5


def test_a_linear_network_keeps_its_weights_most_important_half() -> None:
    """Both classes' gradients are their rows of weights; support networks move them by less than their steps allow."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).double()
    with torch.no_grad():
        model[1].weight[:, ::2] += 10  # no training of so few steps brings the other half up to these
    images, labels = DATA.double(), LABELS
    found = explainer(data=(images, labels), min_agreement=0, epochs=2, learning_rate=1e-4)(
        model, images, labels
    )
    weights = model[1].weight.detach()[labels].view(-1, 1, 8, 8)
    large = torch.zeros(64, dtype=torch.bool)
    large[::2] = True
    assert torch.equal(found, torch.where(large.view(1, 1, 8, 8), weights, 0))


@pytest.mark.parametrize("data", [TensorDataset(DATA, LABELS), (DATA.numpy(), LABELS.tolist())])
def test_datasets_and_arrays(data: Any) -> None:
    model = network()
    assert torch.equal(explainer(data=data)(model, SEEN, TARGETS), explainer()(model, SEEN, TARGETS))
    assert len(support._IN_MEMORY) == 2


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = network()

    def forward(self, x: Tensor) -> Any:
        return SimpleNamespace(logits=self.inside(x))


def test_a_network_that_returns_an_object_and_double_precision() -> None:
    found = explainer()(Wrapped(), SEEN, TARGETS)
    assert torch.equal(found, explainer()(network(), SEEN, TARGETS))
    double = explainer()(network().double(), SEEN.double(), TARGETS)
    assert double.dtype == torch.float64
    assert ((double != 0) == (found != 0)).float().mean() > 0.95


# The networks and the streams.


def test_everything_stays_as_it_is() -> None:
    model = network()
    model[3].train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    images, targets = SEEN.clone(), TARGETS.clone()
    before = state_of(model)
    explainer()(model, images, targets)
    assert state_of(model) == before
    assert torch.equal(images, SEEN) and torch.equal(targets, TARGETS)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_also_after_an_exception_in_base(error: type[BaseException], call: int) -> None:
    model, calls = network(), []

    def base(model: Any, inputs: Tensor, targets: Any) -> Tensor:
        calls.append(model)
        if len(calls) == call:
            raise error
        return explainers.gradient(model, inputs, targets)

    before = state_of(model)
    with pytest.raises(error):
        explainer(base)(model, SEEN, TARGETS)
    assert state_of(model) == before
    assert len(calls) == call


def test_what_base_does_to_a_support_network_is_undone() -> None:
    model = network()

    def base(given: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        map = explainers.gradient(given, inputs, targets)
        if given is not model:
            inputs.zero_()
            given[0].weight.data.zero_()
            given.register_forward_hook(lambda *of: 1 / 0)
        return map

    made = explainer(base)
    first = made(model, SEEN, TARGETS)
    assert torch.equal(first, explainer()(model, SEEN, TARGETS))
    assert torch.equal(first, made(model, SEEN, TARGETS))


def test_a_stochastic_base_draws_the_same_for_every_network() -> None:
    drawn: list[tuple[Any, ...]] = []

    def base(model: Any, inputs: Tensor, targets: Any) -> Tensor:
        drawn.append((torch.rand(2).tolist(), np.random.rand(), random.random()))
        return explainers.gradient(model, inputs, targets)

    model = network()
    base(model, SEEN, TARGETS)
    torch.manual_seed(5)
    base(model, SEEN, TARGETS)
    ahead = random_numbers_ahead()[0]
    drawn.clear()
    torch.manual_seed(5)
    explainer(base)(model, SEEN, TARGETS)
    assert len(drawn) == 3 and drawn[0] == drawn[1] == drawn[2]
    assert random_numbers_ahead()[0] == ahead


def test_networks_are_trained_once_for_each_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[nn.Module] = []
    descend = support.descend
    monkeypatch.setattr(
        support, "descend", lambda task, *of: trained.append(task.model) or descend(task, *of)
    )
    model, made = network(), explainer(cache=tmp_path)
    first = made(model, SEEN, TARGETS)
    assert len(trained) == 2
    assert torch.equal(first, made(model, SEEN, TARGETS)) and len(trained) == 2
    support.forget()
    assert torch.equal(first, made(model, SEEN, TARGETS)) and len(trained) == 2
    with torch.no_grad():
        model[0].weight.mul_(1.1)
    assert not torch.equal(first, made(model, SEEN, TARGETS)) and len(trained) == 4


def test_the_runs_cache_is_used(tmp_path: Path) -> None:
    with settings.using(settings.Settings(cache=tmp_path, progress=None)):
        explainer()(network(), SEEN, TARGETS)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


# Convergence.


def test_a_network_that_did_not_learn_its_distance_is_left_out_with_a_warning() -> None:
    model = network()
    agreements = explainer(alphas=(1, 400)).agreements(model)
    assert agreements[1.0] > 0.9 > agreements[400.0]
    sentence = (
        f"gad leaves out the support network of α = 400, agreement {agreements[400.0]:.3f} after 60 epochs, where 0.9 "
        f"is needed; train longer, with epochs="
    )
    with pytest.warns(DistancingWarning, match=re.escape(sentence)):
        found = explainer(alphas=(1, 400))(model, SEEN, TARGETS)
    assert torch.equal(found, explainer(alphas=(1,))(model, SEEN, TARGETS))
    kept = explainer(alphas=(1, 400), min_agreement=0)(model, SEEN, TARGETS)
    assert (kept != 0).sum() < (found != 0).sum()


def test_without_any_usable_support_network_it_is_an_error() -> None:
    sentence = (
        r"no support network has learned its distance: α = 1, agreement 0\.\d\d\d after 1 epochs; α = 2, "
    )
    with pytest.raises(
        NotDistanced, match=rf"{sentence}.*, where 0\.9 is needed; train longer, with epochs="
    ):
        explainer(epochs=1, learning_rate=1e-5)(network(), SEEN, TARGETS)


@pytest.mark.parametrize(
    "rate, agreement", [(1e6, "not finite"), (1e3, r"-\d(\.\d)?e\+\d\d"), (1.0, r"-\d\.\d\d\d")]
)
def test_steps_that_are_too_long_are_to_be_shorter(rate: float, agreement: str) -> None:
    sentence = (
        rf"α = 1, agreement {agreement} after 60 epochs; α = 2, .* is needed; use a lower learning_rate=$"
    )
    with pytest.raises(NotDistanced, match=sentence):
        explainer(learning_rate=rate)(network(), SEEN, TARGETS)


def test_an_alpha_that_is_rounded_away_is_to_be_larger() -> None:
    model = network()
    with torch.no_grad():
        model[4].bias += 1e9
    with pytest.raises(
        NotDistanced, match=r"use larger alphas=: next to logits as large as these, the distance is"
    ):
        explainer(epochs=1, learning_rate=1e-30)(model, SEEN, TARGETS)


def test_nothing_is_warned_of_where_all_did() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer()(network(), SEEN, TARGETS)


def test_agreements_are_reported_by_alpha() -> None:
    model, made = network(), explainer(alphas=(2, 1))
    assert list(made.agreements(model)) == [2.0, 1.0]
    assert made.agreements(model) == {one.alpha: one.agreement for one in made.supports(model)}


# How far.


@pytest.mark.parametrize(
    "limit, cap, resolution, found",
    [
        (11.0, 64.0, 1.0, 11.0),
        (11.0, 64.0, 4.0, 8.0),
        (11.3, 64.0, 0.25, 11.25),
        (100.0, 64.0, 1.0, 64.0),
        (100.0, 50.0, 1.0, 50.0),
        (0.6, 64.0, 0.25, 0.5),
        (0.0, 64.0, 1.0, 0.0),
    ],
)
def test_doubling_then_halving(limit: float, cap: float, resolution: float, found: float) -> None:
    tried: list[float] = []
    assert _largest(lambda alpha: tried.append(alpha) or alpha <= limit, 1.0, cap, resolution) == found
    assert len(tried) == len(set(tried)) and max(tried) <= cap
    assert not found or found in tried


def test_the_largest_alpha_is_one_that_converges_and_a_larger_one_does_not() -> None:
    model, how = network(), {key: FAST[key] for key in ("classes", "epochs", "learning_rate")}
    before = state_of(model)
    found = largest_alpha(model, (DATA, LABELS), **how, resolution=2)
    assert state_of(model) == before
    assert found.agreements[found.alpha] >= 0.9 and not found.capped and found.epochs == 60
    above = [alpha for alpha in found.agreements if alpha > found.alpha]
    assert found.agreements[min(above)] < 0.9 and min(above) - found.alpha <= 2
    assert all(value >= 0.9 for alpha, value in found.agreements.items() if alpha <= found.alpha)
    made = explainer(alphas=(found.alpha,))
    assert made.agreements(model) == {found.alpha: found.agreements[found.alpha]}
    assert all(one.cached for one in made.supports(model))


def test_a_search_that_meets_its_cap_or_finds_nothing_says_so() -> None:
    how = {key: FAST[key] for key in ("classes", "epochs", "learning_rate")}
    capped = largest_alpha(network(), (DATA, LABELS), **how, first=1, cap=1.5)
    assert (capped.alpha, capped.capped, list(capped.agreements)) == (1.5, True, [1.0, 1.5])
    nothing = largest_alpha(network(), (DATA, LABELS), classes=(0, 2), epochs=1, learning_rate=1e-9)
    assert (nothing.alpha, nothing.capped, list(nothing.agreements)) == (0.0, False, [1.0])


# Names.


def test_names() -> None:
    made = explainer()
    assert name_of(made) == made.__name__ == "gad(gradient)"
    assert repr(made) == "gad(gradient, classes=(0, 2), alphas=(1.0, 2.0), epochs=60, share=0.5)"
    partial = explainer(functools.partial(explainers.integrated_gradients, steps=2), fraction=0.1)
    assert name_of(partial) == "gad(integrated_gradients)"
    assert repr(partial).endswith("epochs=60, fraction=0.1)")


# Bad input.


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"classes": (2, 2)}, "classes must be two different class indices (a, b), got (2, 2)."),
        ({"classes": (0, -1)}, "classes must be two different class indices (a, b), got (0, -1)."),
        ({"classes": (0, 1, 2)}, "classes must be two different class indices (a, b), got (0, 1, 2)."),
        ({"classes": 4}, "classes must be two different class indices (a, b), got 4."),
        ({"classes": (0, 7)}, "the data has no image of the class 7; its labels are 0, 2"),
        ({"alphas": ()}, "alphas must be different numbers of logits above 0, at least one, got ()."),
        ({"alphas": (0, 2)}, "alphas must be different numbers of logits above 0, at least one, got (0, 2)."),
        ({"alphas": (2, 2.0)}, "alphas must be different numbers of logits above 0, at least one, got (2, 2.0)."),
        ({"alphas": 4}, "alphas must be different numbers of logits above 0, at least one, got 4."),
        ({"alphas": (float("nan"),)}, "alphas must be different numbers of logits above 0, at least one, got (nan,)."),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0."),
        ({"batch_size": 1.5}, "batch_size must be a whole number of at least 1, got 1.5."),
        ({"learning_rate": 0}, "learning_rate must be a number above 0, got 0."),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1."),
        ({"share": 0}, "share must be above 0 and at most 1, got 0."),
        ({"share": 1.1}, "share must be above 0 and at most 1, got 1.1."),
        ({"fraction": -0.1}, "fraction must be above 0 and at most 1, got -0.1."),
        ({"share": 0.5, "fraction": 0.1}, "give share (of the pixels) or fraction (of the maximum), not both, got"),
        ({"min_agreement": 1.5}, "min_agreement must be a number from 0 to 1, got 1.5."),
        ({"data": DATA[:1]}, "there are 1 images of the classes 0 and 2; at least 2 are needed"),
        ({"data": (DATA, LABELS * 0)}, "the data has no image of the class 2; its labels are 0"),
    ],
)  # fmt: skip
def test_bad_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        explainer(**options)


@pytest.mark.parametrize(
    "base, data, sentence",
    [
        (
            "gradient",
            (DATA, LABELS),
            "base must be an explainer (model, inputs, targets) -> map, got 'gradient'.",
        ),
        (explainers.gradient, 7, "the training set must be a pair (inputs, labels) of tensors or a dataset"),
        (explainers.gradient, DATA.long(), "the training set's inputs must be floating point"),
    ],
)
def test_bad_types(base: Any, data: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        explainer(base, data)


APART = "gad moves the classes 0 and 2 apart: targets must be"


@pytest.mark.parametrize(
    "model, inputs, targets, sentence",
    [
        (None, SEEN, torch.tensor([0, 2, 1, 0, 0, 0]), f"{APART} one of these two, got 1."),
        (None, SEEN, torch.ones(6, 3), f"{APART} (6,) of these classes, got weights of shape (6, 3)."),
        (None, SEEN, TARGETS[:5], "There are 6 inputs but 5 targets."),
        (None, SEEN[:, 0], TARGETS, "gad explains images: inputs must be a tensor (N, C, H, W), got (6, 8, 8)."),
        (None, (SEEN,), TARGETS, "gad explains images: inputs must be a tensor (N, C, H, W), got tuple."),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), SEEN, TARGETS, "class 2 is out of range: the model has 2"),
    ],
)  # fmt: skip
def test_bad_calls(model: Any, inputs: Any, targets: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        explainer()(model or network(), inputs, targets)


@pytest.mark.parametrize(
    "returned, found",
    [
        (torch.rand(6, 8), "of shape (6, 1, 8, 8) or (6, 8, 8); base returned (6, 8)."),
        (np.ones((6, 2, 8, 8)), "of shape (6, 1, 8, 8) or (6, 8, 8); base returned (6, 2, 8, 8)."),
        (torch.ones(6, 8, 8) * 1j, "that are tensors or arrays of real numbers; base returned torch.complex64."),
        (None, "that are tensors or arrays of real numbers; base returned NoneType."),
    ],
)  # fmt: skip
def test_bad_maps(returned: Any, found: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"gad intersects maps {found}")):
        explainer(lambda *of: returned)(network(), SEEN, TARGETS)


def test_data_that_is_not_of_images() -> None:
    sentence = "gad's data must be images (N, C, H, W), got inputs of shape (24, 8, 8)."
    for read in (
        explainer,
        lambda data: largest_alpha(network(), data, classes=(0, 2)),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            read(data=(DATA[:, 0], LABELS))


@pytest.mark.parametrize("data", [torch.randn(24, 3, 8, 8), torch.randn(24, 1, 9, 9)])
def test_data_that_the_model_does_not_take(data: Tensor) -> None:
    shape = re.escape(str((24, *data.shape[1:])))
    sentence = (
        rf"Sequential, given the data that its support networks are trained on, raised RuntimeError for inputs of "
        rf"shape {shape}: .*$"
    )
    with pytest.raises(ValueError, match=sentence) as caught:
        explainer(data=(data, LABELS))(network(), SEEN, TARGETS)
    assert "\n" not in str(caught.value)


def test_a_cache_that_is_no_directory() -> None:
    sentence = "cache must be a directory, a str or a Path, or None for the run's, got 3."
    with pytest.raises(TypeError, match=re.escape(sentence)):
        explainer(cache=3)
    with pytest.raises(TypeError, match=re.escape(sentence)):
        largest_alpha(network(), (DATA, LABELS), classes=(0, 2), cache=3)


def test_a_model_that_is_no_network() -> None:
    with pytest.raises(TypeError, match=r"gad trains copies of a torch.nn.Module; the model is function\."):
        explainer()(lambda x: x, SEEN, TARGETS)
    with pytest.raises(TypeError, match=r"gad trains copies of a torch.nn.Module; the model is str\."):
        largest_alpha("net", (DATA, LABELS), classes=(0, 2))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"first": 0}, "first must be a number of logits above 0, got 0."),
        ({"cap": float("inf")}, "cap must be a number of logits above 0, got inf."),
        ({"resolution": -1}, "resolution must be a number of logits above 0, got -1."),
        ({"first": 4, "cap": 2}, "first must be at most the cap, got first=4 and cap=2."),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0."),
        ({"min_agreement": "all"}, "min_agreement must be a number from 0 to 1, got 'all'."),
    ],
)
def test_bad_searches(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        largest_alpha(network(), (DATA, LABELS), classes=(0, 2), **options)
