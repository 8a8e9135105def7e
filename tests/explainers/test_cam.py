"""Grad-CAM finds the last spatial feature map of any network, with the right axis for its channels."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_saliency_sanity import NotApplicable, check_contract
from pytest_saliency_sanity.explainers import gradcam, guided_backprop, guided_gradcam

close = torch.testing.assert_close


def cam_by_hand(features, gradients, size, relu=True):
    """Selvaraju et al. 2017, equations 1 and 2, for maps (C, H, W) of one image."""
    total = torch.zeros(features.shape[1:], dtype=features.dtype)
    for channel, gradient in zip(features, gradients, strict=True):
        total += gradient.mean() * channel
    total = total.clamp(min=0) if relu else total
    return F.interpolate(total[None, None], size=size, mode="bilinear")[0]


@pytest.mark.parametrize("relu", [True, False])
def test_by_hand(cnn, images, targets, relu):
    features = cnn[:4](images).detach().requires_grad_()
    gradients = torch.autograd.grad(cnn[4:](features)[range(4), targets].sum(), features)[0]
    expected = torch.stack(
        [cam_by_hand(f.detach(), g, (12, 12), relu) for f, g in zip(features, gradients, strict=True)]
    )
    close(gradcam(cnn, images, targets, relu=relu), expected)
    close(gradcam(cnn, images, targets, relu=relu, layer="3"), expected)
    close(gradcam(cnn, images, targets, relu=relu, layer=cnn[3]), expected)


def test_captum_agrees(cnn, images, targets):
    attr = pytest.importorskip("captum.attr")
    for index in (0, 1, 2, 3):
        theirs = attr.LayerGradCam(cnn, cnn[index]).attribute(images, targets, relu_attributions=True)
        theirs = attr.LayerAttribution.interpolate(theirs, (12, 12), "bilinear")
        close(gradcam(cnn, images, targets, layer=str(index)), theirs.detach())


def test_guided_gradcam_is_the_product(cnn, images, targets):
    attr = pytest.importorskip("captum.attr")
    product = guided_backprop(cnn, images, targets) * gradcam(cnn, images, targets)
    close(guided_gradcam(cnn, images, targets), product)
    theirs = attr.GuidedGradCam(cnn, cnn[3]).attribute(images, targets, interpolate_mode="bilinear")
    close(guided_gradcam(cnn, images, targets, layer="3"), theirs.detach())


def test_at_the_relu_of_one_convolution():
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    x = torch.randn(2, 1, 6, 6)
    close(gradcam(lambda v: conv(v).relu().mean((1, 2, 3)), x, [0, 0]) * 36, conv(x).relu().detach())


def test_a_layer_before_an_inplace_relu_keeps_its_output(cnn, images, targets):
    in_place = nn.Sequential(*cnn[:3], nn.ReLU(inplace=True), *cnn[4:])
    for layer in ("2", "3", None):
        close(gradcam(in_place, images, targets, layer=layer), gradcam(cnn, images, targets, layer=layer))


def test_signals_and_volumes(signal_cnn):
    assert gradcam(signal_cnn, torch.randn(3, 2, 24), [0, 1, 2]).shape == (3, 1, 24)
    volume_cnn = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 27, 2))
    assert gradcam(volume_cnn, torch.randn(2, 1, 5, 5, 5), [0, 1]).shape == (2, 1, 5, 5, 5)


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
def test_dtypes(cnn, images, targets, dtype):
    cam = gradcam(cnn.to(dtype), images.to(dtype), targets)
    assert cam.dtype == dtype
    close(cam.float(), gradcam(cnn.float(), images, targets), rtol=0.1, atol=0.05)


def test_class_tokens_are_dropped_and_the_last_block_goes_by_its_patches(tiny_vit):
    x, targets = torch.randn(3, 3, 16, 16), [0, 1, 2]
    cam = gradcam(tiny_vit, x, targets)
    close(cam, gradcam(tiny_vit, x, targets, layer="blocks.1.norm1"))
    assert cam.flatten(1).std(1).min() > 0
    assert gradcam(tiny_vit, x, targets, layer="norm").eq(0).all()


def test_tokens_by_hand(tiny_vit):
    x, seen = torch.randn(2, 3, 16, 16), []
    tiny_vit.blocks[1].norm1.register_forward_hook(lambda module, args, out: seen.append(out))
    scores = tiny_vit(x.requires_grad_())[range(2), [4, 2]].sum()
    gradients = torch.autograd.grad(scores, seen[0])[0]
    grids = [tensor.detach()[:, 1:].transpose(1, 2).reshape(2, 16, 4, 4) for tensor in (seen[0], gradients)]
    expected = torch.stack([cam_by_hand(f, g, (16, 16)) for f, g in zip(*grids, strict=True)])
    close(gradcam(tiny_vit, x.detach(), [4, 2]), expected)


def test_without_a_class_token_the_last_norm_counts(make_vit):
    model, x = make_vit(read="mean").eval(), torch.randn(2, 3, 16, 24)
    close(gradcam(model, x, [0, 1]), gradcam(model, x, [0, 1], layer="norm"))


def test_as_many_tokens_as_images(tiny_vit):
    x, targets = torch.randn(17, 3, 16, 16), [0] * 17
    close(gradcam(tiny_vit, x, targets)[:2], gradcam(tiny_vit, x[:2], targets[:2]))


class ChannelsLast(nn.Module):
    """Swin's way: patches, then (N, H, W, C) throughout; fewer channels than the image is wide."""

    def __init__(self, back: bool) -> None:
        super().__init__()
        self.back = back
        self.embed = nn.Conv2d(3, 6, 4, stride=4)
        self.norm = nn.LayerNorm(6)
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        x = x + F.gelu(self.mix(self.norm(x)))
        if self.back:
            return self.head(F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1))
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize("back", [True, False])
def test_channels_last(back):
    model, x = ChannelsLast(back), torch.randn(2, 3, 12, 20)
    features = model.embed(x).permute(0, 2, 3, 1)
    features = (features + F.gelu(model.mix(model.norm(features)))).permute(0, 3, 1, 2).detach()
    expected = [
        cam_by_hand(f, w[:, None, None].expand_as(f) / 15, (12, 20))
        for f, w in zip(features, model.head.weight[[1, 4]].detach(), strict=True)
    ]
    close(gradcam(model, x, [1, 4]), torch.stack(expected))


