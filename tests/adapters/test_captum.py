"""captum's classes and objects: the maps are captum's own, and the model is left as it was."""

from __future__ import annotations

import copy
import functools
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import (
    NotApplicable,
    check_contract,
    check_data_sensitivity,
    check_model_sensitivity,
)
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.adapters.captum import defaults
from pytest_saliency_sanity.adapters.models import Logits
from pytest_saliency_sanity.outputs import using_forward
from pytest_saliency_sanity.perturbations import changes, preserved
from pytest_saliency_sanity.text import name_of
from tests.planted import planted_cnn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    captum = pytest.importorskip("captum")
    attr = pytest.importorskip("captum.attr")

TARGETS = torch.tensor([0, 1, 2, 0])
LAYER = "features.3"


class Net(nn.Module):
    def __init__(self, inplace: bool = False):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            nn.ReLU(inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace),
        )
        self.flat = nn.Flatten()
        self.head = nn.Linear(5 * 9, 3)

    def forward(self, x):
        return self.head(self.flat(self.features(x)))


class Reused(Net):
    def forward(self, x):
        act = self.features[1]
        return self.head(self.flat(act(self.features[3](self.features[2](act(self.features[0](x)))))))


class Functional(Net):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(2, 5, 3, stride=2, padding=1)

    def forward(self, x):
        return self.head(torch.relu(self.features(x)).flatten(1))


class Named(Net):
    def forward(self, x):
        return {"logits": super().forward(x)}


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(36, 3), nn.Linear(5, 3)

    def forward(self, image, numbers):
        return torch.tanh(self.one(image.flatten(1))) * self.two(numbers)


def _seeded(make):
    torch.manual_seed(0)
    return make().eval()


@pytest.fixture
def model():
    return _seeded(Net)


@pytest.fixture
def inputs():
    return torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def _drawn(call):
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    found = call()
    after = torch.rand(1), np.random.rand(), random.random()
    return found, after


def _is_near(found, own):
    assert found.shape == own.shape
    assert (found - own).abs().max() <= 1e-6 * own.abs().max(), (found - own).abs().max() / own.abs().max()


def _with_grad(inputs):
    return inputs.clone().requires_grad_()


def _without_its_warnings(function):
    @functools.wraps(function)
    def quiet(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="captum")
            return function(*args, **kwargs)

    return quiet


@_without_its_warnings
def _own(name, model, inputs, layer=None, tunnel=None, **call):
    """What captum itself returns, called by its manual."""
    made = getattr(attr, name)(model, *([] if layer is None else [layer]))
    takes_target = (
        name != "LayerActivation" and not name.startswith("Neuron")
    ) or name == "NeuronConductance"
    target = {"target": TARGETS} if takes_target else {}
    if tunnel is not None:
        return attr.NoiseTunnel(made).attribute(inputs, **target, **tunnel, **call).detach()
    return made.attribute(inputs, **target, **call).detach()


ZEROS = torch.zeros(2, 2, 6, 6)
CELLS = torch.tensor([0, 0, 0, 1, 1, 1]) + 2 * torch.tensor([0, 0, 0, 1, 1, 1])[:, None]
# What the adapter fills in where captum has no default, or one that takes too long.
FILLED = {
    "DeepLiftShap": {"baselines": ZEROS},
    "GradientShap": {"baselines": ZEROS},
    "LayerDeepLiftShap": {"baselines": ZEROS},
    "LayerGradientShap": {"baselines": ZEROS},
    "NeuronDeepLiftShap": {"baselines": ZEROS},
    "NeuronGradientShap": {"baselines": ZEROS},
    "Occlusion": {"sliding_window_shapes": (2, 1, 1), "strides": (1, 1, 1)},
    "ShapleyValues": {"feature_mask": CELLS.repeat(1, 2, 1, 1)},
}
NEURON = {"neuron_selector": (1, 1, 1)}
PRIMARY = (  # noqa: SIM905 - a line each
    "IntegratedGradients Saliency InputXGradient GuidedBackprop Deconvolution DeepLift DeepLiftShap GradientShap "
    "FeatureAblation FeaturePermutation Occlusion ShapleyValueSampling ShapleyValues Lime KernelShap"
).split()
LAYERS = (  # noqa: SIM905 - a line each
    "LayerGradCam LayerActivation LayerConductance LayerIntegratedGradients LayerDeepLift LayerDeepLiftShap "
    "LayerGradientShap LayerGradientXActivation LayerFeatureAblation InternalInfluence"
).split()
NEURONS = (  # noqa: SIM905 - a line each
    "NeuronGradient NeuronConductance NeuronIntegratedGradients NeuronDeepLift NeuronDeepLiftShap NeuronGradientShap "
    "NeuronFeatureAblation NeuronDeconvolution NeuronGuidedBackprop"
).split()
ELSEWHERE = [
    "GuidedGradCam",
    "LRP",
    "LayerLRP",
    "LayerFeaturePermutation",
    "NoiseTunnel",
]  # tests of their own
REFUSED = (  # noqa: SIM905 - a line each
    "Attribution GradientAttribution PerturbationAttribution LayerAttribution NeuronAttribution DataLoaderAttribution "
    "LLMAttribution LLMGradientAttribution RemoteLLMAttribution LimeBase"
).split()
QUICK = ["IntegratedGradients", "Saliency", "DeepLift", "GradientShap", "Occlusion", "FeatureAblation"]
QUICK += ["LayerGradCam", "LayerConductance", "NeuronGradient", "GuidedBackprop"]


