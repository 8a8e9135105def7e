from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from pytest_saliency_sanity.perturbations.restoring.streams import stream
from pytest_saliency_sanity.perturbations.weights.initialization import (
    fan_in,
    initialize,
    is_layer_weight,
    is_redrawn_buffer,
    redrawn,
)

FANS = {
    "linear": (nn.Linear(60, 50), "weight", 60),
    "bilinear": (nn.Bilinear(6, 7, 90), "weight", 42),
    "convolution": (nn.Conv2d(8, 40, 3), "weight", 72),
    "grouped": (nn.Conv1d(40, 80, 5, groups=10), "weight", 20),
    "depthwise": (nn.Conv2d(400, 400, 3, groups=400), "weight", 9),
    "transposed": (nn.ConvTranspose2d(16, 12, 4, stride=2), "weight", 64),
    "attention": (nn.MultiheadAttention(32, 2), "in_proj_weight", 32),
    "attention of other widths": (nn.MultiheadAttention(32, 2, kdim=48), "k_proj_weight", 48),
    "lstm": (nn.LSTM(24, 16), "weight_hh_l0", 16),
    "gru cell": (nn.GRUCell(24, 32), "weight_ih", 24),
}
NO_FANS = {
    "bias": (nn.Linear(3, 3), "bias"),
    "embedding": (nn.Embedding(9, 4), "weight"),
    "attention's bias": (nn.MultiheadAttention(4, 2), "in_proj_bias"),
    "attention's key bias": (nn.MultiheadAttention(4, 2, add_bias_kv=True), "bias_k"),
    "norm": (nn.BatchNorm2d(3), "weight"),
}


def _draw(layer: nn.Module, name: str, seed: int = 0) -> torch.Tensor:
    return redrawn(layer, name, getattr(layer, name).detach(), stream(seed, name))


@pytest.mark.parametrize("layer, name, fan", FANS.values(), ids=FANS)
def test_weights_with_a_fan_are_he_normal(layer, name, fan):
    assert fan_in(layer, name, getattr(layer, name)) == fan
    drawn = torch.cat([_draw(layer, name, seed).flatten() for seed in range(4)])
    assert drawn.std().item() == pytest.approx(math.sqrt(2 / fan), rel=5 / math.sqrt(2 * len(drawn)))
    assert abs(drawn.mean().item()) < 5 * math.sqrt(2 / fan / len(drawn))


@pytest.mark.parametrize("layer, name", NO_FANS.values(), ids=NO_FANS)
def test_other_tensors_have_no_fan(layer, name):
    assert fan_in(layer, name, getattr(layer, name)) is None


def test_transposed_convolutions_keep_the_scale_of_their_input():
    layer = nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1, bias=False)
    layer.weight.data = _draw(layer, "weight")
    assert layer(torch.randn(4, 64, 16, 16)).var().item() == pytest.approx(2, rel=0.15)


def test_norms_start_near_one_and_zero_whatever_was_trained():
    for layer in (nn.BatchNorm2d(4000), nn.LayerNorm(4000), nn.GroupNorm(2, 4000)):
        nn.init.normal_(layer.weight, 9, 3)
        nn.init.normal_(layer.bias, -5, 3)
        weight, bias = _draw(layer, "weight"), _draw(layer, "bias")
        assert (weight.mean().item(), bias.mean().item()) == pytest.approx((1, 0), abs=0.01)
        assert (weight.std().item(), bias.std().item()) == pytest.approx((0.1, 0.1), rel=0.1)


def test_running_statistics_are_those_of_unit_variance_and_the_count_stays():
    layer = nn.BatchNorm2d(3)
    layer.train()(torch.randn(9, 3, 4, 4) * 5 + 2)
    count = layer.num_batches_tracked.item()
    trained = {id(tensor): tensor.detach().clone() for tensor in layer.state_dict(keep_vars=True).values()}
    names = [name for name, buffer in layer.named_buffers() if is_redrawn_buffer(layer, name, buffer)]
    initialize(layer, names, lambda tensor: trained[id(tensor)])
    assert layer.running_mean.tolist() == [0, 0, 0] and layer.running_var.tolist() == [1, 1, 1]
    assert names == ["running_mean", "running_var"] and layer.num_batches_tracked.item() == count


def test_frozen_normalization_is_drawn_though_it_has_only_buffers():
    torchvision = pytest.importorskip("torchvision")
    layer = torchvision.ops.FrozenBatchNorm2d(3)
    assert all(is_redrawn_buffer(layer, name, buffer) for name, buffer in layer.named_buffers())
    assert not torch.equal(_draw(layer, "weight"), layer.weight)


def test_everything_else_keeps_the_scale_it_works_at():
    layer = nn.Embedding(500, 40)
    nn.init.normal_(layer.weight, 3, 0.5)
    drawn = _draw(layer, "weight")
    assert (drawn.mean().item(), drawn.std().item()) == pytest.approx((3, 0.5), rel=0.05)


@pytest.mark.parametrize("constant, spread", [(1e-6, 1e-7), (1.0, 0.1), (-4.0, 0.4), (0.0, 0.02)])
def test_constants_change_by_a_tenth_and_zeros_by_a_little(constant, spread):
    value = torch.full((3000,), constant)
    drawn = redrawn(nn.Module(), "scale", value, stream(0))
    assert drawn.std().item() == pytest.approx(spread, rel=0.1)
    assert drawn.mean().item() == pytest.approx(constant, abs=0.1 * spread)
    assert (drawn != value).all()


