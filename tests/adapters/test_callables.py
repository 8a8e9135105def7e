from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_contract, check_data_sensitivity
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.text import name_of


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(6, 1, 6, 6, generator=torch.Generator().manual_seed(1))


TARGETS = torch.tensor([0, 1, 2, 0, 1, 2])


class Attributes:
    def __init__(self, model):
        self.model = model

    def attribute(self, inputs, target=None):
        return gradient(self.model, inputs, target)


class Explains:
    def explain(self, model, inputs, targets):
        return gradient(model, inputs, targets)


class Bound:
    def __init__(self, model, scale=1.0):
        self.model, self.scale = model, scale

    def __call__(self, model, inputs, targets):
        return self.scale * gradient(self.model, inputs, targets)


def _keywords(*, model, images, target):
    return gradient(model, images, target)


def _turned_round(inputs, target, model):
    return gradient(model, inputs, target)


def _half(model, inputs, *, targets):
    return gradient(model, inputs, targets)


FORMS = {
    "three arguments": lambda model: gradient,
    "two arguments": lambda model: lambda inputs, targets: gradient(model, inputs, targets),
    "two arguments of other names": lambda model: lambda a, b: gradient(model, a, b),
    "two arguments and an option": lambda model: lambda x, y, samples=3: gradient(model, x, y),
    "keywords": lambda model: _keywords,
    "keywords turned round": lambda model: _turned_round,
    "targets by keyword": lambda model: _half,
    "a partial": lambda model: functools.partial(
        lambda inputs, targets, net: gradient(net, inputs, targets), net=model
    ),
    "a function that builds a function": lambda model: lambda model: functools.partial(gradient, model),
    "a function that builds an object": lambda model: lambda model: Attributes(model),
    "a class that is built from the model": lambda model: Attributes,
    "a class that is built from the model and can be called": lambda model: Bound,
    "an object with attribute": Attributes,
    "an object with explain": lambda model: Explains(),
    "a method": lambda model: Attributes(model).attribute,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_map_of_the_function_with_three_arguments(form, model, inputs):
    explain = adapted(FORMS[form](model))
    assert torch.equal(explain(model, inputs.clone(), TARGETS), gradient(model, inputs.clone(), TARGETS))


def test_what_takes_three_arguments_is_returned_as_it_is():
    partial = functools.partial(gradient)
    assert adapted(gradient) is gradient
    assert adapted(partial) is partial
    assert adapted(max) is max


@pytest.mark.parametrize(
    "explainer, name",
    [
        (Attributes, "Attributes"),
        (_keywords, "_keywords"),
        (Explains(), "Explains"),
        (lambda model: gradient, "<lambda>"),
    ],
)
def test_the_name_is_that_of_what_was_passed(explainer, name):
    assert name_of(adapted(explainer)) == name


class TakesTwo:
    def __init__(self, one, other): ...


@pytest.mark.parametrize(
    "explainer, words",
    [
        (TakesTwo, "the explainer is the class TakesTwo itself; pass a function"),
        (Explains, "the explainer is the class Explains itself; pass a function"),
        (3, "explainer(model, inputs, targets); 3 is not callable"),
        (object(), "is not callable"),
    ],
)
def test_what_cannot_be_called_is_refused(explainer, words):
    with pytest.raises(UnusableExplainer) as raised:
        adapted(explainer)
    assert words in str(raised.value)


def test_a_function_of_one_argument_has_to_build_an_explainer(model, inputs):
    verdict = check_contract(lambda x: x, model, inputs, TARGETS)
    assert verdict.reason == "contract.exception", verdict
    verdict = check_contract(lambda model: 3, model, inputs, TARGETS)
    assert (verdict.outcome, verdict.reason) == ("error", "contract.unusable")
    assert "called with the model to build an explainer; it returned 3" in str(verdict)


def test_a_function_of_two_parameters_says_how_it_is_called(model, inputs):
    verdict = check_contract(lambda f, x: f(x), model, inputs, TARGETS)
    assert verdict.reason == "contract.exception"
    assert verdict.summary.endswith(
        "'Tensor' object is not callable (a function of two parameters is called as (inputs, targets); let it take "
        "three, (model, inputs, targets), to get the model as well)"
    )


def test_an_object_that_holds_a_copy_says_that_a_factory_is_needed(model, inputs):
    import copy

    verdict = check_contract(Attributes(copy.deepcopy(model)), model, inputs, TARGETS)
    assert (verdict.outcome, verdict.reason) == ("error", "contract.unusable")
    assert "holds another model than the one that is audited" in str(verdict)
    assert "lambda model: ..." in str(verdict)


@pytest.mark.parametrize("part", ["whole", "wrapped", "a part"])
def test_an_object_may_hold_the_model_wrapped_or_in_part(part, model, inputs):
    held = {"whole": model, "wrapped": nn.Sequential(model), "a part": model}[part]
    audited = nn.Sequential(model) if part == "a part" else model
    assert check_contract(Attributes(held), audited, inputs, TARGETS).outcome == "pass"


@pytest.mark.parametrize("form", ["two arguments", "an object with attribute", "a method"])
def test_data_sensitivity_refuses_what_is_bound_to_a_model(form, model, inputs):
    with pytest.raises(
        UnusableExplainer, match=r"data sensitivity trains other networks, and .* is bound to one model"
    ):
        check_data_sensitivity(FORMS[form](model), lambda: model, (inputs, TARGETS), inputs)