def _cases(names):
    quick = [pytest.param(name) for name in names if name in QUICK]
    return quick + [pytest.param(name, marks=pytest.mark.extended) for name in names if name not in QUICK]


def _needs(name):
    if name in ("Lime", "KernelShap"):
        pytest.importorskip("sklearn.linear_model")
    if not hasattr(attr, name):
        pytest.skip(f"captum {captum.__version__} has no {name}")


@pytest.mark.parametrize("name", _cases(PRIMARY))
def test_a_primary_attribution_is_captums_own_and_draws_the_same_numbers(name, model, inputs):
    _needs(name)
    explain = adapted(getattr(attr, name))
    found, after = _drawn(lambda: explain(model, inputs, TARGETS))
    own, own_after = _drawn(lambda: _own(name, model, _with_grad(inputs), **FILLED.get(name, {})))
    _is_near(found, own)
    assert after == own_after
    assert not found.requires_grad
    assert not explain.bound


@pytest.mark.parametrize("name", _cases(LAYERS))
def test_a_layer_is_summed_over_its_channels_and_enlarged_by_captums_own_interpolation(name, model, inputs):
    explain = adapted(functools.partial(getattr(attr, name), layer=LAYER))
    found, _ = _drawn(lambda: explain(model, inputs, TARGETS))
    layer = model.get_submodule(LAYER)
    own, _ = _drawn(lambda: _own(name, model, _with_grad(inputs), layer, **FILLED.get(name, {})))
    _is_near(found, attr.LayerAttribution.interpolate(own.sum(1, keepdim=True), (6, 6)))


@pytest.mark.parametrize("name", _cases(NEURONS))
def test_a_neuron_is_captums_own(name, model, inputs):
    explain = adapted(functools.partial(getattr(attr, name), layer=LAYER, neuron_selector=[1, 1, 1]))
    found, _ = _drawn(lambda: explain(model, inputs, TARGETS))
    layer = model.get_submodule(LAYER)
    own, _ = _drawn(lambda: _own(name, model, _with_grad(inputs), layer, **NEURON, **FILLED.get(name, {})))
    _is_near(found, own)


def test_guided_gradcam_is_captums_own(model, inputs):
    explain = adapted(functools.partial(attr.GuidedGradCam, layer=LAYER, interpolate_mode="bilinear"))
    own, _ = _drawn(
        lambda: _own(
            "GuidedGradCam", model, _with_grad(inputs), model.features[3], interpolate_mode="bilinear"
        )
    )
    _is_near(explain(model, inputs, TARGETS), own)


@pytest.mark.extended
def test_permutations_of_a_layer_take_a_target_each(model, inputs):
    _needs("LayerFeaturePermutation")
    explain = adapted(functools.partial(attr.LayerFeaturePermutation, layer=LAYER))
    found, _ = _drawn(lambda: explain(model, inputs, TARGETS))

    def scores(x):
        return model(x).gather(1, TARGETS[:, None])[:, 0]

    own, _ = _drawn(lambda: attr.LayerFeaturePermutation(scores, model.features[3]).attribute(inputs))
    _is_near(found, attr.LayerAttribution.interpolate(own.sum(1, keepdim=True), (6, 6)))


def test_every_class_of_captum_is_tested_or_refused():
    known = {*PRIMARY, *LAYERS, *NEURONS, *ELSEWHERE, *REFUSED}
    classes = {
        name
        for name in dir(attr)
        if isinstance(getattr(attr, name), type) and issubclass(getattr(attr, name), attr.Attribution)
    }
    assert classes - known == set()


