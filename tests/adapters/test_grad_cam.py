from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest
import torch
from torch import nn

from pytest_saliency_sanity import check_contract, check_target_sensitivity
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

library = pytest.importorskip("pytorch_grad_cam")
ClassifierOutputTarget = pytest.importorskip("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget

OUTPUTS = [ClassifierOutputTarget(int(target)) for target in TARGETS]
OTHERS = {"DeepFeatureFactorization", "ActivationsAndGradients", "AblationLayer", "AblationLayerVit"}
OTHERS |= {"AblationLayerFasterRCNN"}
NO_CAM = {"GuidedBackpropReLUModel"}
CAMS = sorted(
    name for name, kind in vars(library).items() if inspect.isclass(kind) and name not in OTHERS | NO_CAM
)
QUICK = ("GradCAM", "ScoreCAM", "AblationCAM", "FullGrad", "EigenCAM")
every = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.extended) for name in CAMS]


def _own(kind, model, inputs, layers=None, outputs=OUTPUTS, options=None, **call):
    """What the library itself returns, as its documentation calls it."""
    layers = [] if kind.__name__ == "FullGrad" else layers or [model[2]]
    cam = kind(model, layers, **(options or {}))
    if kind.__name__ == "FinerCAM":
        each = [
            cam(image[None], target_idx=int(one), **call) for image, one in zip(inputs, TARGETS, strict=True)
        ]
        return np.concatenate(each)
    return cam(inputs.clone(), outputs, **call)


@pytest.mark.parametrize("name", every)
def test_every_cam_gives_what_the_library_gives_and_draws_no_bar(name, inputs, capfd):
    kind, other = getattr(library, name), convolutional()
    np.random.seed(4)
    expected = _own(kind, other, inputs, [other[2]])
    following = np.random.rand()
    capfd.readouterr()
    model = convolutional()
    explain = adapted(functools.partial(kind, **({} if name == "FullGrad" else {"target_layers": "2"})))
    np.random.seed(4)
    with preserved(model) as snapshot:
        torch.manual_seed(1)
        found = explain(model, inputs, TARGETS)
        assert not any(changes(snapshot).values()), changes(snapshot)
    assert_close(found, expected)
    assert capfd.readouterr() == ("", "")
    if name == "RandomCAM":
        np.random.seed(4)
        explain(model, inputs, TARGETS)
    assert np.random.rand() == following


@pytest.mark.parametrize(
    "choose",
    [
        lambda model: ({"target_layers": "2"}, [model[2]]),
        lambda model: ({"target_layers": model[2]}, [model[2]]),
        lambda model: ({"target_layers": ["0", model[2]]}, [model[0], model[2]]),
        lambda model: ({}, [model[3]]),
    ],
    ids=["name", "module", "several", "default"],
)
def test_layers_are_named_or_given_or_the_last_with_a_map(choose, model, inputs):
    options, layers = choose(model)
    expected = _own(library.GradCAM, model, inputs, layers)
    assert_close(adapted(functools.partial(library.GradCAM, **options))(model, inputs, TARGETS), expected)


def test_a_name_on_the_command_line(model, inputs):
    expected = _own(library.HiResCAM, model, inputs, [model[0]], eigen_smooth=True)
    found = named('grad-cam:HiResCAM{"target_layers": ["0"], "eigen_smooth": true}')
    assert_close(adapted(found)(model, inputs, TARGETS), expected)
    assert adapted(found).__name__ == "HiResCAM(target_layers=['0'], eigen_smooth=True)"


def test_options_of_the_call_and_of_the_constructor(model, inputs):
    def halves(tensor):
        return tensor[:, :, :3]

    expected = _own(library.GradCAM, model, inputs, options={"reshape_transform": halves}, aug_smooth=True)
    explain = adapted(
        functools.partial(library.GradCAM, target_layers="2", reshape_transform=halves, aug_smooth=True)
    )
    assert_close(explain(model, inputs, TARGETS), expected)


def test_weights_are_the_weighted_sum_of_the_logits(model, inputs):
    outputs = [lambda output, row=row: (output * row).sum() for row in WEIGHTS]
    expected = _own(library.GradCAM, model, inputs, [model[3]], outputs=outputs)
    assert_close(adapted(library.GradCAM)(model, inputs, WEIGHTS), expected)


def test_frozen_models_and_those_without_a_tensor_of_logits(model, inputs):
    expected = _own(library.GradCAM, model, inputs, [model[2]])
    explain = adapted(functools.partial(library.GradCAM, target_layers="net.2"))
    wrapped = HasLogits(model.requires_grad_(False))
    assert_close(explain(wrapped, inputs, TARGETS), expected)
    ablation = adapted(functools.partial(library.AblationCAM, target_layers="net.2"))
    assert_close(ablation(wrapped, inputs, TARGETS), _own(library.AblationCAM, model, inputs, [model[2]]))


def test_forward_says_which_logits(model, inputs):
    outputs = [lambda output, one=one: -output[one] for one in TARGETS]
    with using_forward(lambda model, inputs: -model(inputs)):
        turned = adapted(library.GradCAM)(model, inputs, TARGETS)
    assert_close(turned, _own(library.GradCAM, model, inputs, [model[3]], outputs=outputs))


def test_scorecam_masks_a_few_images_at_a_time(model, inputs, monkeypatch):
    lending = pytest.importorskip("pytest_saliency_sanity.adapters.lending")
    expected = _own(library.ScoreCAM, model, inputs, [model[3]])
    monkeypatch.setattr(lending, "MOST_VALUES", 2 * 2 * 81 * 2048)
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(len(output)))
    found = adapted(library.ScoreCAM)(model, inputs, TARGETS)
    assert [count for count in seen if count != 4][1] == 2  # the first is the search for the layer
    assert_close(found, expected)


