"""Guided backpropagation and DeconvNet act on every ReLU that runs, however it is written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_saliency_sanity.explainers import deconvnet, gradient, guided_backprop

close = torch.testing.assert_close
BOTH = (guided_backprop, deconvnet)

SPELLINGS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu positional": lambda x: F.relu(x, True),
    "F.relu_": F.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "Tensor.relu_ as a statement": lambda x: (x.relu_(), x)[1],
    "aten": torch.ops.aten.relu,
    "aten overload": torch.ops.aten.relu.default,
    "nn.Threshold": nn.Threshold(0, 0),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "F.threshold_": lambda x: F.threshold_(x, 0, 0),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 1e9),
    "F.hardtanh in place": lambda x: F.hardtanh(x, min_val=0.0, max_val=1e9, inplace=True),
    "nn.Hardtanh": nn.Hardtanh(0, 1e9),
    "torch.clamp": lambda x: torch.clamp(x, 0),
    "Tensor.clamp": lambda x: x.clamp(min=0),
    "Tensor.clamp both": lambda x: x.clamp(0, 1e9),
    "Tensor.clamp tensor": lambda x: x.clamp(min=torch.tensor(0.0)),
    "Tensor.clamp_": lambda x: x.clamp_(min=0),
    "Tensor.clip": lambda x: x.clip(0),
    "Tensor.clamp_min": lambda x: x.clamp_min(0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "torch.maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "torch.max": lambda x: torch.max(x, x.new_zeros(())),
    "on a view": lambda x: (x.view(len(x), -1).relu_(), x)[1],
    "on a slice": lambda x: (x[:, :].relu_(), x)[1],
}  # fmt: skip

SPELLINGS_OF_SIX = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "F.relu6 in place": lambda x: F.relu6(x, inplace=True),
    "F.hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "F.hardtanh_": lambda x: F.hardtanh_(x, 0.0, 6.0),
    "clamp": lambda x: x.clamp(0, 6),
    "clip_": lambda x: x.clip_(min=0, max=6),
}


class Spelled(nn.Module):
    """The same two layers, rectified by `relu`, which is used twice."""

    def __init__(self, relu) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, 6, 3).double()
        self.second = nn.Conv2d(6, 6, 3).double()
        self.head = nn.Linear(6, 5).double()
        self.relu = relu

    def forward(self, x):
        x = self.relu(self.first(4 * x))
        return self.head(self.relu(self.second(x)).mean((2, 3)))


def by_hand(model, x, targets, guided, upper=float("inf")):
    """The backward pass written out: Springenberg et al. 2015, figure 1."""
    first = model.first(4 * x)
    second = model.second(first.clamp(0, upper))

    def rectified(grad, before):
        return grad.clamp(min=0) * ((before > 0) & (before < upper) if guided else 1)

    grad = model.head.weight[targets][:, :, None, None].expand_as(second) / second[0, 0].numel()
    grad = F.conv_transpose2d(rectified(grad, second), model.second.weight)
    return (4 * F.conv_transpose2d(rectified(grad, first), model.first.weight)).detach()


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("explain", BOTH)
def test_every_spelling_of_relu(explain, spelling, images, targets):
    model = Spelled(SPELLINGS[spelling])
    expected = by_hand(model, images.double(), targets, guided=explain is guided_backprop)
    close(explain(model, images.double(), targets), expected)
    assert (gradient(model, images.double(), targets) - expected).abs().max() > 1e-4


@pytest.mark.parametrize("spelling", SPELLINGS_OF_SIX)
@pytest.mark.parametrize("explain", BOTH)
def test_every_spelling_of_relu6(explain, spelling, images, targets):
    model = Spelled(SPELLINGS_OF_SIX[spelling])
    assert (model.first(4 * images.double()) > 6).any()
    expected = by_hand(model, images.double(), targets, explain is guided_backprop, upper=6)
    close(explain(model, images.double(), targets), expected)


@pytest.mark.parametrize("spelling", [*SPELLINGS])
def test_the_model_computes_what_it_did(spelling, images, targets):
    model, seen = Spelled(SPELLINGS[spelling]), []
    expected = model(images.double())
    model.register_forward_hook(lambda module, args, out: seen.append(out.detach()))
    guided_backprop(model, images.double(), targets)
    assert torch.equal(seen[0], expected)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations")
def test_captum_agrees(cnn, images, targets):
    attr = pytest.importorskip("captum.attr")
    close(guided_backprop(cnn, images, targets), attr.GuidedBackprop(cnn).attribute(images, targets))
    close(deconvnet(cnn, images, targets), attr.Deconvolution(cnn).attribute(images, targets))


def test_one_convolution_is_its_own_gradient():
    conv = nn.Conv2d(1, 1, 3).double()
    x = torch.randn(2, 1, 6, 6).double()

    def model(v):
        return conv(v).relu().sum((1, 2, 3))

    close(guided_backprop(model, x, [0, 0]), gradient(model, x, [0, 0]))
    assert guided_backprop(lambda v: -model(v), x, [0, 0]).eq(0).all()


def test_signals_and_tuples(signal_cnn, two_branches):
    signals = torch.randn(3, 2, 24)
    assert guided_backprop(signal_cnn, signals, [0, 1, 2]).shape == signals.shape
    inputs = torch.randn(3, 3, 8, 8), torch.randn(3, 2, 9)
    assert [m.shape for m in guided_backprop(two_branches, inputs, [0, 1, 2])] == [x.shape for x in inputs]


def test_data_parallel_is_looked_into(cnn, images, targets):
    close(guided_backprop(nn.DataParallel(cnn), images, targets), guided_backprop(cnn, images, targets))


@pytest.mark.parametrize("explain", BOTH)
@pytest.mark.parametrize("activation, named", [
    (nn.GELU(), "GELU"), (nn.SiLU(inplace=True), "SiLU"), (nn.Hardswish(), "Hardswish"), (nn.ELU(), "ELU"),
    (nn.LeakyReLU(), "LeakyReLU"), (torch.tanh, "Tanh"), (torch.Tensor.sigmoid_, "Sigmoid"),
    (nn.Hardtanh(), "Hardtanh"), (nn.Softplus(), "Softplus"), (nn.PReLU(), "PReLU"), (nn.Mish(), "Mish"),
])  # fmt: skip
def test_without_a_relu_there_is_nothing_to_guide(explain, activation, named, images, targets):
    model = Spelled(activation.double() if isinstance(activation, nn.Module) else activation)
    message = rf"^{explain.__name__} .* no ReLU runs in Spelled \(the activations that run are {named}\)"
    with pytest.raises(ValueError, match=message):
        explain(model, images.double(), targets)


@pytest.mark.parametrize("activation", [
    lambda x: x, lambda x: x.clamp(min=-1), lambda x: x.clamp(max=1), lambda x: F.threshold(x, 0.1, 0),
    lambda x: torch.maximum(x, torch.ones_like(x)), lambda x: x + x.max() * 0,
])  # fmt: skip
def test_what_is_no_relu_is_left_alone(activation, images, targets):
    with pytest.raises(ValueError, match=r"no ReLU runs in Spelled \(no activation runs\)"):
        guided_backprop(Spelled(activation), images.double(), targets)


def test_a_relu_of_parameters_alone_does_not_count(images, targets):
    scale = nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match="no ReLU runs"):
        guided_backprop(lambda x: (x * scale.relu()).mean((2, 3)), images, torch.zeros_like(targets))


def refused(model, images, targets):
    with pytest.raises(
        ValueError, match="intercepts the functions that a model calls, but cannot see inside"
    ) as e:
        guided_backprop(model, images, targets)
    return str(e.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_models_are_refused(cnn, images, targets):
    assert "the model, which is scripted" in refused(torch.jit.trace(cnn, images), images, targets)
    part = nn.Sequential(torch.jit.trace(cnn[:2], images), *cnn[2:])
    assert "the submodule '0', which is scripted" in refused(part, images, targets)


def test_compiled_models_are_refused(cnn, images, targets):
    assert "the model, which is compiled" in refused(torch.compile(cnn), images, targets)
    assert "the model, which is compiled" in refused(torch.compile(lambda x: cnn(x)), images, targets)
    part = nn.Sequential(torch.compile(cnn[:2]), *cnn[2:])
    assert "the submodule '0', which is compiled" in refused(part, images, targets)
    cnn[1].compile()
    assert "the submodule '1', which is compiled" in refused(cnn, images, targets)


def test_inception_v3_with_its_functional_relus():
    models = pytest.importorskip("torchvision.models")
    model = models.inception_v3(weights=None, init_weights=False).eval()
    x, targets = torch.randn(1, 3, 75, 75), [3]
    plain = gradient(model, x, targets)
    for explain in BOTH:
        cosine = F.cosine_similarity(explain(model, x, targets).flatten(), plain.flatten(), 0)
        assert cosine.abs() < 0.9


@pytest.mark.parametrize(
    "name, activations", [("convnext_tiny", "GELU"), ("efficientnet_b0", "SiLU, Sigmoid")]
)
def test_networks_of_torchvision_without_relu(name, activations):
    models = pytest.importorskip("torchvision.models")
    model = getattr(models, name)(weights=None).eval()
    with pytest.raises(ValueError, match=rf"\(the activations that run are {activations}\)"):
        guided_backprop(model, torch.randn(1, 3, 32, 32), [3])


@pytest.mark.extended
def test_swin_v2_has_relus_only_among_its_parameters():
    models = pytest.importorskip("torchvision.models")
    with pytest.raises(ValueError, match="no ReLU runs in SwinTransformer"):
        guided_backprop(models.swin_v2_t(weights=None).eval(), torch.randn(1, 3, 64, 64), [3])