@pytest.mark.parametrize("name", REFUSED)
def test_what_explains_no_inputs_is_refused_with_the_reason(name):
    _needs(name)
    with pytest.raises(
        UnusableExplainer, match=rf"{name} of captum cannot be audited: it (is|explains|returns) "
    ):
        adapted(getattr(attr, name))


def test_other_things_of_captum_are_refused(model):
    with pytest.raises(UnusableExplainer, match="Max of captum cannot be audited: it explains no inputs"):
        adapted(attr.Max)
    with pytest.raises(UnusableExplainer, match=r"Saliency.has_convergence_delta explains no inputs"):
        adapted(attr.Saliency(model).has_convergence_delta)


@pytest.mark.parametrize("name", NEURONS[:3])
def test_a_neuron_has_to_be_named(name):
    with pytest.raises(
        UnusableExplainer, match=r"not the target: pass functools.partial\(captum.attr.Neuron"
    ):
        adapted(getattr(attr, name))
    old = functools.partial(getattr(attr, name), layer=LAYER, neuron_index=3)
    assert name_of(adapted(old)) == f"{name}(layer='features.3', neuron_index=3)"


# Options.


def test_options_go_to_the_constructor_and_to_the_call(model, inputs):
    options = {"n_steps": 7, "multiply_by_inputs": False, "method": "riemann_right"}
    explain = adapted(functools.partial(attr.IntegratedGradients, **options))
    assert (
        name_of(explain) == "IntegratedGradients(n_steps=7, multiply_by_inputs=False, method='riemann_right')"
    )
    own = attr.IntegratedGradients(model, multiply_by_inputs=False)
    own = own.attribute(_with_grad(inputs), target=TARGETS, n_steps=7, method="riemann_right")
    _is_near(explain(model, inputs, TARGETS), own)


def test_saliency_takes_the_absolute_value_as_captum_does_unless_told(model, inputs):
    assert (adapted(attr.Saliency)(model, inputs, TARGETS) >= 0).all()
    assert (adapted(functools.partial(attr.Saliency, abs=False))(model, inputs, TARGETS) < 0).any()


@pytest.mark.parametrize(
    "explainer, words",
    [
        (functools.partial(attr.Saliency, n_steps=3), "Saliency.* has no option 'n_steps'; choose from abs"),
        (functools.partial(attr.Saliency, target=3), "'target' is no option here: the model, the inputs"),
        (functools.partial(attr.LRP, verbose=True), "'verbose' is no option here"),
        (
            functools.partial(attr.NoiseTunnel, steps=3, attribution="Saliency"),
            "no option 'steps'; choose from nt_type",
        ),
        (attr.NoiseTunnel, "NoiseTunnel wraps another class of captum: pass functools.partial"),
        (functools.partial(attr.NoiseTunnel, attribution="Salience"), "not 'Salience'"),
    ],
)
def test_an_option_that_there_is_not_is_named_with_the_choices(explainer, words):
    with pytest.raises(UnusableExplainer, match=words):
        adapted(explainer)


def test_names_on_a_command_line_have_options_in_json(model, inputs):
    occlusion = adapted(named('captum:Occlusion{"sliding_window_shapes": [2, 3, 3], "strides": [2, 2, 2]}'))
    own = _own("Occlusion", model, inputs, sliding_window_shapes=(2, 3, 3), strides=(2, 2, 2))
    _is_near(occlusion(model, inputs, TARGETS), own)
    mask = [[[[0, 0, 0, 1, 1, 1]] * 6] * 2]
    ablation = adapted(functools.partial(attr.FeatureAblation, feature_mask=mask))
    own = _own("FeatureAblation", model, inputs, feature_mask=torch.tensor(mask))
    _is_near(ablation(model, inputs, TARGETS), own)


def test_windows_are_an_eighth_of_each_side_in_steps_of_half_a_window():
    inputs = torch.zeros(2, 3, 64, 30)
    assert defaults._windows(inputs) == {
        "sliding_window_shapes": (3, 8, 4),
        "strides": (1, 4, 2),
    }
    assert defaults._windows((inputs, torch.zeros(2, 130)))["sliding_window_shapes"] == (
        (3, 8, 4),
        (3,),
    )


