"""Every explainer leaves model, inputs and settings as they were, and runs wherever it is called."""

from __future__ import annotations

import copy

import pytest
import torch

from pytest_saliency_sanity import explainers
from pytest_saliency_sanity.explainers import CONTROLS

LITERATURE = (
    "gradient",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "vargrad",
    "guided_backprop",
    "deconvnet",
    "gradcam",
    "guided_gradcam",
    "occlusion",
    "rise",
    "mask_estimation",
)
EVERY = (*LITERATURE, *CONTROLS)
STOCHASTIC = {"smoothgrad", "vargrad", "rise", "mask_estimation", "noise", "noisy_sobel"}


def named(name):
    return CONTROLS[name]() if name in CONTROLS else getattr(explainers, name)


def state_of(model):
    return {
        "weights": copy.deepcopy(model.state_dict()),
        "grads": [p.grad for p in model.parameters()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
        "modules": [type(m) for m in model.modules()],
    }


def assert_same(before, after):
    weights, others = before.pop("weights"), after.pop("weights")
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    assert before == after


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_left_behind(name, cnn, images, targets):
    cnn[0].weight.requires_grad_(False)
    cnn[1].train()
    before, original = state_of(cnn), images.clone()
    maps = named(name)(cnn, images, targets)
    assert_same(before, state_of(cnn))
    assert torch.equal(images, original) and not images.requires_grad and images.grad is None
    assert not maps.requires_grad and maps.data_ptr() != images.data_ptr()
    assert maps.shape in {images.shape, (4, 1, 12, 12)} and maps.isfinite().all()


@pytest.mark.parametrize("name", LITERATURE)
def test_nothing_is_left_behind_by_an_exception(name, cnn, images, targets):
    before = state_of(cnn)
    with pytest.raises(ValueError, match="Target 9 is out of range"):
        named(name)(cnn, images, targets * 0 + 9)
    assert_same(before, state_of(cnn))
    assert not torch.overrides._get_current_function_mode_stack()


@pytest.mark.parametrize("name", EVERY)
def test_the_caller_may_have_switched_gradients_off(name, cnn, images, targets):
    torch.manual_seed(1)
    expected = named(name)(cnn, images, targets)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            torch.manual_seed(1)
            maps = named(name)(cnn, images.clone(), targets)
            assert not torch.is_grad_enabled()
        torch.testing.assert_close(maps.clone(), expected)


@pytest.mark.parametrize("name", EVERY)
def test_a_frozen_model_and_inputs_that_ask_for_a_gradient(name, cnn, images, targets):
    torch.manual_seed(1)
    expected = named(name)(cnn, images, targets)
    torch.manual_seed(1)
    cnn.requires_grad_(False)
    asking = images.clone().requires_grad_()
    maps = named(name)(cnn, asking, targets)
    torch.testing.assert_close(maps, expected)
    assert asking.grad is None and not maps.requires_grad


@pytest.mark.parametrize("name", [name for name in EVERY if name not in STOCHASTIC])
def test_the_map_of_an_image_does_not_depend_on_the_batch(name, cnn, images, targets):
    whole = named(name)(cnn, images, targets)
    torch.testing.assert_close(named(name)(cnn, images[1:2], targets[1:2]), whole[1:2], rtol=1e-4, atol=1e-6)
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        named(name)(cnn, images[order], targets[order]), whole[order], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_and_signals(name, signal_cnn):
    x = torch.randn(3, 2, 24, dtype=torch.half)
    maps = named(name)(signal_cnn.half(), x, [0, 1, 2])
    assert maps.dtype == torch.half and maps.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_names_are_readable(name):
    assert named(name).__name__ == name
    assert named(name).__doc__ or name in ("stale_model", "cached_maps")
