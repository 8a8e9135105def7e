"""Guided methods where only squeeze-and-excitation has ReLUs, and where gradient checkpointing runs the model again."""

from __future__ import annotations

import functools
import re

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_saliency_sanity import NotApplicable, check_contract, check_model_sensitivity
from pytest_saliency_sanity.explainers import (
    deconvnet,
    gradcam,
    gradient,
    guided_backprop,
    guided_gradcam,
    occlusion,
    smoothgrad,
)
from tests.checks.models import seeded

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 3])


class Network(nn.Module):
    """A smooth convolution, what `use` makes of its map, and a head."""

    def __init__(self, use, channels=8):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.by_convolution = nn.Sequential(nn.Conv2d(8, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 8, 1))
        self.head = nn.Linear(channels, 5)
        self.use = use

    def forward(self, x):
        used = self.use(self, torch.nn.functional.gelu(self.stem(x)))
        return self.head(used.mean((2, 3)) if used.dim() == 4 else used)


def gates(network, x):
    return network.excite(network.squeeze(x.mean((2, 3))).relu()).sigmoid()


def channels_last(network, x):
    last = x.permute(0, 2, 3, 1)
    weights = network.excite(network.squeeze(last.mean((1, 2), keepdim=True)).relu()).sigmoid()
    return (last * weights).permute(0, 3, 1, 2)


EXCITING = {
    "functions": lambda net, x: x * gates(net, x)[:, :, None, None],
    "from the left": lambda net, x: gates(net, x)[:, :, None, None] * x,
    "convolutions": lambda net, x: x * net.by_convolution(x.mean((2, 3), keepdim=True)).sigmoid(),
    "a hard gate": lambda net, x: x * (net.by_convolution(x.mean((2, 3), keepdim=True)) + 3).clamp(0, 6) / 6,
    "expanded": lambda net, x: x * gates(net, x)[:, :, None, None].expand_as(x),
    "in place": lambda net, x: x.clone().mul_(gates(net, x)[:, :, None, None]),
    "beside the map": lambda net, x: x + torch.mul(x, gates(net, x)[:, :, None, None]),
    "of two pools": lambda net, x: (
        x * (gates(net, x) + net.excite(net.squeeze(x.amax((2, 3))).relu()))[:, :, None, None]
    ),
    "channels last": channels_last,
}


@pytest.mark.parametrize("explainer", [guided_backprop, deconvnet, guided_gradcam])
@pytest.mark.parametrize("use", EXCITING.values(), ids=EXCITING)
def test_where_relus_only_weigh_channels_there_is_nothing_to_guide(use, explainer):
    model = seeded(functools.partial(Network, use)).eval()
    with pytest.raises(
        NotApplicable,
        match=r"only squeeze-and-excitation blocks have ReLUs, which weight whole channels, in Network "
        r"\(the other activations that run are GELU.*\): its map would be nearly the plain gradient",
    ):
        explainer(model, IMAGES, TARGETS)
    assert check_contract(explainer, model, IMAGES).reason == "not_applicable"


GUIDED = {
    "a ReLU on the way, too": lambda net, x: (x * gates(net, x)[:, :, None, None] - 0.1).relu(),
    "a hidden layer": lambda net, x: net.excite(net.squeeze(x.mean((2, 3))).relu()),
    "a residual hidden layer": lambda net, x: x.mean((2, 3)) + net.excite(net.squeeze(x.mean((2, 3))).relu()),
    "gates of features without positions": lambda net, x: x.mean((2, 3)) * gates(net, x),
    "features that get positions again": lambda net, x: (
        x.flatten(1)[:, :8].mul(3).relu().reshape(-1, 8, 1, 1).expand_as(x)
    ),
}


@pytest.mark.parametrize("use", GUIDED.values(), ids=GUIDED)
def test_relus_on_the_way_are_guided(use):
    model = seeded(functools.partial(Network, use), seed=1).eval()
    guided, plain = guided_backprop(model, IMAGES, TARGETS), gradient(model, IMAGES, TARGETS)
    assert guided.any() and not torch.equal(guided, plain)


TIMMS = {
    "coatnet": (
        "coatnet_bn_0_rw_224",
        {"img_size": 64, "embed_dim": (32, 32, 32, 32), "depths": (1, 1, 1, 1)},
        "GELU, SiLU",
    ),
    "fastvit": ("fastvit_t8", {"layers": (1, 1, 1, 1)}, "GELU"),
}