def test_many_features_are_grouped_into_cells_of_all_channels():
    method = _method(attr.FeatureAblation)
    assert defaults._cells(method, [torch.zeros(1, 1, 32, 32)]) == []
    large, wide = defaults._cells(method, [torch.zeros(1, 3, 32, 40), torch.zeros(1, 200)])
    assert large.shape == (1, 3, 32, 40)
    assert large.unique().tolist() == list(range(64))
    assert wide.unique().tolist() == list(range(64, 128))
    assert (large[:, 0] == large[:, 2]).all()
    assert (large[0, 0, :4, :5] == 0).all() and large[0, 0, 4, 0] == 8 and large[0, 0, 0, 5] == 1
    (volume,) = defaults._cells(method, [torch.zeros(1, 1, 12, 12, 12)])
    assert volume.unique().numel() == 64
    (few,) = defaults._cells(_method(attr.ShapleyValues), [torch.zeros(1, 1, 6, 6)])
    assert few.unique().tolist() == [0, 1, 2, 3]


def _method(kind, **call):
    from pytest_saliency_sanity.adapters.captum.calls import Method

    return Method(kind, kind.__name__, call=call)


@pytest.mark.parametrize(
    "kind, options",
    [
        (attr.IntegratedGradients, {}),
        (attr.NoiseTunnel, {"attribution": "IntegratedGradients", "nt_samples": 3, "n_steps": 5}),
    ],
)
def test_little_memory_changes_no_map(kind, options, model, inputs, monkeypatch):
    sizes = []
    model.register_forward_hook(lambda module, given, out: sizes.append(len(out)))
    explain = adapted(functools.partial(kind, **options))
    whole, _ = _drawn(lambda: explain(model, inputs, TARGETS))
    largest, bound = max(sizes), 8 * 72
    sizes.clear()
    monkeypatch.setattr(defaults, "AT_ONCE", bound)
    parts, _ = _drawn(lambda: explain(model, inputs, TARGETS))
    assert max(sizes) * 72 <= bound < largest * 72
    if kind is not attr.NoiseTunnel:  # whose noise falls on other samples
        _is_near(parts, whole)


def test_the_options_that_divide_the_work_are_left_alone_where_all_fits(inputs):
    made = attr.IntegratedGradients(Net())
    assert defaults.completed(_method(attr.IntegratedGradients), made, None, inputs) == {}
    given = _method(attr.IntegratedGradients, internal_batch_size=3)
    assert defaults.completed(given, made, None, inputs) == {"internal_batch_size": 3}


# NoiseTunnel.


TUNNELS = {
    "a class": lambda model: functools.partial(attr.NoiseTunnel, attribution=attr.Saliency),
    "captum's own parameter": lambda model: functools.partial(
        attr.NoiseTunnel, attribution_method=attr.Saliency
    ),
    "a partial": lambda model: functools.partial(
        attr.NoiseTunnel, attribution=functools.partial(attr.Saliency, abs=True)
    ),
    "by name": lambda model: named('captum:NoiseTunnel{"attribution": "Saliency"}'),
    "a function": lambda model: lambda model: attr.NoiseTunnel(attr.Saliency(model)),
    "an object": lambda model: attr.NoiseTunnel(attr.Saliency(model)),
    "a method": lambda model: attr.NoiseTunnel(attr.Saliency(model)).attribute,
}


@pytest.mark.parametrize("form", TUNNELS)
def test_a_noise_tunnel_wraps_another_method(form, model, inputs):
    explain = adapted(TUNNELS[form](model))
    found, after = _drawn(lambda: explain(model, inputs, TARGETS))
    own, own_after = _drawn(lambda: _own("Saliency", model, inputs, tunnel={}))
    _is_near(found, own)
    assert after == own_after


def test_the_options_of_a_noise_tunnel_are_its_own_and_those_of_what_it_wraps(model, inputs):
    explain = adapted(
        named('captum:NoiseTunnel{"attribution": "Saliency", "nt_samples": 10, "abs": false, "stdevs": 2}')
    )
    assert name_of(explain) == "NoiseTunnel(attribution='Saliency', nt_samples=10, abs=False, stdevs=2)"
    found, _ = _drawn(lambda: explain(model, inputs, TARGETS))
    own, _ = _drawn(
        lambda: _own("Saliency", model, inputs, tunnel={"nt_samples": 10, "stdevs": 2.0}, abs=False)
    )
    _is_near(found, own)
    bound = functools.partial(attr.NoiseTunnel(attr.Saliency(model)).attribute, nt_samples=10, abs=False)
    assert "attribution=captum.attr.Saliency" in adapted(bound).factory


