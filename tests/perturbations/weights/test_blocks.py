from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pytest_saliency_sanity.outputs import using_forward
from pytest_saliency_sanity.perturbations.weights.blocks import Block, find_blocks
from tests.perturbations.architectures import KINDS, SmallResNet, Tied, build, images
from tests.perturbations.state import state_of

NAMES = {
    "mlp": ["1", "3", "5", "7"],
    "resnet": ["conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "fc"],
    "vit": ["patches", "layers.0", "layers.1", "head"],
    "head_first": ["first", "second", "third", "head"],
    "functional": ["w1", "w0", "w2", "w3"],
    "parametrized": ["0", "2", "4", "7"],
    "lazy": ["0", "4", "6", "8"],
    "recurrent": ["embed", "lstm", "head"],
    "tied": ["middle", "decoder"],
    "tied_functionally": ["middle", "encoder.weight"],
}


def _names(blocks: tuple[Block, ...]) -> list[str]:
    return [block.name for block in blocks]


def _by_name(blocks: tuple[Block, ...]) -> dict[str, Block]:
    return {block.name: block for block in blocks}


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_in_execution_order_from_the_input_up(kind):
    assert _names(find_blocks(build(kind), images())) == NAMES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_every_used_parameter_is_in_exactly_one_block(kind):
    model = build(kind)
    blocks = find_blocks(model, images())
    named = dict(model.named_parameters(remove_duplicate=False))
    listed = [id(named[name]) for block in blocks for name in block.parameters]
    model.requires_grad_(True)(images()).sum().backward()
    used = {id(p) for p in model.parameters() if p.grad is not None}
    assert len(listed) == len(set(listed)) and set(listed) == used


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lazy"])
@pytest.mark.parametrize("training", [True, False])
def test_looking_at_a_model_changes_nothing(kind, training):
    model = build(kind).train(training)
    before = state_of(model)
    find_blocks(model, images())
    assert state_of(model) == before


def test_norms_and_tokens_join_the_block_before_them():
    blocks = _by_name(find_blocks(build("vit"), images()))
    assert {"class_token", "position"} < set(blocks["patches"].parameters)
    assert {"norm.weight", "norm.bias"} < set(blocks["layers.1"].parameters)
    assert {"layers.0.attention.in_proj_weight", "layers.0.scale"} < set(blocks["layers.0"].parameters)
    assert blocks["head"] == Block("head", ("head.weight", "head.bias"), (), ("head",))


def test_batch_norm_joins_its_convolution_with_its_statistics():
    stem = find_blocks(build("resnet"), images())[0]
    assert stem.parameters == ("conv1.weight", "bn1.weight", "bn1.bias")
    assert stem.buffers == ("bn1.running_mean", "bn1.running_var")
    assert stem.layers == ("conv1", "bn1")


def test_a_norm_of_the_input_joins_the_first_layer():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    first = find_blocks(model, images())[0]
    assert first.name == "2" and "0.weight" in first.parameters and "0.running_var" in first.buffers


def test_batch_norm_without_parameters_is_reset_too():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(144, 2)
    )
    assert find_blocks(model, images())[0].buffers == ("1.running_mean", "1.running_var")


def test_auxiliary_heads_that_never_run_are_no_block():
    blocks = find_blocks(build("resnet").train(), images())
    assert not any("AuxLogits" in name for block in blocks for name in block.parameters)


def test_a_tied_weight_belongs_to_its_topmost_use():
    blocks = _by_name(find_blocks(build("tied"), images()))
    assert blocks["decoder"].parameters[0] == "decoder.weight"
    assert "encoder.weight" not in blocks["middle"].parameters


def test_weights_that_share_memory_as_two_parameters_are_one():
    model = Tied()
    model.decoder.weight = nn.Parameter(model.encoder.weight.data)
    blocks = _by_name(find_blocks(model, images()))
    assert "decoder.weight" in blocks["decoder"].parameters
    assert not any("encoder.weight" in block.parameters for block in blocks.values())


