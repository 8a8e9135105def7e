from __future__ import annotations

import functools
import inspect

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_contract, check_data_sensitivity, check_model_sensitivity
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.outputs import using_forward
from pytest_saliency_sanity.perturbations import changes, preserved
from tests.adapters.networks import (
    TARGETS,
    WEIGHTS,
    HasLogits,
    assert_close,
    assert_kept,
    convolutional,
)

zennit = pytest.importorskip("zennit")
attribution = pytest.importorskip("zennit.attribution")
composites = pytest.importorskip("zennit.composites")
canonizers = pytest.importorskip("zennit.canonizers")


def _one_hot(outputs):
    return torch.eye(3)[TARGETS]


def _own(attributor, inputs, output=_one_hot):
    """What zennit itself returns, as its documentation calls it."""
    with attributor:
        return attributor(inputs.clone(), output)[1]


def _box(inputs):
    sides = (1, 2, 3)
    return {"low": inputs.amin(sides, keepdim=True), "high": inputs.amax(sides, keepdim=True)}


def _composite(kind, inputs):
    return kind(**_box(inputs)) if kind.__name__ == "EpsilonGammaBox" else kind()


def _composites():
    return [kind for _, kind in sorted(composites.COMPOSITES.items())]


ATTRIBUTORS = ("Gradient", "SmoothGrad", "IntegratedGradients")


@pytest.mark.parametrize("name", ATTRIBUTORS)
def test_attributors_give_what_zennit_gives_with_the_same_random_numbers(name, model, inputs):
    kind = getattr(attribution, name)
    torch.manual_seed(3)
    expected = _own(kind(model), inputs)
    following = torch.rand(1)
    torch.manual_seed(3)
    assert_close(adapted(kind)(model, inputs, TARGETS), expected)
    assert torch.equal(torch.rand(1), following)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in _composites()])
def test_composites_give_what_zennit_gives_with_its_gradient_attributor(kind, model, inputs):
    expected = _own(attribution.Gradient(model, _composite(kind, inputs)), inputs)
    assert_close(adapted(kind)(model, inputs, TARGETS), expected)
    found = named(f"zennit:{kind.__name__}")
    assert_close(adapted(found)(model, inputs, TARGETS), expected)


def test_weights_are_the_output_attribution(model, inputs):
    expected = _own(attribution.Gradient(model, composites.EpsilonPlus()), inputs, lambda outputs: WEIGHTS)
    assert_close(adapted(composites.EpsilonPlus)(model, inputs, WEIGHTS), expected)


def test_occlusion_shows_the_logit_of_the_target(model, inputs):
    options = {"window": [3, 3], "stride": [3, 3]}
    own = attribution.Occlusion(model, window=(3, 3), stride=(3, 3))
    expected = _own(own, inputs, lambda outputs: _one_hot(outputs) * outputs)
    found = adapted(functools.partial(attribution.Occlusion, **options))(model, inputs, TARGETS)
    assert_close(found, expected)
    assert found.std() > 0


def test_options_go_to_the_attributor_and_to_its_composite(model, inputs):
    own = attribution.IntegratedGradients(model, composites.EpsilonPlus(epsilon=0.1), n_iter=3)
    expected = _own(own, inputs)
    options = {"composite": "EpsilonPlus", "epsilon": 0.1, "n_iter": 3}
    assert_close(
        adapted(functools.partial(attribution.IntegratedGradients, **options))(model, inputs, TARGETS),
        expected,
    )
    options["composite"] = composites.EpsilonPlus
    assert_close(
        adapted(functools.partial(attribution.IntegratedGradients, **options))(model, inputs, TARGETS),
        expected,
    )
    options = {"composite": composites.EpsilonPlus(epsilon=0.1), "n_iter": 3}
    assert_close(
        adapted(functools.partial(attribution.IntegratedGradients, **options))(model, inputs, TARGETS),
        expected,
    )
    assert not options["composite"].handles


def test_bounds_of_the_box_are_each_images_own_unless_they_are_given(model, inputs):
    kind = composites.EpsilonGammaBox
    whole = adapted(kind)(model, inputs, TARGETS)
    assert_close(adapted(kind)(model, inputs[:1], TARGETS[:1]), whole[:1])
    expected = _own(attribution.Gradient(model, kind(low=-4.0, high=5.0)), inputs)
    assert_close(
        adapted(named('zennit:EpsilonGammaBox{"low": -4.0, "high": 5.0}'))(model, inputs, TARGETS), expected
    )