# LRP.


@pytest.mark.parametrize("name", ["LRP", "LayerLRP"])
def test_lrp_passes_through_layers_that_pass_their_input_on(name, model, inputs):
    class Passing(Net):
        def __init__(self):
            super().__init__()
            self.same, self.some = nn.Identity(), nn.Dropout2d()

        def forward(self, x):
            return self.head(self.flat(self.some(self.same(self.features(x)))))

    class Plain(Net):
        def __init__(self):
            super().__init__()
            del self.flat

        def forward(self, x):
            return self.head(self.features(x).flatten(1))

    passing, plain = _seeded(Passing), _seeded(Plain)
    found = adapted(getattr(attr, name))(passing, inputs, TARGETS)
    if name == "LRP":
        _is_near(found, _own(name, plain, _with_grad(inputs)))
    else:
        own = _own(name, plain, _with_grad(inputs), plain.features[3])
        _is_near(found, attr.LayerAttribution.interpolate(own.sum(1, keepdim=True), (6, 6)))
    assert not any(hasattr(module, "rule") or hasattr(module, "activations") for module in passing.modules())


def test_the_users_own_rules_and_weights_come_back_after_lrp(model, inputs):
    from captum.attr._utils.lrp_rules import GammaRule

    plain = adapted(attr.LRP)(model, inputs, TARGETS)
    model.features[0].rule = rule = GammaRule()
    before = {name: (value.data_ptr(), value.clone()) for name, value in model.state_dict().items()}
    first = adapted(attr.LRP)(model, inputs, TARGETS)
    assert not torch.allclose(first, plain)
    assert torch.equal(adapted(attr.LRP)(model, inputs, TARGETS), first)
    assert model.features[0].rule is rule
    for name, value in model.state_dict().items():
        assert value.data_ptr() == before[name][0] and torch.equal(value, before[name][1])


def test_lrp_is_refused_where_a_layer_has_no_rule(inputs):
    class Sigmoid(Net):
        def __init__(self):
            super().__init__()
            self.features[1] = nn.Sigmoid()

    model = _seeded(Sigmoid)
    with pytest.raises(
        NotApplicable, match=r"^LRP: Module of type .*Sigmoid.* set `module.rule` to a rule of"
    ):
        adapted(attr.LRP)(model, inputs, TARGETS)
    assert not any(hasattr(module, "rule") for module in model.modules())
    with pytest.raises(
        UnusableExplainer, match=r"LRP knows the relevance of layers that have a rule.* ReLU has none"
    ):
        adapted(functools.partial(attr.LayerLRP, layer="features.4"))(_seeded(Net), inputs, TARGETS)
    verdict = check_contract(attr.LRP, model, inputs, TARGETS)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "not_applicable")


# Layers.


def test_the_layer_may_be_a_name_a_module_or_left_to_the_adapter(model, inputs):
    maps = [
        adapted(functools.partial(attr.LayerGradCam, **options))(model, inputs, TARGETS)
        for options in ({"layer": "features"}, {"layer": model.features}, {})
    ]
    assert maps[0].shape == (4, 1, 6, 6)
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


def test_a_layers_maps_are_enlarged_as_the_option_says(model, inputs):
    explain = adapted(functools.partial(attr.LayerGradCam, layer=LAYER, interpolate_mode="bilinear"))
    own = _own("LayerGradCam", model, _with_grad(inputs), model.features[3])
    _is_near(explain(model, inputs, TARGETS), attr.LayerAttribution.interpolate(own, (6, 6), "bilinear"))


def test_a_layer_of_another_copy_is_refused(model, inputs):
    other = copy.deepcopy(model)
    explain = adapted(functools.partial(attr.LayerGradCam, layer=other.features[3]))
    with pytest.raises(UnusableExplainer, match="not part of the model that is explained; pass its name"):
        explain(model, inputs, TARGETS)
    with pytest.raises(UnusableExplainer, match="holds a model, and a layer that is not a part of it"):
        adapted(attr.LayerGradCam(model, other.features[3]))