def test_a_module_that_runs_twice_counts_where_it_runs_last():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.between, self.stem = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(192, 8)

        def forward(self, x):
            return self.shared(self.between(self.shared(self.stem(x.flatten(1)))))

    assert _names(find_blocks(Twice(), images())) == ["stem", "between", "shared"]


def test_a_large_backbone_is_split_and_a_small_module_is_not():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.b(F.relu(self.a(x)))

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.pairs = nn.Linear(192, 8), nn.ModuleList(Pair() for _ in range(3))

        def forward(self, x):
            x = self.stem(x.flatten(1))
            for pair in self.pairs:
                x = pair(x)
            return x

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.backbone = Pair(), Backbone()

        def forward(self, x):
            return self.head(self.backbone(x))

    names = ["backbone.stem", "backbone.pairs.0", "backbone.pairs.1", "backbone.pairs.2", "head"]
    assert _names(find_blocks(Whole(), images())) == names


def test_a_network_of_one_wrapped_block_is_split_until_a_cascade_makes_sense():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.ModuleDict({"a": SmallResNet(), "b": SmallResNet()})

        def forward(self, x):
            return self.body["a"](x) + self.body["b"](x)

    assert len(find_blocks(Halves(), images())) >= 4


def test_frozen_parameters_are_in_blocks_like_others():
    model = build("resnet")
    expected = find_blocks(model, images())
    assert find_blocks(model.requires_grad_(False), images()) == expected


