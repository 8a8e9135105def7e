"""quantus' `explain`: the arrays are quantus' own, and the model's mode, layers and hooks stay."""

from __future__ import annotations

import functools
import warnings
from importlib.metadata import version

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import NotApplicable, check_contract
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.text import name_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("captum")
    quantus = pytest.importorskip("quantus")

TARGETS = torch.tensor([0, 1, 2, 0])
LAYERS = ("LayerGradCam", "GuidedGradCam", "LayerConductance", "LayerActivation", "InternalInfluence")
LAYERS += ("LayerGradientXActivation",)
# Before version 0.6 the maps of this one have no channel.
FLAT = "Control Var. Random Uniform" if version("quantus") < "0.6" else None
OPTIONS = {"Control Var. Constant": {"constant_value": 0.5}}


@pytest.fixture
def model():
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1)
    )
    return nn.Sequential(features, nn.ReLU(), nn.Flatten(), nn.Linear(45, 3))


@pytest.fixture
def inputs():
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def _own(method, model, inputs, **options):
    torch.manual_seed(5)
    np.random.seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.as_tensor(
            quantus.explain(model.eval(), inputs.numpy(), TARGETS.numpy(), method=method, **options)
        )


def _found(explainer, model, inputs):
    torch.manual_seed(5)
    np.random.seed(5)
    return adapted(explainer)(model.train(), inputs, TARGETS)


def _methods():
    quick = ("Saliency", "LayerGradCam", "GradientShap")
    every = [
        name for name in quantus.available_methods_captum() if name != "LRP"
    ]  # which has no rule for nn.Flatten
    return [pytest.param(one, marks=() if one in quick else pytest.mark.extended) for one in every]


@pytest.mark.parametrize("method", _methods())
def test_the_maps_are_quantus_own(method, model, inputs):
    if method in ("Lime", "KernelShap"):
        pytest.importorskip("sklearn.linear_model")
    options = OPTIONS.get(method, {})
    found = _found(functools.partial(quantus.explain, method=method, **options), model, inputs)
    assert found.shape == ((4, 6, 6) if method == FLAT else (4, 1, 6, 6))
    assert all(module.training for module in model.modules())
    layer = {"gc_layer": model[2], "interpolate": (6, 6)} if method in LAYERS else {}
    if layer:
        found = _found(named(f'quantus:{method}{{"gc_layer": "0"}}'), model, inputs)
        layer["gc_layer"] = model[0]
    own = _own(method, model, inputs, channel_first=True, **options, **layer)
    own = own.sum(1, keepdim=True) if own.ndim == 4 and own.shape[1] > 1 else own
    assert found.shape == own.shape
    assert (found - own).abs().max() <= 1e-6 * own.abs().max()


def test_a_name_is_a_method_and_a_wrong_one_is_refused(model, inputs):
    explainer = named('quantus:Occlusion{"window": [1, 3, 3]}')
    assert name_of(adapted(explainer)) == "explain(method='Occlusion', window=[1, 3, 3])"
    own = _own("Occlusion", model, inputs, window=(1, 3, 3), channel_first=True)
    assert torch.equal(_found(explainer, model, inputs), own)
    with pytest.raises(UnusableExplainer, match="quantus has no method 'Salency'; did you mean Saliency"):
        named("quantus:Salency")


def test_without_a_method_it_is_the_gradient(model, inputs):
    assert torch.equal(
        _found(quantus.explain, model, inputs), _own("Gradient", model, inputs, channel_first=True)
    )


def test_quantus_takes_no_absolute_values_by_itself(model, inputs):
    assert (_found(named("quantus:IntegratedGradients"), model, inputs) < 0).any()


def test_lrp_passes_through_flatten(model, inputs):
    found = _found(named("quantus:LRP"), model, inputs)
    assert found.shape == (4, 1, 6, 6)
    assert not any(hasattr(module, "rule") for module in model.modules())


@pytest.mark.parametrize(
    "explainer, words",
    [
        (
            functools.partial(quantus.explain, metod="LRP"),
            "quantus.explain has no option 'metod'; choose from method",
        ),
        (functools.partial(quantus.explain, device="cuda"), "has no option 'device'"),
        (quantus.MPRT, "MPRT explains no inputs; pass functools.partial"),
        (quantus.normalise_func.normalise_by_max, "explains no inputs"),
    ],
)
def test_what_explains_nothing_and_options_that_quantus_would_pass_over_are_refused(explainer, words):
    with pytest.raises(UnusableExplainer, match=words):
        adapted(explainer)


def test_what_quantus_cannot_take_is_refused(model, inputs):
    explain = adapted(quantus.explain)
    with pytest.raises(UnusableExplainer, match="one class for each input, and no weights"):
        explain(model, inputs, torch.eye(3)[TARGETS])
    with pytest.raises(UnusableExplainer, match="one tensor of inputs"):
        explain(model, (inputs, inputs), TARGETS)
    with pytest.raises(NotApplicable, match="makes float32 of the inputs"):
        explain(model.double(), inputs.double(), TARGETS)
    with pytest.raises(NotApplicable, match="has none"):
        adapted(named("quantus:Deconvolution"))(
            nn.Sequential(nn.Flatten(), nn.Linear(72, 3)), inputs, TARGETS
        )


def test_the_users_options_hold_no_layer_afterwards(model, inputs):
    kwargs = {"layer": "0"}
    explainer = functools.partial(quantus.explain, method="LayerGradCam", xai_lib_kwargs=kwargs)
    _found(explainer, model, inputs)
    assert kwargs == {"layer": "0"}


def test_the_mode_comes_back_after_an_exception(model, inputs):
    with pytest.raises(RuntimeError, match="out of bounds"):
        adapted(named("quantus:Saliency"))(model.train(), inputs, TARGETS + 9)
    assert all(module.training for module in model.modules())


def test_the_contract_is_kept(model, inputs):
    images, targets = torch.cat([inputs, -inputs]), torch.cat([TARGETS, TARGETS])
    for name in ("quantus:Saliency", "quantus:DeepLiftShap", "quantus:LayerGradCam"):
        assert check_contract(named(name), model.eval(), images, targets).outcome == "pass"


@pytest.mark.extended
def test_zennit_through_quantus(model, inputs):
    pytest.importorskip("zennit")
    found = _found(functools.partial(quantus.explain, xai_lib="zennit"), model, inputs)
    own = _own("", model, inputs, xai_lib="zennit", channel_first=True)
    assert torch.equal(found, own)
