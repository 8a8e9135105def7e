from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from pytest_saliency_sanity.perturbations.restoring.preservation import preserved
from pytest_saliency_sanity.perturbations.restoring.refusals import check_preservable, check_randomizable
from pytest_saliency_sanity.perturbations.weights.blocks import find_blocks
from pytest_saliency_sanity.perturbations.weights.randomization import cascading
from tests.perturbations.architectures import build, images


def _quantized() -> nn.Module:
    return torch.ao.nn.quantized.Linear(2, 2)


def _expanded() -> nn.Module:
    model = nn.Linear(3, 3)
    model.weight = nn.Parameter(torch.ones(1, 3).expand(3, 3))
    return model


def _inference() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(2, 2)


def _integers() -> nn.Module:
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.int8), requires_grad=False)
    return model


def _sparse() -> nn.Module:
    model = nn.Linear(2, 2)
    model.weight = nn.Parameter(torch.eye(2).to_sparse())
    return model


class FullyShardedDataParallel(nn.Linear):
    pass


REFUSED = {
    "no parameters": (nn.ReLU, "ReLU has no parameters: there is nothing to re-initialize."),
    "quantized": (_quantized, "Linear cannot be randomized: '' is quantized (Linear), its weights are "
                  "packed; audit the float model."),
    "expanded": (_expanded, "'weight' is expanded (strides (0, 1)), several elements share one memory cell."),
    "inference": (_inference, "'weight' was made under torch.inference_mode and cannot be changed; build the "
                  "model outside of it."),
    "meta": (lambda: nn.Linear(2, 2, device="meta"), "'weight' is on the meta device, it has no values."),
    "lazy": (lambda: nn.LazyLinear(2), "'weight' is not initialized yet; run the model once first."),
    "integers": (_integers, "'weight' holds torch.int8 numbers, only floating-point weights can be drawn."),
    "sparse": (_sparse, "'weight' has the layout torch.sparse_coo, only strided tensors can be put back."),
    "sharded": (lambda: FullyShardedDataParallel(2, 2), "its weights are sharded over processes "
                "(FullyShardedDataParallel); audit the unsharded model."),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_models_that_cannot_be_randomized_are_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        check_randomizable(make())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["meta", "lazy", "sparse"])
def test_models_that_cannot_be_put_back_are_refused(kind):
    make, message = REFUSED[kind]
    with pytest.raises(ValueError, match=f"cannot be preserved: .*{re.escape(message)}"):
        check_preservable(make())


def test_lazy_parameters_pass_where_the_model_will_be_run():
    check_randomizable(nn.LazyLinear(2), lazy=True)


@pytest.mark.parametrize("enter", [preserved, lambda model: find_blocks(model, images()),
                                   lambda model: cascading(model, images()).__enter__()])  # fmt: skip
def test_every_entrance_asks_for_a_module(enter):
    for model, name in ((len, "builtin_function_or_method"), (nn.Linear, "Linear, and this is a class")):
        with pytest.raises(TypeError, match=f"must be a torch.nn.Module, got {name}"):
            context = enter(model)
            context.__enter__()


@pytest.mark.parametrize("kind", ["mlp", "vit", "parametrized", "tied"])
def test_ordinary_models_are_not_refused(kind):
    check_randomizable(build(kind))