def test_a_parameter_that_no_torch_function_is_seen_to_take_is_found_by_its_gradient():
    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, weight):
            ctx.save_for_backward(x, weight)
            with torch._C.DisableTorchFunction():
                return x @ weight

        @staticmethod
        def backward(ctx, gradient):
            x, weight = ctx.saved_tensors
            return gradient @ weight.t(), x.t() @ gradient

    class Extension(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.compiled, self.idle = nn.Linear(8, 2), nn.Linear(8, 8), nn.Linear(8, 8)
            self.stem = nn.Linear(192, 8)

        def forward(self, x):
            return self.head(Hidden.apply(self.stem(x.flatten(1)), self.compiled.weight))

    model = Extension().requires_grad_(False)
    listed = [name for block in find_blocks(model, images()) for name in block.parameters]
    assert "compiled.weight" in listed and not any(name.startswith("idle") for name in listed)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_forward_says_how_the_model_is_called():
    class Returning(SmallResNet):
        def forward(self, x, *, scale):
            return {"scores": super().forward(x * scale)}

    def forward(model, inputs):
        return model(inputs, scale=2)["scores"]

    model = Returning().eval()
    assert _names(find_blocks(model, images(), forward=forward)) == NAMES["resnet"]
    with using_forward(forward):
        assert _names(find_blocks(model, images())) == NAMES["resnet"]


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.join, self.left, self.right = nn.Linear(8, 3), nn.Linear(192, 4), nn.Linear(192, 4)

        def forward(self, a, b):
            return self.join(torch.cat([self.left(a.flatten(1)), self.right(b.flatten(1))], 1))

    assert _names(find_blocks(Two(), (images(), images()))) == ["left", "right", "join"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_scripted_models_have_the_same_blocks_in_order_of_registration():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
            )
            self.aux, self.a, self.b = nn.Linear(4, 4), nn.Linear(64, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.b(self.a(self.features(x).flatten(1)))

    blocks = find_blocks(torch.jit.script(Plain().eval()), images())
    assert _names(blocks) == ["features.0", "features.3", "a", "b"]
    assert "features.1.running_mean" in blocks[0].buffers and "features.1.weight" in blocks[0].parameters


@pytest.mark.parametrize("part", ["whole", "inner", "in place"])
def test_compiled_models_have_the_blocks_of_the_network_inside(part):
    model = build("resnet")
    expected = find_blocks(model, images())
    if part == "whole":
        compiled = torch.compile(model, backend="eager")
        compiled(images())
        assert find_blocks(compiled, images()) == expected
    elif part == "in place":
        model.compile(backend="eager")
        model(images())
        assert find_blocks(model, images()) == expected
    else:
        model.layer1[0] = torch.compile(model.layer1[0], backend="eager")
        model(images())
        assert _names(find_blocks(model, images())) == _names(expected)


def test_data_parallel_has_the_blocks_of_the_network_inside():
    model = build("resnet")
    assert find_blocks(nn.DataParallel(model), images()) == find_blocks(model, images())


def test_names_pick_blocks_in_execution_order_whatever_their_order():
    blocks = find_blocks(build("resnet"), images(), names=("fc", "layer1", "layer2.0.conv1.weight"))
    assert _names(blocks) == ["layer1", "layer2.0.conv1.weight", "fc"]
    assert len(blocks[0].parameters) == 18 and len(blocks[0].buffers) == 12
    assert blocks[1].parameters == ("layer2.0.conv1.weight",)


def test_a_tied_weight_stays_in_the_block_it_is_named_for():
    blocks = find_blocks(build("tied_functionally"), images(), names=("encoder", "middle"))
    assert _names(blocks) == ["middle", "encoder"]
    assert set(blocks[1].parameters) == {"encoder.weight", "encoder.bias"}


BAD_NAMES = {
    "unknown": (
        ("fc", "layer9"),
        r"SmallResNet has no 'layer9'; its blocks are 'conv1', 'layer1.0', .* can be named",
    ),
    "never runs": (
        ("fc", "AuxLogits"),
        "The forward pass uses no parameter of 'AuxLogits'; its blocks are 'conv1'",
    ),
    "overlap": (
        ("layer1", "layer1.0"),
        "puts the parameter 'layer1.0.conv1.weight' into two blocks, 'layer1' and",
    ),
    "twice": (("fc", "fc"), "puts the parameter 'fc.weight' into two blocks, 'fc' and 'fc'"),
    "none": ((), r"names= must be a sequence of names of modules or parameters, got \(\)"),
    "a string": ("fc", "names= must be a sequence of names of modules or parameters, got 'fc'"),
}


@pytest.mark.parametrize("names, message", BAD_NAMES.values(), ids=BAD_NAMES)
def test_bad_names_are_refused_with_the_choices(names, message):
    with pytest.raises(ValueError, match=message):
        find_blocks(build("resnet"), images(), names=names)


def test_tied_weights_named_in_two_blocks_are_refused():
    with pytest.raises(ValueError, match="into two blocks, 'encoder' and 'decoder'"):
        find_blocks(build("tied"), images(), names=("encoder", "decoder"))


def test_blocks_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        find_blocks(build("mlp"), images())[0].name = "other"


COUNTS = {
    "resnet18": 10, "resnet50": 18, "vgg16": 16, "vgg16_bn": 16, "inception_v3": 17, "googlenet": 13,
    "densenet121": 9, "mobilenet_v2": 20, "mobilenet_v3_large": 19, "efficientnet_b0": 19,
    "convnext_tiny": 23, "vit_b_16": 14, "swin_t": 17, "alexnet": 8,
}  # fmt: skip


@pytest.mark.extended
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_torchvision_models(name):
    models = pytest.importorskip("torchvision.models")
    model = getattr(models, name)(weights=None)
    blocks = find_blocks(
        model, torch.randn(1, 3, 299, 299) if "inception" in name else torch.randn(1, 3, 224, 224)
    )
    auxiliary = [n for n, _ in model.named_parameters() if n.lower().startswith("aux")]
    assert len(blocks) == COUNTS[name]
    assert sum(len(block.parameters) for block in blocks) == len(list(model.parameters())) - len(auxiliary)
