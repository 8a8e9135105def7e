from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_contract
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted
from pytest_saliency_sanity.adapters.lending import lent_to
from pytest_saliency_sanity.adapters.models import Score
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.perturbations import changes, preserved
from tests.adapters.networks import TARGETS, WEIGHTS, assert_close, assert_kept, convolutional

with warnings.catch_warnings():  # its import warns, and that of what it imports
    warnings.simplefilter("ignore")
    shap = pytest.importorskip("shap")


def _own(kind, model, inputs, targets=TARGETS, **call):
    each = []
    for place in range(len(inputs)):
        made = kind(Score(model, targets[place : place + 1]), torch.zeros(1, 2, 9, 9))
        each.append(made.shap_values(inputs[place : place + 1].clone(), **call)[..., 0])
    return np.concatenate(each)


@pytest.mark.filterwarnings(
    "ignore:__array_wrap__:DeprecationWarning"
)  # of SHAP itself, called beside the adapter
@pytest.mark.filterwarnings("ignore:unrecognized nn.Module:UserWarning")  # so does SHAP before 0.51
@pytest.mark.parametrize("targets", [TARGETS, WEIGHTS], ids=["classes", "weights"])
@pytest.mark.parametrize("name", ["GradientExplainer", "DeepExplainer"])
def test_values_are_those_of_shap_for_each_images_target(name, targets, model, inputs):
    kind = getattr(shap, name)
    call = {"nsamples": 5} if name == "GradientExplainer" else {}
    np.random.seed(3)
    expected = _own(kind, convolutional(), inputs, targets, **call)
    following = np.random.rand()
    for explainer in (kind, kind(model, torch.zeros(1, 2, 9, 9))):
        np.random.seed(3)
        explain = adapted(functools.partial(explainer, **call) if call else explainer)
        with preserved(model) as snapshot:
            np.random.seed(3)
            found = explain(model, inputs, targets)
            assert np.random.rand() == following
            assert not any(changes(snapshot).values())
        assert_close(found, expected)


def test_an_object_is_bound_to_its_model(model, inputs):
    explainer = shap.DeepExplainer(model, torch.zeros(1, 2, 9, 9))
    assert adapted(explainer.shap_values).holds == (model,)
    with pytest.raises(UnusableExplainer, match=r"holds another model .* pass shap\.DeepExplainer"):
        adapted(explainer)(convolutional(), inputs, TARGETS)


def test_what_shap_cannot_explain_is_not_applicable(inputs):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(147, 3)).eval()
    with preserved(model) as snapshot:
        with pytest.raises(NotApplicable, match="inplace=False"):
            adapted(shap.DeepExplainer)(model, inputs, TARGETS)
        assert not any(changes(snapshot).values())


@pytest.mark.parametrize("name", ["KernelExplainer", "TreeExplainer", "PermutationExplainer"])
def test_others_are_refused_with_a_pointer(name):
    with pytest.raises(UnusableExplainer, match="captum:KernelShap"):
        adapted(getattr(shap, name))


def test_an_explanation_may_take_longer_than_shap_waits_before_it_shows_a_bar(model, capsys):
    with lent_to("shap", model):
        from shap.utils import show_progress

        assert list(show_progress([3, 4], total=2, start_delay=-1)) == [3, 4]
    assert capsys.readouterr() == ("", "")


def test_the_contract_is_kept(model, inputs):
    verdict = check_contract(shap.DeepExplainer, model, inputs, TARGETS)
    assert verdict.outcome == "pass", verdict
    assert_kept(convolutional(), adapted(shap.DeepExplainer), inputs)


@pytest.mark.extended
def test_parts_are_hidden_for_each_images_target(model, inputs):
    explain = adapted(functools.partial(shap.PartitionExplainer, max_evals=60))
    found = explain(model, inputs, TARGETS)
    gained = model(inputs) - model(torch.zeros_like(inputs))
    expected = gained[range(4), TARGETS].detach()
    torch.testing.assert_close(torch.as_tensor(found).sum((1, 2, 3)).float(), expected, rtol=1e-4, atol=1e-5)

    def function(rows):
        with torch.no_grad():
            return model(torch.as_tensor(np.moveaxis(rows, -1, 1).copy()).float()).numpy()

    owner = shap.PartitionExplainer(function, shap.maskers.Image(0.0, (9, 9, 2)))
    assert_close(adapted(functools.partial(owner, max_evals=60))(model, inputs, TARGETS), found)