@pytest.mark.parametrize("name, options, others", TIMMS.values(), ids=TIMMS)
def test_timm_has_such_networks(name, options, others):
    timm = pytest.importorskip("timm")
    model = seeded(functools.partial(timm.create_model, name, num_classes=5, **options)).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert any(isinstance(module, nn.ReLU) for module in model.modules())
    with pytest.raises(NotApplicable, match=rf"only squeeze-and-excitation .*that run are {others}"):
        guided_backprop(model, images, TARGETS[:2])


class Checkpointed(nn.Module):
    def __init__(self, stages, **options):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3), nn.ReLU()) for a, b in ((3, 6), (6, 6), (6, 6))
        )
        self.head, self.checkpointed, self.options = nn.Linear(6, 5), stages, options

    def forward(self, x):
        for number, stage in enumerate(self.stages):
            x = checkpoint(stage, x, **self.options) if number in self.checkpointed else stage(x)
        return self.head(x.mean((2, 3)))


WAYS = {
    "not reentrant": ((1, 2), {"use_reentrant": False}),
    "all of it": ((0, 1, 2), {"use_reentrant": False}),
    "unchecked": ((1, 2), {"use_reentrant": False, "determinism_check": "none"}),
    "reentrant": ((1, 2), {"use_reentrant": True}),
}
SENTENCE = (
    r"does not work with gradient checkpointing \(torch\.utils\.checkpoint\), which Checkpointed uses: turn "
    r"it off"
)


@pytest.mark.parametrize("explainer", [guided_backprop, deconvnet, guided_gradcam])
@pytest.mark.parametrize("stages, options", WAYS.values(), ids=WAYS)
def test_guided_methods_refuse_gradient_checkpointing_in_one_sentence(stages, options, explainer):
    model = seeded(functools.partial(Checkpointed, stages, **options)).eval()
    with pytest.raises(NotApplicable, match=SENTENCE):
        explainer(model, IMAGES, TARGETS)
    verdict = check_contract(explainer, model, IMAGES)
    assert verdict.reason == "not_applicable" and "turn it off" in verdict.summary


@pytest.mark.parametrize("stages", [(1, 2), (0, 1, 2)])
@pytest.mark.parametrize(
    "explainer",
    [gradient, smoothgrad, gradcam, functools.partial(gradcam, layer="stages.1")],
    ids=["gradient", "smoothgrad", "gradcam", "layer"],
)
def test_gradients_refuse_a_checkpoint_through_which_there_is_none(explainer, stages):
    model = seeded(functools.partial(Checkpointed, stages, use_reentrant=True)).eval()
    with pytest.raises(NotApplicable, match=SENTENCE):
        explainer(model, IMAGES, TARGETS)


@pytest.mark.parametrize("explainer", [gradient, gradcam, occlusion])
def test_others_go_with_it(explainer):
    ways = [seeded(functools.partial(Checkpointed, stages, use_reentrant=False)) for stages in ((), (1, 2))]
    maps = [explainer(model.eval(), IMAGES, TARGETS) for model in ways]
    torch.testing.assert_close(*maps)


def test_an_explainer_of_another_library_is_told_to_switch_it_off():
    def fails(model, inputs, targets):
        raise torch.utils.checkpoint.CheckpointError("torch.utils.checkpoint: different metadata")

    verdict = check_contract(fails, seeded(functools.partial(Checkpointed, ())).eval(), IMAGES)
    assert "(the model uses gradient checkpointing: turn it off)" in verdict.summary


def test_timm_can_switch_it_on():
    timm = pytest.importorskip("timm")
    model = seeded(functools.partial(timm.create_model, "resnet10t", num_classes=5)).eval()
    before = guided_backprop(model, IMAGES, TARGETS)
    model.set_grad_checkpointing()
    with pytest.raises(
        NotApplicable, match=r"which ResNet uses: turn it off, .*set_grad_checkpointing\(False\)"
    ):
        guided_backprop(model, IMAGES, TARGETS)
    model.set_grad_checkpointing(False)
    assert torch.equal(guided_backprop(model, IMAGES, TARGETS), before)


def test_another_library_s_guided_backpropagation_is_noted():
    captum = pytest.importorskip("captum.attr")

    def guided(model, inputs, targets):
        return captum.GuidedBackprop(model).attribute(inputs.requires_grad_(), target=targets)

    model = seeded(functools.partial(Network, EXCITING["convolutions"])).eval()
    model.by_convolution[1] = nn.ReLU()
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    hint = check_model_sensitivity(guided, model, images, profile="smoke").hint
    assert re.match(
        r"its maps are nearly the plain gradient \(rank correlation 0\.999\d\), although its name announces a "
        r"modified backward pass: where only squeeze-and-excitation blocks have ReLUs, nearly all of the gradient "
        r"bypasses them$",
        hint,
    )
