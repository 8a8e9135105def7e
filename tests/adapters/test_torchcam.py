from __future__ import annotations

import functools
import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pytest_saliency_sanity import check_contract, check_target_sensitivity
from pytest_saliency_sanity.adapters import UnusableExplainer, adapted, named
from pytest_saliency_sanity.adapters.models import Score
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.perturbations import changes, preserved
from tests.adapters.networks import (
    TARGETS,
    WEIGHTS,
    HasLogits,
    assert_close,
    assert_kept,
    convolutional,
)

methods = pytest.importorskip("torchcam.methods")

EXTRACTORS = sorted(name for name, kind in vars(methods).items() if inspect.isclass(kind))
QUICK = ("CAM", "GradCAM", "ScoreCAM", "SmoothGradCAMpp")
TRANSFORMERS = {"LeGrad"}
every = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.extended)
    for name in EXTRACTORS
    if name not in TRANSFORMERS
]


def _own(kind, model, inputs, layer="2", classes=None, **options):
    """What torchcam itself returns, as its documentation calls it, at the size of the images."""
    with kind(model, layer, **options) as extractor:
        scores = model(inputs.clone().requires_grad_())
        maps = extractor(TARGETS.tolist() if classes is None else classes, scores)
        found = maps[0] if len(maps) == 1 else extractor.fuse_cams(maps)
    return F.interpolate(found[:, None], inputs.shape[2:], mode="bilinear").detach()


@pytest.mark.parametrize("name", every)
def test_every_extractor_gives_what_torchcam_gives_and_says_nothing(name, model, inputs, capfd):
    kind = getattr(methods, name)
    layer = ["0", "2"] if name == "RefineCAM" else "2"
    options = {"fc_layer": "6"} if name == "CAM" else {}
    torch.manual_seed(5)
    expected = _own(kind, convolutional(), inputs, layer, **options)
    following = torch.rand(1)
    capfd.readouterr()
    explain = adapted(functools.partial(kind, target_layer=layer))
    with preserved(model) as snapshot:
        torch.manual_seed(5)
        found = explain(model, inputs, TARGETS)
        assert torch.equal(torch.rand(1), following)
        assert not any(changes(snapshot).values())
    assert_close(found, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "choose",
    [
        lambda model: ({"target_layer": model[2]}, "2"),
        lambda model: ({"target_layer": ["0", model[2]]}, ["0", "2"]),
        lambda model: ({}, "3"),
    ],
    ids=["module", "several", "default"],
)
def test_layers_are_named_or_given_or_the_last_with_a_map(choose, model, inputs):
    options, layer = choose(model)
    expected = _own(methods.LayerCAM, model, inputs, layer)
    assert_close(adapted(functools.partial(methods.LayerCAM, **options))(model, inputs, TARGETS), expected)


@pytest.mark.parametrize("fc_layer", ["6", "module"])
def test_cam_reads_the_linear_layer_that_is_named(fc_layer, model, inputs):
    expected = _own(methods.CAM, model, inputs, fc_layer="6")
    option = model[6] if fc_layer == "module" else fc_layer
    explain = adapted(functools.partial(methods.CAM, target_layer="2", fc_layer=option))
    assert_close(explain(model, inputs, TARGETS), expected)


def test_options_on_the_command_line(model, inputs):
    torch.manual_seed(2)
    expected = _own(methods.SmoothGradCAMpp, model, inputs, num_samples=2, std=0.1)
    found = named('torchcam:SmoothGradCAMpp{"target_layer": "2", "num_samples": 2, "std": 0.1}')
    torch.manual_seed(2)
    assert_close(adapted(found)(model, inputs, TARGETS), expected)
    plain = adapted(functools.partial(methods.GradCAM, normalized=False))(model, inputs, TARGETS)
    assert plain.amax() != 1