@pytest.mark.parametrize("given", ["name", "class", "object"])
def test_canonizers_are_given_back(given, inputs):
    model = convolutional(norm=True)
    kind = canonizers.SequentialMergeBatchNorm
    option = {"name": "SequentialMergeBatchNorm", "class": kind, "object": kind()}[given]
    expected = _own(
        attribution.Gradient(convolutional(norm=True), composites.EpsilonPlus(canonizers=[kind()])), inputs
    )
    with preserved(model) as snapshot:
        explain = adapted(functools.partial(composites.EpsilonPlus, canonizers=[option]))
        assert_close(explain(model, inputs, TARGETS), expected)
        assert not any(changes(snapshot).values())
        assert not any("weight" in vars(module) for module in model.modules())  # zennit 1.0 leaves them there


def test_the_model_comes_back_as_the_same_objects(model, inputs):
    # zennit 1.0 puts other parameters in the place of those whose rule changes them.
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    adapted(composites.EpsilonPlus)(model, inputs, TARGETS)
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], model.parameters(), strict=True))


@pytest.mark.parametrize("where", ["register", "forward", "attribution"])
def test_hooks_are_given_back_after_an_exception(where, model, inputs):
    class Broken(composites.EpsilonPlus):
        def mapping(self, ctx, name, module):
            if where == "register" and isinstance(module, nn.Linear):
                raise RuntimeError("broken")
            return super().mapping(ctx, name, module)

    composite = Broken()
    explain = adapted(composite)
    targets = TARGETS[:2] if where == "attribution" else TARGETS
    with preserved(model) as snapshot:
        with pytest.raises((RuntimeError, ValueError)):
            explain(model, inputs[:, :1] if where == "forward" else inputs, targets)
        assert not composite.handles
        assert not any(changes(snapshot).values())


def test_an_attributor_is_explained_on_the_model_that_it_holds(model, inputs):
    composite = composites.EpsilonPlus()
    attributor = attribution.Gradient(model, composite)
    explain = adapted(attributor)
    assert explain.bound
    assert explain.holds == (model,)
    assert_close(explain(model, inputs, TARGETS), _own(attributor, inputs))
    assert not composite.handles
    with pytest.raises(UnusableExplainer, match=r"holds another model .* pass zennit\.attribution\.Gradient"):
        explain(convolutional(), inputs, TARGETS)


def test_what_its_user_has_registered_stays(model, inputs):
    composite = composites.EpsilonPlus()
    with attribution.Gradient(model, composite) as attributor:
        registered = list(composite.handles)
        expected = attributor(inputs.clone(), _one_hot)[1]
        assert_close(adapted(attributor)(model, inputs, TARGETS), expected)
        assert list(composite.handles) == registered
        assert_close(attributor(inputs.clone(), _one_hot)[1], expected)
        with pytest.raises(UnusableExplainer, match="is registered to a model at present"):
            adapted(composite)(model, inputs, TARGETS)


def test_models_without_a_tensor_of_logits_are_wrapped_under_the_names_of_their_modules(model, inputs):
    rules = pytest.importorskip("zennit.rules")
    composite = composites.NameMapComposite([(("0",), rules.Flat())])
    expected = adapted(composite)(model, inputs, TARGETS)
    assert not torch.equal(expected, adapted(attribution.Gradient)(model, inputs, TARGETS))
    wrapped = HasLogits(model)
    composite = composites.NameMapComposite([(("net.0",), rules.Flat())])
    assert_close(adapted(composite)(wrapped, inputs, TARGETS), expected)


def test_forward_says_which_logits(model, inputs):
    with using_forward(lambda model, inputs: -model(inputs)):
        turned = adapted(attribution.Gradient)(model, inputs, TARGETS)
    assert_close(turned, -adapted(attribution.Gradient)(model, inputs, TARGETS))


@pytest.mark.parametrize("name", ["GuidedBackprop", "DeconvNet"])
def test_a_composite_without_a_layer_does_not_pass_for_the_gradient(name, inputs):
    model = convolutional(activation=nn.Tanh)
    with preserved(model) as snapshot:
        with pytest.raises(
            NotApplicable, match=f"{name} finds no layer in the model .* would be the plain gradient"
        ):
            adapted(getattr(composites, name))(model, inputs, TARGETS)
        assert not any(changes(snapshot).values())