def test_a_map_of_parameters_alone_is_passed_over(cnn, images):
    weight, bias = nn.Parameter(torch.randn(1, 3, 6, 6)), nn.Conv2d(3, 5, 3)

    def model(x):
        return cnn(x) + bias(weight).mean((2, 3))

    close(gradcam(model, images[:1], [0]), gradcam(cnn, images[:1], [0]))


def test_an_untrained_head_of_zeros_gives_a_map_of_zeros(tiny_vit):
    nn.init.zeros_(tiny_vit.head.weight)
    assert gradcam(tiny_vit, torch.randn(2, 3, 16, 16), [0, 1]).eq(0).all()


def test_without_feature_maps(mlp, images, targets):
    with pytest.raises(
        ValueError, match=r"gradcam found no spatial feature map in Sequential \(an MLP has none\)"
    ):
        gradcam(mlp, images, targets)
    with pytest.raises(ValueError, match="found no spatial feature map"):
        gradcam(lambda x: mlp(F.avg_pool2d((x - 0.5) / 0.3, 1)), images, targets)


def test_bad_layers(cnn, mlp, images, targets):
    with pytest.raises(
        ValueError, match="Unknown layer 'last'; the layers of Sequential are 0, 1, 2, 3, 4, 5"
    ):
        gradcam(cnn, images, targets, layer="last")
    with pytest.raises(
        ValueError, match=r"layer=ReLU\(...\) is not a module of this Sequential .* dotted name"
    ):
        gradcam(cnn, images, targets, layer=copy.deepcopy(cnn)[3])
    with pytest.raises(ValueError, match=r"output of the layer 1 is not a map over .*: \(4, 16\)"):
        gradcam(mlp, images, targets, layer="1")
    cnn.aside = nn.Identity()
    with pytest.raises(ValueError, match=r"The layer whole\.aside does not run"):
        gradcam(Without(cnn), images, targets, layer="whole.aside")
    assert not any(module._forward_hooks for module in cnn.modules())


class Without(nn.Module):
    def __init__(self, whole) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x):
        return self.whole[:6](x)


def test_a_layer_beside_the_way(cnn, images, targets):
    class Beside(Without):
        def forward(self, x):
            self.whole[0](x)
            return self.whole[4:](self.whole[2:4](self.whole[0].weight.new_zeros(4, 6, 10, 10) + x.mean()))

    with pytest.raises(ValueError, match=r"does not depend on the output of the layer whole\.0"):
        gradcam(Beside(cnn), images, targets, layer="whole.0")


def test_bad_inputs(two_branches, cnn):
    with pytest.raises(TypeError, match="one tensor of inputs, got a tuple of 2"):
        gradcam(two_branches, (torch.randn(1, 3, 8, 8), torch.randn(1, 2, 9)), [0])
    with pytest.raises(ValueError, match=r"one to three spatial dimensions, got \(4, 7\)"):
        gradcam(nn.Linear(7, 2), torch.randn(4, 7), [0] * 4)


def test_compiled_models_are_refused(cnn, images, targets):
    cnn[0].compile()
    with pytest.raises(ValueError, match=r"gradcam intercepts .* the submodule '0', which is compiled"):
        gradcam(cnn, images, targets)


