"""Modules, random numbers and inputs are as before, whatever happens."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.perturbations.state import random_numbers_ahead, state_of
from tests.variations.setting import Reader, generator_of, images_of, mask, varied


class Stop(BaseException):
    """Ctrl-C, as far as `finally` can see."""


def prepared() -> tuple[nn.Module, nn.Module, nn.Module]:
    """A model, a generator and a critic in training mode, with gradients and frozen parts."""
    model = nn.Sequential(Reader(mask()), nn.Linear(2, 2), nn.Dropout(0.1))
    critic = nn.Sequential(nn.Flatten(), nn.Linear(144, 1), nn.BatchNorm1d(1))
    generator = generator_of()
    generator.layers[0].weight.requires_grad_(False)
    for module in (model, generator, critic):
        module.train()
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    return model, generator, critic


@pytest.mark.parametrize("interrupt", [None, ValueError, KeyboardInterrupt, Stop])
@pytest.mark.parametrize("bound", [False, True])
def test_modules_and_random_numbers_are_as_before(interrupt: Any, bound: bool) -> None:
    model, generator, critic = modules = prepared()
    random.random(), np.random.rand(), torch.rand(1)
    before = [state_of(module) for module in modules]
    calls = []

    def interrupting(images: Tensor) -> Tensor:
        torch.rand(3), np.random.rand(), random.random()
        calls.append(1)
        if interrupt and len(calls) == 4:
            raise interrupt("now")
        return critic(images)

    class Interrupting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = critic

        def forward(self, images: Tensor) -> Tensor:
            return interrupting(images)

    options = {
        "model": model,
        "generator": generator.decode if bound else generator,
        "critic": Interrupting(),
    }
    if interrupt:
        with pytest.raises(interrupt, match="now"):
            varied(**options)
    else:
        varied(**options)
    assert len(calls) >= 4
    assert [state_of(module) for module in modules] == before


def test_functions_that_are_no_modules_draw_from_the_seed_and_leave_the_global_generators() -> None:
    generator, model = generator_of().eval(), Reader(mask())

    def noisy(z: Tensor) -> Tensor:
        return generator(z + 0.1 * torch.randn_like(z) + np.random.rand() + random.random())

    options = {"generator": noisy, "model": lambda images: model(images)}
    first = varied(**options)
    torch.rand(5), np.random.rand(), random.random()
    before = random_numbers_ahead()
    again = varied(**options)
    assert random_numbers_ahead() == before
    assert torch.equal(first.images, again.images)


def test_modules_run_in_evaluation_mode() -> None:
    model, generator, critic = prepared()
    modes = []
    for module in (model, generator, critic):
        module.register_forward_hook(lambda module, *_: modes.append(module.training))
    varied(model=model, generator=generator, critic=critic, steps=2)
    assert modes and not any(modes)


def test_the_inputs_are_not_written_to() -> None:
    class InPlace(Reader):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.mul_(1.0).clamp_(0, 0.6))

    inputs = images_of()
    found = varied(model=InPlace(mask()), inputs=inputs)
    assert torch.equal(inputs, images_of())
    assert found.images.max() > 0.6
