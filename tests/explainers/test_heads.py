"""Networks that predict a map: gradcam draws the features before the head, and not the prediction."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18, segmentation, squeezenet1_1

from pytest_saliency_sanity import NotApplicable, check_contract
from pytest_saliency_sanity.explainers import gradcam
from pytest_saliency_sanity.outputs import logits, using_forward
from tests.checks.models import seeded
from tests.perturbations.state import state_of

IMAGES = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 1, 3])


def early():
    """Drawn where the network is, from its stream: at the import weights would differ from run to run."""
    return nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()


def conv(*channels: int, side: int = 1) -> nn.Conv2d:
    return nn.Conv2d(*channels, side, padding=side // 2)


def stage(channels: int, made: int) -> nn.Sequential:
    return nn.Sequential(conv(channels, made, side=3), nn.BatchNorm2d(made), nn.ReLU(inplace=True))


def torchvisions(make, **options):
    return make(weights=None, weights_backbone=None, num_classes=5, **options)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.bottom, self.up, self.head = stage(3, 8), stage(8, 16), stage(24, 8), conv(8, 5)

    def forward(self, x):
        skipped = self.down(x)
        low = self.bottom(F.max_pool2d(skipped, 2))
        return self.head(self.up(torch.cat([F.interpolate(low, scale_factor=2), skipped], 1)))


class Scores(nn.Module):
    """Scores of two depths, upsampled by transposed convolutions and added (Long et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(stage(3, 8), nn.MaxPool2d(2), stage(8, 8), nn.MaxPool2d(2))
        self.score, self.twice, self.again = conv(8, 5), *(nn.ConvTranspose2d(5, 5, 2, 2) for _ in "ab")

    def forward(self, x):
        return {"out": self.again(self.twice(self.score(self.features(x)))).sigmoid()}


class Mean(nn.Module):
    """A wrapper that makes logits of a map."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        found = self.network(x)
        return (found if isinstance(found, torch.Tensor) else found["out"]).mean((2, 3))


NETWORKS = {
    "fcn": (lambda: torchvisions(segmentation.fcn_resnet50), "backbone.layer4"),
    "fcn with an auxiliary head": (
        lambda: torchvisions(segmentation.fcn_resnet50, aux_loss=True),
        "backbone.layer4",
    ),
    "deeplab": (lambda: torchvisions(segmentation.deeplabv3_mobilenet_v3_large), "backbone.16"),
    "lraspp": (lambda: torchvisions(segmentation.lraspp_mobilenet_v3_large), "backbone.16"),
    "u-net": (UNet, "up"),
    "scores of several depths": (Scores, "features.3"),
    "a stack": (lambda: nn.Sequential(*early(), conv(8, 5)), "3"),
    "a smaller map": (lambda: nn.Sequential(*early(), nn.MaxPool2d(2), conv(8, 5)), "4"),
    "an activation behind the head": (lambda: nn.Sequential(*early(), conv(8, 5), nn.Sigmoid()), "3"),
    "upsampled": (
        lambda: nn.Sequential(*early(), nn.MaxPool2d(2), conv(8, 5), nn.Upsample(scale_factor=2)),
        "4",
    ),
    "a head of two layers": (
        lambda: nn.Sequential(*early(), nn.Sequential(conv(8, 6), nn.ReLU(), conv(6, 5))),
        "3",
    ),
    "as many features as classes": (
        lambda: nn.Sequential(conv(3, 5, side=3), nn.ReLU(), conv(5, 5, side=3), nn.ReLU(), conv(5, 5)),
        "3",
    ),
}


@pytest.mark.covering
@pytest.mark.parametrize("make, layer", NETWORKS.values(), ids=NETWORKS)
def test_the_last_features_before_the_head_are_the_default(make, layer):
    model = seeded(make).eval()
    before = state_of(model)
    cam = gradcam(model, IMAGES, TARGETS)
    assert torch.equal(cam, gradcam(model, IMAGES, TARGETS, layer=layer))
    assert state_of(model) == before
    assert cam.any()


FORWARDS = {
    "a mean": lambda model, inputs: _out(model(inputs)).mean((2, 3)),
    "of a region": lambda model, inputs: _out(model(inputs))[..., 8:24, 8:24].mean((2, 3)),
    "probabilities": lambda model, inputs: _out(model(inputs)).softmax(1).mean((2, 3)),
    "some classes": lambda model, inputs: _out(model(inputs))[:, 1:].mean((2, 3)),
    "one class": lambda model, inputs: _out(model(inputs))[:, 2:3].mean((2, 3)).expand(-1, 4),
}


def _out(returned):
    return returned if isinstance(returned, torch.Tensor) else returned["out"]


@pytest.mark.parametrize("name", ["lraspp", "u-net"])
@pytest.mark.parametrize("forward", FORWARDS.values(), ids=FORWARDS)
def test_whatever_makes_logits_of_the_map(forward, name):
    make, layer = NETWORKS[name]
    model = seeded(make).eval()
    with using_forward(forward):
        assert torch.equal(gradcam(model, IMAGES, TARGETS), gradcam(model, IMAGES, TARGETS, layer=layer))


# A smaller map that a wrapper pools is what a classifier has that ends in its class maps.
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "a smaller map"])
def test_a_wrapper_is_seen_through(name):
    make, layer = NETWORKS[name]
    model = Mean(seeded(make)).eval()
    cam = gradcam(model, IMAGES, TARGETS)
    assert torch.equal(cam, gradcam(model, IMAGES, TARGETS, layer=f"network.{layer}"))


class Decoded(nn.Module):
    """Its features have no positions."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(3 * 48 * 48, 8), nn.Linear(8, 5 * 12 * 12)

    def forward(self, x):
        return self.decode(self.encode(x.flatten(1)).relu()).reshape(-1, 5, 12, 12)


WITHOUT = {
    "one layer": lambda: nn.Sequential(conv(3, 5, side=3)),
    "one layer and a ReLU": lambda: nn.Sequential(conv(3, 5, side=3), nn.ReLU()),
    "features without positions": Decoded,
}


@pytest.mark.parametrize("make", WITHOUT.values(), ids=WITHOUT)
def test_where_there_are_none_it_refuses_and_names_layer(make):
    with pytest.raises(NotApplicable, match=r"gradcam found no spatial feature.*layer="):
        gradcam(seeded(make).eval(), IMAGES, TARGETS)
    assert check_contract(gradcam, seeded(make).eval(), IMAGES).reason == "not_applicable"


def test_a_layer_that_is_named_is_taken():
    model = seeded(WITHOUT["one layer"]).eval()
    assert gradcam(model, IMAGES, TARGETS, layer="0").shape == (3, 1, 48, 48)


class Both(nn.Module):
    """A classifier that returns its features as well."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Sequential(*early()), nn.Linear(8, 5)

    def forward(self, x):
        features = self.features(x)
        return self.head(features.mean((2, 3))), features


CLASSIFIERS = {
    "resnet": (lambda: resnet18(num_classes=5), "layer4", None),
    "squeezenet, which ends in class maps": (lambda: squeezenet1_1(num_classes=5), "classifier.2", None),
    "class maps that are pooled": (
        lambda: nn.Sequential(*early(), conv(8, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "4",
        None,
    ),
    "as many features as classes": (
        lambda: nn.Sequential(
            nn.Sequential(conv(3, 5, side=3), nn.ReLU()), nn.Flatten(), nn.Linear(11520, 5)
        ),
        "0",
        None,
    ),
    "features are returned, too": (Both, "features", lambda model, inputs: model(inputs)[0]),
    "a layer in front that keeps the image": (
        lambda: nn.Sequential(nn.Sequential(nn.Identity()), *early(), nn.Flatten(), nn.Linear(18432, 5)),
        "4",
        None,
    ),
}


@pytest.mark.parametrize("make, layer, forward", CLASSIFIERS.values(), ids=CLASSIFIERS)
def test_classifiers_keep_their_last_map(make, layer, forward):
    model = seeded(make).eval()
    with using_forward(forward):
        assert logits(model, IMAGES).shape == (3, 5)
        assert torch.equal(gradcam(model, IMAGES, TARGETS), gradcam(model, IMAGES, TARGETS, layer=layer))


def test_a_signal_s_prediction():
    model = seeded(
        lambda: nn.Sequential(nn.Conv1d(2, 8, 5, padding=2), nn.ReLU(), nn.Conv1d(8, 8, 5, padding=2), nn.Tanh(),
                              nn.Conv1d(8, 5, 1))
    ).eval()  # fmt: skip
    signals = torch.rand(3, 2, 40, generator=torch.Generator().manual_seed(0))
    with using_forward(lambda model, inputs: model(inputs).mean(2)):
        assert torch.equal(gradcam(model, signals, TARGETS), gradcam(model, signals, TARGETS, layer="3"))


def test_no_hook_is_left_after_an_exception():
    model = seeded(UNet).eval()
    with pytest.raises(RuntimeError):
        gradcam(model, torch.rand(3, 4, 48, 48), TARGETS)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_segformer():
    transformers = pytest.importorskip("transformers")
    options = {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2]}
    config = transformers.SegformerConfig(num_labels=5, decoder_hidden_size=16, **options)
    model = seeded(functools.partial(transformers.SegformerForSemanticSegmentation, config)).eval()
    cam = gradcam(model, IMAGES, TARGETS)
    norms = [name for name, module in model.segformer.named_modules() if isinstance(module, nn.LayerNorm)]
    layer = f"segformer.{norms[-1]}"
    torch.testing.assert_close(cam, gradcam(model, IMAGES, TARGETS, layer=layer))