def test_weights_are_the_weighted_sum_of_the_logits(model, inputs):
    each = zip(inputs.split(1), WEIGHTS.split(1), strict=True)
    expected = [_own(methods.GradCAM, Score(model, row), one, "model.2", classes=[0]) for one, row in each]
    explain = adapted(functools.partial(methods.GradCAM, target_layer="2"))
    assert_close(explain(model, inputs, WEIGHTS), torch.cat(expected))
    one_hot = torch.eye(3)[TARGETS]
    explain = adapted(methods.ScoreCAM)
    torch.testing.assert_close(explain(model, inputs, one_hot), explain(model, inputs, TARGETS))
    with pytest.raises(UnusableExplainer, match=r"CAM takes one class for each image.* or take GradCAM"):
        adapted(methods.CAM)(model, inputs, WEIGHTS)


def test_frozen_models_and_those_without_a_tensor_of_logits(model, inputs):
    expected = _own(methods.GradCAM, model, inputs)
    wrapped = HasLogits(model.requires_grad_(False))
    explain = adapted(functools.partial(methods.GradCAM, target_layer="net.2"))
    assert_close(explain(wrapped, inputs, TARGETS), expected)
    cam = adapted(functools.partial(methods.CAM, target_layer="net.2", fc_layer="net.6"))
    assert_close(cam(wrapped, inputs, TARGETS), _own(methods.CAM, model, inputs, fc_layer="6"))


def test_scorecam_keeps_to_its_memory(model, inputs, monkeypatch):
    lending = pytest.importorskip("pytest_saliency_sanity.adapters.lending")
    expected = _own(methods.ScoreCAM, model, inputs)
    monkeypatch.setattr(lending, "MOST_VALUES", 2 * 2 * 81)
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(len(output)))
    assert_close(
        adapted(functools.partial(methods.ScoreCAM, target_layer="2"))(model, inputs, TARGETS), expected
    )
    assert seen[-8:] == [2] * 8


@pytest.mark.parametrize("name", ["GradCAM", "ScoreCAM", "SmoothGradCAMpp"])
def test_hooks_are_given_back_after_an_exception(name, model, inputs):
    def broken(module, args):
        calls.append(len(args[0]))
        if len(calls) > 2 or name == "GradCAM":
            raise IndexError("broken")

    calls: list[int] = []
    model[6].register_forward_pre_hook(broken)
    with preserved(model) as snapshot:
        with pytest.raises(IndexError, match="broken"):
            adapted(functools.partial(getattr(methods, name), target_layer="2"))(model, inputs, TARGETS)
        assert not any(changes(snapshot).values())


def test_an_extractor_is_called_on_the_model_that_it_holds_and_stays_its_users(model, inputs):
    extractor = methods.GradCAM(model, "2")
    scores = model(inputs.clone().requires_grad_())
    expected = F.interpolate(
        extractor(TARGETS.tolist(), scores)[0][:, None], (9, 9), mode="bilinear"
    ).detach()
    hooks = len(model[2]._forward_hooks)
    for explainer in (extractor, extractor.compute_cams, functools.partial(extractor, normalized=True)):
        explain = adapted(explainer)
        assert explain.bound
        assert explain.holds == (model,)
        assert_close(explain(model, inputs, TARGETS), expected)
    assert len(model[2]._forward_hooks) == hooks > 0
    assert extractor.hook_a == [None]
    with pytest.raises(UnusableExplainer, match=r"holds another model .* pass torchcam\.methods\.GradCAM"):
        adapted(extractor)(convolutional(), inputs, TARGETS)
    with pytest.raises(
        UnusableExplainer, match="an object of torchcam's GradCAM takes one class for each image"
    ):
        adapted(extractor)(model, inputs, WEIGHTS)
    extractor.remove_hooks()
    with pytest.raises(UnusableExplainer, match="has removed its hooks"):
        adapted(extractor)(model, inputs, TARGETS)


def test_an_extractor_that_leaked_does_not_change_another(model, inputs):
    leaked = methods.LayerCAM(model, "2")
    assert_close(
        adapted(methods.GradCAM)(model, inputs, TARGETS), _own(methods.GradCAM, convolutional(), inputs, "3")
    )
    assert leaked.hook_handles
    assert model[2]._forward_hooks