def test_a_layer_without_a_map_or_that_does_not_run_is_refused(model, inputs):
    with pytest.raises(
        NotApplicable, match=r"the layer gives \(4, 45\), and not a map \(N, channels, \*\(6, 6\)\)"
    ):
        adapted(functools.partial(attr.LayerActivation, layer="flat"))(model, inputs, TARGETS)
    model.aside = nn.Conv2d(2, 2, 1)
    with pytest.raises(NotApplicable, match=r"did not obtain any outputs .* The layer does not run"):
        adapted(functools.partial(attr.LayerGradCam, layer="aside"))(model, inputs, TARGETS)
    two = (torch.randn(4, 1, 6, 6), torch.randn(4, 5))
    with pytest.raises(NotApplicable, match="a layer has one map, and the model takes 2 inputs"):
        adapted(functools.partial(attr.LayerActivation, layer="one"))(_seeded(Two), two, TARGETS)


@pytest.mark.extended
def test_many_values_of_a_layer_are_ablated_in_cells(inputs, monkeypatch):
    monkeypatch.setattr(defaults, "_MOST_FEATURES", 40)
    model = _seeded(Net)
    explain = adapted(functools.partial(attr.LayerFeatureAblation, layer="features.0"))
    cells = torch.arange(36).view(1, 1, 6, 6)
    own = _own("LayerFeatureAblation", model, inputs, model.features[0], layer_mask=cells)
    _is_near(explain(model, inputs, TARGETS), own.sum(1, keepdim=True))


# Objects that hold a model.


def test_an_object_is_called_in_place_and_says_what_it_holds(model, inputs):
    ig = attr.IntegratedGradients(model)
    own = ig.attribute(_with_grad(inputs), target=TARGETS)
    for form in (ig, ig.attribute, functools.partial(ig.attribute, n_steps=50)):
        explain = adapted(form)
        assert (explain.bound, explain.holds) == (True, (model,))
        _is_near(explain(model, inputs, TARGETS), own.detach())
    assert name_of(adapted(functools.partial(ig.attribute, n_steps=20))) == "IntegratedGradients(n_steps=20)"
    assert (
        check_contract(ig, model, torch.cat([inputs, -inputs]), torch.cat([TARGETS, TARGETS])).outcome
        == "pass"
    )


def test_an_object_that_holds_a_copy_is_refused(model, inputs):
    ig = attr.IntegratedGradients(copy.deepcopy(model))
    with pytest.raises(
        UnusableExplainer, match=r"holds another model .* pass captum.attr.IntegratedGradients, "
    ):
        adapted(ig.attribute)(model, inputs, TARGETS)
    verdict = check_contract(ig, model, inputs, TARGETS)
    assert (verdict.outcome, verdict.reason) == ("error", "contract.unusable")


def test_an_object_may_call_a_function(model, inputs):
    explain = adapted(attr.Saliency(lambda x: model(x)))
    assert (explain.bound, explain.holds) == (True, ())
    _is_near(explain(model, inputs, TARGETS), _own("Saliency", model, _with_grad(inputs)))
    assert adapted(attr.Saliency(model.forward)).holds == (model,)


def test_an_object_gets_what_captum_leaves_open(model, inputs):
    found, _ = _drawn(lambda: adapted(attr.DeepLiftShap(model))(model, inputs, TARGETS))
    _is_near(found, _own("DeepLiftShap", model, _with_grad(inputs), baselines=ZEROS))
    layer = attr.LayerGradCam(model, model.features[3])
    assert adapted(layer)(model, inputs, TARGETS).shape == (4, 1, 6, 6)
    assert "layer='the name of the layer'" in adapted(layer).factory


def test_data_sensitivity_asks_for_the_class(model, inputs):
    with pytest.raises(
        UnusableExplainer, match=r"bound to one model; pass captum.attr.Saliency, which is built"
    ):
        check_data_sensitivity(attr.Saliency(model), lambda: model, (inputs, TARGETS), inputs)


# Targets, models and inputs.


WEIGHED = ["IntegratedGradients", "DeepLift", "LRP", "LayerConductance", "FeatureAblation"]


@pytest.mark.parametrize("name", WEIGHED)
def test_weights_of_classes_are_explained_as_their_sum(name, model, inputs):
    explain = adapted(getattr(attr, name))
    weights = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0.5, 0, -1], [0, 0, 1]])
    classes = [explain(model, inputs, torch.full((4,), k)) for k in range(3)]
    own = sum(maps * weights[:, k].view(4, 1, 1, 1) for k, maps in enumerate(classes))
    torch.testing.assert_close(explain(model, inputs, weights), own, rtol=1e-4, atol=1e-5)


WEIGHTS = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0.5, 0, -1], [0, 0, 1]])