@pytest.mark.parametrize(
    "build, words",
    [
        (
            lambda: functools.partial(attribution.Gradient, steps=3),
            "no option 'steps'; choose from create_graph",
        ),
        (
            lambda: functools.partial(composites.EpsilonPlus, canonizers=["Merge"]),
            "no canonizer 'Merge'; choose from",
        ),
        (
            lambda: functools.partial(attribution.Gradient, composite="Zero"),
            "no composite 'Zero'; choose from",
        ),
        (lambda: attribution.Attributor, "Attributor explains nothing by itself"),
        (lambda: canonizers.SequentialMergeBatchNorm, "explains nothing by itself; pass an attributor"),
        (canonizers.SequentialMergeBatchNorm, "explains nothing by itself; pass an attributor"),
        (
            lambda: functools.partial(attribution.Occlusion, window="a"),
            "Occlusion(window='a'): Occlusion window",
        ),
        (lambda: composites.LayerMapComposite, "layer_map"),
    ],
)
def test_what_cannot_be_taken_is_refused(build, words, model, inputs):
    if "create_graph" in words and "create_graph" not in inspect.signature(attribution.Gradient).parameters:
        words = "no option 'steps'"  # zennit 0.5.0 has no options here
    with pytest.raises(UnusableExplainer) as raised:
        adapted(build())(model, inputs, TARGETS)
    assert words in str(raised.value)


def test_several_inputs_are_refused(model, inputs):
    with pytest.raises(UnusableExplainer, match="one tensor of inputs, and this model takes 2"):
        adapted(attribution.Gradient)(model, (inputs, inputs), TARGETS)


def test_the_contract_is_kept(inputs):
    model = convolutional()
    for explainer in (composites.EpsilonGammaBox, attribution.Gradient(model)):
        verdict = check_contract(explainer, model, inputs, TARGETS)
        assert verdict.outcome == "pass", verdict
    assert_kept(model, adapted(composites.EpsilonPlusFlat), inputs)


def test_data_sensitivity_asks_for_the_class_of_an_object(model, inputs):
    with pytest.raises(UnusableExplainer, match=r"pass zennit\.attribution\.Gradient, which is built"):
        check_data_sensitivity(attribution.Gradient(model), convolutional, (inputs, TARGETS), inputs)


@pytest.mark.extended
@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, kind in vars(attribution).items()
        if inspect.isclass(kind) and not inspect.isabstract(kind)
    ),
)
def test_every_attributor_that_zennit_has_is_called(name, model, inputs):
    kind = getattr(attribution, name)
    if not issubclass(kind, attribution.Attributor):
        with pytest.raises(UnusableExplainer):
            adapted(kind)
        return
    own = _one_hot if name != "Occlusion" else lambda outputs: _one_hot(outputs) * outputs
    torch.manual_seed(5)
    expected = _own(kind(model), inputs, own)
    torch.manual_seed(5)
    assert_close(adapted(kind)(model, inputs, TARGETS), expected)


@pytest.mark.extended
def test_every_canonizer_that_zennit_has_for_torchvision_is_given_back():
    torchvision = pytest.importorskip("torchvision")
    homes = pytest.importorskip("zennit.torchvision")
    model = torchvision.models.resnet18(num_classes=3).eval()
    inputs = torch.randn(4, 3, 32, 32)
    for name, kind in vars(homes).items():
        if inspect.isclass(kind) and kind.__module__ == homes.__name__:
            with preserved(model) as snapshot:
                explain = adapted(functools.partial(composites.EpsilonPlusFlat, canonizers=[name]))
                assert explain(model, inputs, TARGETS).shape == inputs.shape
                assert not any(changes(snapshot).values())


@pytest.mark.extended
def test_a_planted_model_is_told_from_one_that_ignores_its_head():
    from pytest_saliency_sanity.planted import planted_images
    from tests.planted import planted_cnn

    planted = planted_images(16, seed=0)
    verdict = check_model_sensitivity(composites.EpsilonPlus, planted_cnn(), planted.images, planted.labels)
    assert verdict.outcome == "pass", verdict