@pytest.mark.parametrize(
    "layers, words",
    [
        ([nn.Flatten(), nn.Linear(4 * 81, 3)], "whose maps are pooled, and one linear layer"),
        (
            [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 3)],
            "this model has 2 linear layers: name the one",
        ),
        ([nn.AdaptiveAvgPool2d(1), nn.Flatten()], "unable to resolve `fc_layer` automatically"),
    ],
)
def test_cam_needs_pooling_and_one_linear_layer(layers, words, inputs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), *layers).eval()
    with pytest.raises(NotApplicable) as raised:
        adapted(methods.CAM)(model, inputs, TARGETS)
    assert words in str(raised.value)
    assert "fc_layer" in str(raised.value)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"target_layer": "9"}, "the model has no layer '9'; choose from 0, 1"),
        ({"target_layer": nn.ReLU()}, "is not part of the model that is explained; pass its name"),
        ({"layer": "2"}, "no option 'layer'; choose from target_layer"),
        ({"scores": 2}, "no option 'scores'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words, model, inputs):
    with pytest.raises(UnusableExplainer) as raised:
        adapted(functools.partial(methods.GradCAM, **options))(model, inputs, TARGETS)
    assert words in str(raised.value)


def test_several_inputs_are_refused(model, inputs):
    with pytest.raises(UnusableExplainer, match="one tensor of inputs, and this model takes 2"):
        adapted(methods.GradCAM)(model, (inputs, inputs), TARGETS)


def test_the_contract_is_kept(model, inputs):
    for explainer in (methods.GradCAM, methods.GradCAM(model, "2")):
        verdict = check_contract(explainer, model, inputs, TARGETS)
        assert verdict.outcome == "pass", verdict
    assert_kept(convolutional(), adapted(methods.GradCAM), inputs)


@pytest.mark.extended
@pytest.mark.skipif("LeGrad" not in EXTRACTORS, reason="torchcam has LeGrad since version 0.5")
def test_legrad_is_for_transformers(model, inputs):
    torchvision = pytest.importorskip("torchvision")
    with pytest.raises(NotApplicable, match="LeGrad requires at least one explicit target block"):
        adapted(methods.LeGrad)(model, inputs, TARGETS)
    torch.manual_seed(0)
    transformer = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3).eval()
    nn.init.normal_(transformer.heads.head.weight)
    pictures = torch.randn(4, 3, 32, 32)
    blocks = [f"encoder.layers.encoder_layer_{place}" for place in range(2)]
    expected = _own(methods.LeGrad, transformer, pictures, list(transformer.encoder.layers))
    found = adapted(functools.partial(methods.LeGrad, target_layer=blocks))(transformer, pictures, TARGETS)
    assert_close(found, expected)


@pytest.mark.extended
@pytest.mark.skipif("RefineCAM" not in EXTRACTORS, reason="torchcam has RefineCAM since version 0.5")
def test_a_base_method_may_be_a_name(model, inputs):
    expected = _own(methods.RefineCAM, model, inputs, ["0", "2"], base_method=methods.LayerCAM)
    found = named('torchcam:RefineCAM{"target_layer": ["0", "2"], "base_method": "LayerCAM"}')
    assert_close(adapted(found)(model, inputs, TARGETS), expected)
    with pytest.raises(UnusableExplainer, match="torchcam has no base_method 'Gradcam'"):
        adapted(named('torchcam:RefineCAM{"base_method": "Gradcam"}'))(model, inputs, TARGETS)


@pytest.mark.extended
def test_a_map_of_the_target_is_told():
    from pytest_saliency_sanity.planted import planted_images
    from tests.planted import planted_cnn

    planted = planted_images(32, seed=0)
    verdict = check_target_sensitivity(methods.GradCAM, planted_cnn(), planted.images)
    assert verdict.outcome == "pass", verdict