@settings(deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), max_size=4),
    scale=st.sampled_from([0.0, 1e-6, 1.0, -3.0, 1e4]),
    seed=st.integers(),
    name=st.sampled_from(["weight", "bias", "gamma", "class_token", "weight_ih_l0"]),
    layer=st.sampled_from([nn.Module(), nn.Linear(1, 1), nn.LSTM(1, 1), nn.LayerNorm(1)]),
)
def test_any_tensor_changes_wholly_stays_finite_and_repeats(shape, scale, seed, name, layer):
    value = torch.randn(shape) * scale
    drawn = redrawn(layer, name, value, stream(seed, name))
    assert drawn.shape == value.shape and drawn.isfinite().all() and (drawn != value).all()
    assert torch.equal(drawn, redrawn(layer, name, value, stream(seed, name)))


def test_values_that_are_not_finite_do_not_spread():
    value = torch.tensor([1.0, float("nan"), 3.0, float("inf")] * 500)
    drawn = redrawn(nn.Module(), "raw", value, stream(0))
    assert (drawn.mean().item(), drawn.std().item()) == pytest.approx((2, 1), rel=0.1)
    assert redrawn(nn.Module(), "raw", torch.full((3,), float("nan")), stream(0)).abs().max() < 0.2


def test_empty_tensors_stay_empty():
    assert redrawn(nn.Linear(1, 1), "weight", torch.zeros(0, 4), stream(0)).shape == (0, 4)


def test_complex_weights_are_drawn_in_both_parts():
    value = torch.randn(4000, dtype=torch.complex64) * 3
    drawn = redrawn(nn.Module(), "modes", value, stream(0))
    assert drawn.is_complex() and drawn.real.std().item() == pytest.approx(value.real.std().item(), rel=0.1)
    assert drawn.imag.std().item() == pytest.approx(value.imag.std().item(), rel=0.1)


def _initialized(model: nn.Module, **key: int) -> nn.Module:
    names = [name for name, _ in model.named_parameters()]
    initialize(model, names, lambda tensor: tensor.detach().clone(), **key)
    return model


def test_layers_of_equal_shape_get_other_weights():
    model = _initialized(nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)))
    assert not (model[0].weight == model[1].weight).any() and not (model[1].weight == model[2].weight).any()
    assert not (model[0].bias == model[1].bias).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_get_the_same_numbers_rounded(dtype):
    single, other = (_initialized(nn.Conv2d(3, 4, 3).requires_grad_(False)) for _ in range(2))
    nn.init.ones_(single.bias), nn.init.ones_(other.bias)
    initialize(single, ["weight", "bias"], torch.clone)
    initialize(other.to(dtype), ["weight", "bias"], torch.clone)
    assert other.weight.dtype == dtype and torch.equal(other.weight, single.weight.to(dtype))
    assert torch.equal(other.bias, single.bias.to(dtype))


def test_strides_do_not_matter_and_stay():
    model, strided = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    stride = strided.weight.stride()
    strided.bias = model.bias
    _initialized(model), _initialized(strided)
    assert strided.weight.stride() == stride != model.weight.stride()
    assert torch.equal(strided.weight, model.weight)


def test_neither_versions_nor_gradients_notice():
    model = nn.Linear(3, 3)
    model.bias.requires_grad_(False)
    versions = [parameter._version for parameter in model.parameters()]
    _initialized(model)
    assert [parameter._version for parameter in model.parameters()] == versions
    assert (model.weight.requires_grad, model.bias.requires_grad) == (True, False)


@pytest.mark.parametrize("wrap", [nn.utils.spectral_norm, parametrizations.spectral_norm], ids=["old", "new"])
@pytest.mark.parametrize("layer", [nn.Linear(12, 7), nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(3, 5, 3)])
def test_spectral_norm_is_one_again_for_the_new_weight(wrap, layer):
    model = wrap(type(layer)(*_arguments(layer))).eval()
    _initialized(model)
    model(torch.zeros(1, 12) if isinstance(layer, nn.Linear) else torch.zeros(1, 3, 6, 6))
    first = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    norm = torch.linalg.matrix_norm(model.weight.detach().movedim(first, 0).flatten(1), 2).item()
    assert norm == pytest.approx(1, abs=0.05)


def _arguments(layer: nn.Module) -> tuple[int, ...]:
    return (12, 7) if isinstance(layer, nn.Linear) else (3, 5, 3)


LAYER_WEIGHTS = {
    "linear to one output": (nn.Linear(4, 1), "weight", True),
    "raw matrix": (nn.Module(), torch.zeros(4, 4), True),
    "embedding": (nn.Embedding(4, 4), "weight", True),
    "vector": (nn.Module(), torch.zeros(4), False),
    "layer scale": (nn.Module(), torch.zeros(4, 1, 1), False),
    "class token": (nn.Module(), torch.zeros(1, 1, 4), False),
    "position embedding": (nn.Module(), torch.zeros(1, 9, 4), False),
    "scalar": (nn.Module(), torch.zeros(()), False),
    "norm over images": (nn.LayerNorm((3, 4, 4)), "weight", False),
}


@pytest.mark.parametrize("layer, tensor, expected", LAYER_WEIGHTS.values(), ids=LAYER_WEIGHTS)
def test_what_makes_a_layer_of_its_own(layer, tensor, expected):
    name = tensor if isinstance(tensor, str) else "raw"
    value = getattr(layer, tensor) if isinstance(tensor, str) else tensor
    assert is_layer_weight(layer, name, value) == expected
