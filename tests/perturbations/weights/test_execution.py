from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_saliency_sanity.perturbations.weights.execution import executed
from tests.perturbations.architectures import build, images
from tests.perturbations.state import random_numbers_ahead


def _last(execution, tensor):
    return execution.last_use.get(id(tensor))


def test_asking_for_a_dtype_is_no_use():
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.asked = nn.Linear(192, 2), nn.Linear(2, 2)

        def forward(self, x):
            x = self.layer(x.flatten(1).to(self.asked.weight.dtype))
            return x + self.asked.weight.numel() + self.asked.weight.shape[0]

    model = Asking()
    execution = executed(model, images())
    assert _last(execution, model.asked.weight) is None and _last(execution, model.layer.weight) is not None


def test_attention_is_used_though_its_submodules_never_fire():
    model = build("vit")
    execution = executed(model, images())
    attention = model.layers[0].attention
    assert id(attention.out_proj) not in execution.intervals
    places = [_last(execution, p) for p in attention.parameters()]
    assert all(execution.during(attention, place) for place in places)


def test_recurrent_weights_are_seen_in_the_list_that_they_are_passed_in():
    model = build("recurrent")
    execution = executed(model, images())
    assert all(_last(execution, p) is not None for p in model.parameters())


def test_only_two_images_run():
    sizes = []

    class Counting(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            return x.flatten(1)

    executed(Counting(), images(9))
    assert sizes == [2]


def test_the_second_image_is_asked_for_a_gradient_where_the_first_has_none():
    model, inputs = nn.Sequential(nn.Flatten(), nn.Linear(192, 4, bias=False)), images()
    inputs[0] = 0
    assert executed(model, inputs).reached == {id(model[1].weight)}


def test_a_model_that_takes_no_single_image():
    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(192, 4)

        def forward(self, x):
            if len(x) < 2:
                raise ValueError("a batch of at least two is needed")
            return self.layer(x.flatten(1))

    model = Pairs()
    assert executed(model, images()).reached == set(map(id, model.parameters()))


def test_dropout_is_off_and_the_generators_stay():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 2)).train()
    before = random_numbers_ahead()
    executed(model, images())
    assert random_numbers_ahead() == before and model.training and model[1].training


def test_lazy_modules_are_initialized():
    model = build("lazy")
    executed(model, images())
    assert model[-1].weight.shape == (5, 8)


def test_a_module_left_by_an_exception_that_the_model_catches():
    class Catching(nn.Module):
        def __init__(self):
            super().__init__()
            self.fails, self.layer = nn.Linear(5, 5), nn.Linear(192, 2)

        def forward(self, x):
            try:
                return self.fails(x.flatten(1))
            except RuntimeError:
                return self.layer(x.flatten(1))

    model = Catching()
    execution = executed(model, images())
    assert id(model.fails) not in execution.intervals
    assert execution.during(model, _last(execution, model.layer.weight))


def test_an_exception_in_the_model_leaves_nothing_behind():
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    hooks = dict(torch.nn.modules.module._global_forward_hooks)
    model = Failing().train()
    with pytest.raises(RuntimeError, match="no"):
        executed(model, images())
    assert dict(torch.nn.modules.module._global_forward_hooks) == hooks and model.training