OBJECTS = {
    "Saliency": lambda model: attr.Saliency(model),
    "IntegratedGradients": lambda model: attr.IntegratedGradients(model),
    "DeepLift": lambda model: attr.DeepLift(model),
    "GuidedBackprop": lambda model: attr.GuidedBackprop(model),
    "LRP": lambda model: attr.LRP(model),
    "FeatureAblation": lambda model: attr.FeatureAblation(model),
    "LayerConductance": lambda model: attr.LayerConductance(model, model.features[3]),
    "GuidedGradCam": lambda model: attr.GuidedGradCam(model, model.features[3]),
    "LayerFeaturePermutation": lambda model: attr.LayerFeaturePermutation(model, model.features[3]),
    "NoiseTunnel": lambda model: attr.NoiseTunnel(attr.Saliency(model)),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_takes_weights_in_place_as_its_class_does(name, model, inputs):
    _needs(name)
    owner = OBJECTS[name](model)
    own = dict(vars(owner))
    options = {"attribution": attr.Saliency} if name == "NoiseTunnel" else {}
    options |= {"layer": model.features[3]} if hasattr(owner, "layer") or name == "GuidedGradCam" else {}
    explain = adapted(functools.partial(getattr(attr, name), **options))
    expected, _ = _drawn(lambda: explain(model, inputs, WEIGHTS))
    found, _ = _drawn(lambda: adapted(owner)(model, inputs, WEIGHTS))
    _is_near(found, expected)
    assert {key: vars(owner)[key] for key in own if key in ("forward_func", "model")} == {
        key: own[key] for key in own if key in ("forward_func", "model")
    }


def test_an_object_comes_back_after_an_exception(model, inputs):
    owner = attr.GuidedGradCam(model, model.features[3])
    with pytest.raises(RuntimeError):
        adapted(owner)(model, inputs[:, :, :0], WEIGHTS)
    for one in (owner, owner.grad_cam, owner.guided_backprop):
        assert all(vars(one)[name] is model for name in ("forward_func", "model") if name in vars(one))


def test_an_object_that_calls_a_function_takes_weights(model, inputs):
    own = adapted(attr.Saliency)(model, inputs, WEIGHTS)
    _is_near(adapted(attr.Saliency(lambda x: model(x)))(model, inputs, WEIGHTS), own)


@pytest.mark.parametrize(
    "name", ["IntegratedGradients", "DeepLift", "LayerGradCam", "LRP", "FeatureAblation"]
)
def test_a_model_may_return_its_logits_in_a_dict(name, model, inputs):
    own = adapted(getattr(attr, name))(model, inputs, TARGETS)
    _is_near(adapted(getattr(attr, name))(_seeded(Named), inputs, TARGETS), own)


@pytest.mark.parametrize("name", ["IntegratedGradients", "DeepLift", "FeatureAblation", "GradientShap"])
def test_the_logits_are_those_of_forward(name, model, inputs):
    own, _ = _drawn(lambda: adapted(getattr(attr, name))(model, inputs, TARGETS))
    with using_forward(lambda model, inputs: -model(inputs)):
        turned, _ = _drawn(lambda: adapted(getattr(attr, name))(model, inputs, TARGETS))
    _is_near(turned, -own)


@pytest.mark.parametrize(
    "name", ["IntegratedGradients", "Occlusion", "GradientShap", "DeepLift", "FeatureAblation"]
)
def test_several_inputs_give_several_maps(name):
    model, inputs = _seeded(Two), (torch.randn(4, 1, 6, 6), torch.randn(4, 5))
    maps = adapted(getattr(attr, name))(model, inputs, TARGETS)
    assert [part.shape for part in maps] == [part.shape for part in inputs]
    assert all(part.any() for part in maps)


def test_channels_may_be_last():
    from pytest_saliency_sanity.layout import using_channel_axis

    class Last(Net):
        def forward(self, x):
            return super().forward(x.movedim(-1, 1))

    inputs = torch.randn(4, 6, 6, 2)
    with using_channel_axis(-1):
        found = adapted(functools.partial(attr.LayerGradCam, layer=LAYER))(_seeded(Last), inputs, TARGETS)
        assert found.shape == (4, 6, 6)
        assert defaults._windows(inputs)["sliding_window_shapes"] == (1, 1, 2)


def test_double_precision_stays(model, inputs):
    for kind in (attr.IntegratedGradients, attr.GradientShap, attr.LRP, attr.LayerGradCam):
        assert adapted(kind)(model.double(), inputs.double(), TARGETS).dtype == torch.float64


@pytest.mark.parametrize("name", ["GuidedBackprop", "Deconvolution", "GuidedGradCam"])
def test_what_changes_relus_is_refused_where_there_is_none(name, inputs):
    with pytest.raises(
        NotApplicable, match=f"{name} changes how modules nn.ReLU pass gradients, and Functional has"
    ):
        adapted(getattr(attr, name))(_seeded(Functional), inputs, TARGETS)


@pytest.mark.parametrize("name", ["DeepLift", "GuidedBackprop", "LRP", "LayerConductance"])
def test_relus_in_place_change_no_map(name, model, inputs):
    inplace = _seeded(lambda: Net(inplace=True))
    own = adapted(getattr(attr, name))(model, inputs, TARGETS)
    _is_near(adapted(getattr(attr, name))(inplace, inputs, TARGETS), own)


def test_deep_lift_is_refused_where_a_module_is_used_twice(inputs):
    model = _seeded(Reused)
    with pytest.raises(
        NotApplicable, match=r"DeepLift: .* used more than once .* give each call a module of its own"
    ):
        adapted(attr.DeepLift)(model, inputs, TARGETS)
    assert not any(vars(module).get("input") is not None for module in model.modules())


# The model comes back.


@pytest.mark.parametrize(
    "name", ["DeepLift", "LRP", "GuidedBackprop", "LayerGradCam", "GuidedGradCam", "Occlusion"]
)
def test_the_model_is_left_as_it_was_also_after_an_exception(name, inputs):
    class Stops(Net):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > self.allowed:
                raise KeyError("stop")
            return super().forward(x)

    model = _seeded(Stops)
    model.train()
    hooks = [model.features[1].register_forward_hook(lambda *_: None)]
    for allowed in (1, 2, 100):  # the first call may ask what the model returns
        model.calls, model.allowed = 0, allowed
        with preserved(model) as snapshot:
            try:
                adapted(getattr(attr, name))(model, inputs, TARGETS)
            except KeyError:
                assert allowed < 100
            else:
                assert allowed > 1
            model.calls = 0
            left = [change for change in changes(snapshot) if "calls" not in str(change)]
        assert left == []
    assert [*model.features[1]._forward_hooks] == [hooks[0].id]
    assert all(module.training for module in model.modules())


def test_the_inputs_stay_as_they_were(model, inputs):
    before = inputs.clone()
    adapted(attr.IntegratedGradients)(model, inputs, TARGETS)
    assert torch.equal(inputs, before) and not inputs.requires_grad


def test_the_models_own_warnings_are_shown(inputs):
    class Warns(Net):
        def forward(self, x):
            warnings.warn("of the model", stacklevel=1)
            return super().forward(x)

    with pytest.warns(UserWarning, match="of the model"):
        adapted(attr.GuidedBackprop)(_seeded(Warns), inputs, TARGETS)


def test_a_map_of_permutations_needs_a_batch(model, inputs):
    with pytest.raises(NotApplicable, match="permutes values between the images that it is called with, and"):
        adapted(attr.FeaturePermutation)(model, inputs[:1], TARGETS[:1])


# Verdicts.


@pytest.mark.parametrize(
    "name", _cases([*PRIMARY[:-2], "KernelShap", *LAYERS, "LRP", "LayerLRP", "GuidedGradCam"])
)
def test_the_contract_is_kept(name, inputs):  # Lime's lasso makes zeros of the weights on a network like this
    _needs(name)
    model = _seeded(lambda: Net(inplace=True))
    verdict = check_contract(
        getattr(attr, name), model, torch.cat([inputs, -inputs]), torch.cat([TARGETS, TARGETS])
    )
    # The gradient at the last layer, before a linear head, is the same for every image.
    expected = "input_independent" if name == "InternalInfluence" else "contract"
    assert verdict.reason == expected, verdict


@pytest.mark.parametrize(
    "explainer, outcome",
    [
        (functools.partial(attr.Saliency, abs=False), "pass"),
        pytest.param(attr.InputXGradient, "pass", marks=pytest.mark.extended),
        pytest.param(attr.GuidedBackprop, "fail", marks=pytest.mark.extended),
    ],
)
def test_a_verdict_on_a_trained_network(explainer, outcome):
    from pytest_saliency_sanity.planted import planted_images

    verdict = check_model_sensitivity(explainer, planted_cnn(), planted_images(16, 3).images)
    assert verdict.outcome == outcome, verdict


def test_wrapped_models_share_their_modules(model):
    assert adapted(attr.Saliency(Logits(model))).check_model(model) is None
