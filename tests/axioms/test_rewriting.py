"""Networks written in another way compute the same, and so do their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.axioms.rewriting import Doubled, Rectified, rewritten
from pytest_saliency_sanity.explainers import gradient
from tests.axioms.networks import NETWORKS, flat
from tests.checks.models import cnn, images


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_same_function_bit_by_bit(name: str) -> None:
    model, inputs = NETWORKS[name]()
    other, count = rewritten(model)
    call = inputs if isinstance(inputs, tuple) else (inputs,)
    targets = torch.zeros(8, dtype=torch.long)
    assert count > 0 and torch.equal(model(*call), other(*call))
    assert torch.equal(flat(gradient(model, inputs, targets)), flat(gradient(other, inputs, targets)))


def test_at_zero_its_gradient_is_that_of_relu() -> None:
    x = torch.tensor([-1.0, 0.0, -0.0, 2.0], requires_grad=True)
    (mine,) = torch.autograd.grad(Rectified()(x).sum(), x)
    (its,) = torch.autograd.grad(nn.ReLU()(x).sum(), x)
    assert torch.equal(mine, its)


def test_the_model_itself_stays_as_it_is() -> None:
    model = cnn()
    before = [(name, type(module)) for name, module in model.named_modules()]
    rewritten(model)
    assert [(name, type(module)) for name, module in model.named_modules()] == before


def test_a_layer_that_is_there_twice_stays_one() -> None:
    layer = nn.Linear(4, 4)
    other, count = rewritten(nn.Sequential(layer, nn.ReLU(), layer))
    assert count == 2 and other[0] is other[2] and isinstance(other[0], Doubled)


def test_what_it_does_not_know_it_leaves() -> None:
    class Own(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs) + self.weight.sum()

    hooked = nn.Linear(144, 144)
    hooked.register_forward_hook(lambda module, given, output: output + module.weight.sum())
    model = nn.Sequential(nn.Flatten(), hooked, nn.GELU(), Own(144, 3)).eval()
    other, count = rewritten(model)
    assert count == 0 and torch.equal(model(images(2)), other(images(2)))
