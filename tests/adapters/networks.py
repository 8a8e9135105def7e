"""What the tests of the adapters explain: a small network on four images, and what has to come back of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations import changes, preserved

TARGETS = torch.tensor([2, 0, 1, 2])
WEIGHTS = torch.tensor([[1.0, -0.5, 0.0], [0.0, 1.0, 1.0], [0.25, 0.0, -1.0], [0.0, 2.0, 0.0]])


def convolutional(norm: bool = False, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """A CNN of three classes for images (N, 2, 9, 9); global pooling and one linear layer at its end."""
    generator = torch.random.get_rng_state()
    torch.manual_seed(0)
    middle = [nn.BatchNorm2d(5)] if norm else []
    model: Any = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1),
        *middle,
        activation(),
        nn.Conv2d(5, 4, 3, stride=2, padding=1),
        activation(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )
    for layer in (model[0], model[3 if norm else 2]):
        layer.bias.data.abs_()  # every channel is alive
    if norm:
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    torch.random.set_rng_state(generator)
    return model.eval()


def images() -> Tensor:
    """Four images (4, 2, 9, 9)."""
    return torch.randn(4, 2, 9, 9, generator=torch.Generator().manual_seed(1))


class HasLogits(nn.Module):
    """A network whose logits are in a dict, as Hugging Face's are in an output."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.training = net.training

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(inputs)}


def assert_close(found: Any, expected: Any) -> None:
    """Equal but for 1e-6 of the largest value."""
    found, expected = np.asarray(torch.as_tensor(found)), np.asarray(torch.as_tensor(expected))
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def assert_kept(model: nn.Module, explain: Any, inputs: Any) -> None:
    """The explainer leaves the model as it was: in training mode, frozen in part, with gradients of its user."""
    model.train()
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = grad = torch.ones_like(parameters[1])
    with preserved(model) as snapshot:
        parameters[1].grad = grad
        explain(model, inputs, TARGETS)
        found = changes(snapshot)
        assert not any(aspects for aspect, aspects in found.items() if aspect != "gradients"), found
    assert parameters[1].grad is grad
    assert torch.equal(grad, torch.ones_like(grad))
    assert not parameters[0].requires_grad
    assert all(module.training for module in model.modules())