def test_ablationcam_keeps_to_its_memory(model, inputs, monkeypatch):
    lending = pytest.importorskip("pytest_saliency_sanity.adapters.lending")
    expected = _own(library.AblationCAM, model, inputs)
    monkeypatch.setattr(lending, "MOST_VALUES", 2 * 2 * 81)
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(len(output)))
    explain = adapted(functools.partial(library.AblationCAM, target_layers="2"))
    assert_close(explain(model, inputs, TARGETS), expected)
    assert seen[-8:] == [2] * 8  # four channels of four images
    assert seen.count(2) == 9  # and two images are asked for the kind of the outputs


@pytest.mark.parametrize("name", ["GradCAM", "AblationCAM", "ScoreCAM"])
def test_hooks_and_layers_are_given_back_after_an_exception(name, model, inputs):
    def broken(module, args):
        calls.append(len(args[0]))
        if len(calls) > 3 or name == "GradCAM":
            raise IndexError("broken")  # of which the library's own context would make a print

    calls: list[int] = []
    model[6].register_forward_pre_hook(broken)
    with preserved(model) as snapshot:
        with pytest.raises(IndexError, match="broken"):
            adapted(functools.partial(getattr(library, name), target_layers="2"))(model, inputs, TARGETS)
        assert not any(changes(snapshot).values())


def test_an_object_is_called_on_the_model_that_it_holds(model, inputs):
    cam = library.GradCAM(model, [model[2]])
    expected = cam(inputs.clone(), OUTPUTS)
    for explainer in (cam, cam.forward, functools.partial(cam, eigen_smooth=False)):
        explain = adapted(explainer)
        assert explain.bound
        assert explain.holds == (model,)
        assert_close(explain(model, inputs, TARGETS), expected)
    assert len(model[2]._forward_hooks) == 2  # they are its user's
    assert_close(cam(inputs.clone(), OUTPUTS), expected)
    with pytest.raises(UnusableExplainer, match=r"holds another model .* pass pytorch_grad_cam\.GradCAM"):
        adapted(cam)(convolutional(), inputs, TARGETS)


def test_an_object_without_hooks_is_told(model, inputs):
    with library.GradCAM(model, [model[2]]) as cam:
        pass
    if cam.activations_and_grads.handles:
        pytest.skip("this version does not say that it has released them")
    with pytest.raises(UnusableExplainer, match="has released its hooks"):
        adapted(cam)(model, inputs, TARGETS)


@pytest.mark.parametrize("form", ["class", "object"])
def test_guided_backpropagation_takes_every_image_and_leaves_every_relu(form, inputs):
    model = convolutional()
    kind = library.GuidedBackpropReLUModel
    options = {"use_cuda": False} if "use_cuda" in inspect.signature(kind).parameters else {}
    expected = [
        kind(convolutional(), **options)(image[None].clone(), int(one))
        for image, one in zip(inputs, TARGETS, strict=True)
    ]
    explainer = kind if form == "class" else kind(model, **options)
    with preserved(model) as snapshot:
        found = adapted(explainer)(model, inputs, TARGETS)
        assert not any(changes(snapshot).values())
    assert_close(found, np.stack(expected).transpose(0, 3, 1, 2))
    with pytest.raises(NotApplicable, match="this model has none: it would be the gradient"):
        adapted(kind)(convolutional(activation=nn.Tanh), inputs, TARGETS)


@pytest.mark.parametrize("name", sorted(OTHERS & vars(library).keys()))
def test_classes_that_make_no_map_are_refused(name):
    with pytest.raises(UnusableExplainer, match=f"{name} makes no map of each image"):
        adapted(getattr(library, name))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"target_layers": "9"}, "the model has no layer '9'; choose from 0, 1"),
        ({"target_layers": nn.ReLU()}, "is not part of the model that is explained; pass its name"),
        ({"layer": "3"}, "no option 'layer'; choose from target_layers"),
        ({"reshape_transform": "vit"}, "has no reshape_transform 'vit'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words, model, inputs):
    with pytest.raises(UnusableExplainer) as raised:
        adapted(functools.partial(library.GradCAM, **options))(model, inputs, TARGETS)
    assert words in str(raised.value)


def test_what_has_no_image_is_not_applicable(model, inputs):
    with pytest.raises(UnusableExplainer, match="one tensor of inputs, and this model takes 2"):
        adapted(library.GradCAM)(model, (inputs, inputs), TARGETS)
    with pytest.raises(NotApplicable, match="makes maps of images"):
        adapted(library.GradCAM)(nn.Linear(5, 3), torch.rand(4, 5), TARGETS)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(162, 3))
    with pytest.raises(NotApplicable, match="no layer of the model has a map"):
        adapted(library.GradCAM)(flat, inputs, TARGETS)
    with pytest.raises(NotApplicable, match="this model has none"):
        adapted(library.GradCAM)(nn.Flatten(), inputs, TARGETS)


def test_the_contract_is_kept(model, inputs):
    for explainer in (library.GradCAM, library.GradCAM(model, [model[2]])):
        verdict = check_contract(explainer, model, inputs, TARGETS)
        assert verdict.outcome == "pass", verdict
    assert_kept(convolutional(), adapted(library.GradCAM), inputs)


@pytest.mark.extended
def test_a_map_that_ignores_the_target_is_told():
    from pytest_saliency_sanity.planted import planted_images
    from tests.planted import planted_cnn

    planted, model = planted_images(32, seed=0), planted_cnn()
    outcomes = [
        check_target_sensitivity(kind, model, planted.images).outcome
        for kind in (library.HiResCAM, library.EigenCAM)
    ]
    assert outcomes == ["pass", "fail"]