def same_map(name, size, layer):
    models = pytest.importorskip("torchvision.models")
    model = getattr(models, name)(weights=None).eval()
    if name.startswith("vit"):
        nn.init.normal_(model.heads.head.weight, std=0.02)
    x = torch.randn(2, 3, size, size)
    cam = gradcam(model, x, [1, 2], relu=False)
    assert cam.shape == (2, 1, size, size) and cam.flatten(1).std(1).max() > 0
    if layer is not None:
        close(cam, gradcam(model, x, [1, 2], relu=False, layer=layer))


@pytest.mark.parametrize(
    "name, layer",
    [
        ("resnet18", "layer4"),
        ("swin_t", "permute"),
        ("convnext_tiny", "features.7"),
    ],
)
def test_networks_of_torchvision(name, layer):
    same_map(name, 64, layer)


@pytest.mark.extended
@pytest.mark.parametrize(
    "name, size, layer",
    [
        ("vit_b_16", 224, "encoder.layers.encoder_layer_11.ln_1"),
        ("vgg11_bn", 64, "avgpool"),
        ("densenet121", 64, None),
        ("inception_v3", 128, "Mixed_7c"),
        ("swin_v2_t", 64, "permute"),
        ("efficientnet_b0", 64, "features"),
        ("mobilenet_v3_small", 64, "features"),
        ("squeezenet1_0", 64, "classifier.2"),
        ("maxvit_t", 224, "blocks.3"),
        ("shufflenet_v2_x0_5", 64, "conv5"),
    ],
)
def test_more_networks_of_torchvision(name, size, layer):
    same_map(name, size, layer)


def frozen(module, x):
    with torch.no_grad():
        return module(x)


class Parts(nn.Module):
    """A backbone and a head; `use` runs them."""

    def __init__(self, use, **layers):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU())
        self.neck, self.head = nn.Conv2d(6, 6, 1), nn.Linear(6, 5)
        self.use = use
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x):
        return self.head(self.use(self, x))


WITHOUT_GRADIENT = {
    "a backbone under no_grad": lambda net, x: frozen(net.backbone, x).mean((2, 3)),
    "a backbone in inference": lambda net, x: frozen(net.backbone, x).clone().amax((2, 3)),
    "detached": lambda net, x: net.backbone(x.detach()).detach().mean((2, 3)),
    "the input is detached": lambda net, x: net.neck(net.backbone(x.detach())).mean((2, 3)),
    "a neck behind it": lambda net, x: net.neck(frozen(net.backbone, x)).mean((2, 3)),
}


@pytest.mark.parametrize("use", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT)
def test_a_backbone_without_gradients_has_its_own_reason(use, images, targets):
    model = Parts(use).eval()
    with pytest.raises(
        NotApplicable,
        match=r"the feature maps of Parts have no gradient: .* under torch\.no_grad\(\), or detached; let the "
        r"gradient",
    ):
        gradcam(model, images, targets)
    assert check_contract(gradcam, model, images).reason == "not_applicable"


def test_a_layer_under_no_grad_says_so(images, targets):
    model = Parts(WITHOUT_GRADIENT["a backbone under no_grad"]).eval()
    with pytest.raises(
        NotApplicable, match=r"output of the layer backbone has no gradient: .* torch\.no_grad"
    ):
        gradcam(model, images, targets, layer="backbone")


def read(net, x, last=lambda out: out[0][:, -1]):
    return last(net.recurrent(x[:, 0]))


class Cell(nn.Module):
    """Reads rows one after the other by a cell."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, rows):
        state = None
        for row in rows.unbind(1):
            state = self.cell(row, state)
        return (torch.stack([state[0] if isinstance(state, tuple) else state], 1),)


RECURRENT = {
    "LSTM": lambda side: nn.LSTM(side, 6, batch_first=True),
    "GRU": lambda side: nn.GRU(side, 6, batch_first=True),
    "RNN": lambda side: nn.RNN(side, 6, batch_first=True),
    "RNN with ReLU": lambda side: nn.RNN(side, 6, batch_first=True, nonlinearity="relu"),
    "LSTM both ways": lambda side: nn.LSTM(side, 3, batch_first=True, bidirectional=True),
    "LSTM by a cell": lambda side: Cell(nn.LSTMCell(side, 6)),
    "GRU by a cell": lambda side: Cell(nn.GRUCell(side, 6)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_has_its_own_reason(name, images, targets):
    model = Parts(read, recurrent=RECURRENT[name](images.shape[-1])).eval()
    with pytest.raises(
        NotApplicable,
        match=rf"in Parts: its recurrent layer \({name.split()[0]}\) reads the positions one by one",
    ):
        gradcam(model, images, targets)


def test_convolutions_in_front_of_a_recurrent_layer_have_a_map(images, targets):
    model = Parts(
        lambda net, x: net.recurrent(net.backbone(x).mean(2).movedim(1, 2))[0][:, -1],
        recurrent=nn.LSTM(6, 6, batch_first=True),
    ).eval()
    assert torch.equal(gradcam(model, images, targets), gradcam(model, images, targets, layer="backbone"))
