"""What a model leaves behind in its own forward pass is not the explainer's doing; what an explainer leaves is."""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient, integrated_gradients, occlusion, sobel
from tests.checks.models import cnn, images, norm_cnn, seeded
from tests.perturbations.state import state_of


class Recording(nn.Module):
    """Installs hooks on its layers at the first call that asks for what they return."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.layers, self.always, self.kept = cnn(), always, None

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        if (self.always or features) and self.kept is None:
            self.kept = []
            for layer in self.layers:
                layer.register_forward_hook(lambda layer, arguments, output: self.kept.append(output.shape))
        return self.layers(x)


class Building(nn.Module):
    """Builds its head when it sees the first input."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = cnn()[:5], None

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        if self.head is None:
            self.head = nn.Linear(features.shape[1], 4).to(features.device, features.dtype)
        return self.head(features)


class BuildingInside(nn.Module):
    """Builds a module among its layers at the first call that asks for features."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()

    def forward(self, x: Tensor, features: bool = False) -> Tensor:
        if features and not hasattr(self.layers, "extra"):
            self.layers.extra = nn.Identity()
        return self.layers(x)


class Caching(nn.Module):
    """Keeps a mask, as an attribute and as a buffer, from its first call on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.mask = cnn(), None

    def forward(self, x: Tensor) -> Tensor:
        if self.mask is None or self.mask.shape != x.shape[2:]:
            self.mask = torch.ones(x.shape[2:])
            self.register_buffer("table", torch.ones(x.shape[2:]), persistent=False)
        return self.layers(x * self.mask * self.table)


class Counting(nn.Module):
    """Counts its calls in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layers(x)


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(cnn())


def asking(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Asks for features, as attention rollout does for attentions."""
    inputs = inputs.clone().requires_grad_()
    score = model(inputs, features=True).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(score, inputs)[0]


@pytest.mark.parametrize(
    "explainer, make",
    [
        (gradient, lambda: Recording(always=True)),
        (asking, Recording),
        (gradient, Building),
        (gradient, Caching),
        (gradient, Counting),
        (gradient, scripted),
        (gradient, lambda: torch.compile(cnn(), backend="eager")),
    ],
    ids=["always", "asked", "building", "caching", "counting", "scripted", "compiled"],
)
def test_nobody_is_accused_of_it(explainer: Any, make: Any) -> None:
    model = seeded(make).eval()
    verdict = check_contract(explainer, model, images(8))
    assert (verdict.outcome, verdict.reason) == ("pass", "contract"), verdict


def test_also_after_a_forward_pass_that_raised() -> None:
    def trying(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        with contextlib.suppress(RuntimeError):
            model(inputs[..., :3])
        return asking(model, inputs, targets)

    assert check_contract(trying, seeded(Recording).eval(), images(8)).reason == "contract"


@pytest.mark.parametrize("make", [lambda: Recording(always=True), Caching, Counting])
def test_the_model_is_restored_afterwards(make: Any) -> None:
    model = make().eval()
    before = state_of(model)
    check_contract(gradient, model, images(8))
    assert state_of(model) == before


def test_what_a_model_builds_is_judged_and_stays() -> None:
    model = seeded(Building).eval()
    honest = check_model_sensitivity(gradient, model, images(16))
    assert honest.outcome == "pass" and "head" in str(honest.evidence)
    assert isinstance(model.head, nn.Linear)
    before = state_of(model)
    assert check_model_sensitivity(sobel, model, images(16)).outcome == "fail"
    assert state_of(model) == before


def leaving(change: Any) -> Any:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        change(model)
        return maps

    return explainer


class Once:
    """Registers its hook at its first call, and never again."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        layer = model.layers[1]
        if not layer._backward_hooks:
            layer.register_full_backward_hook(
                lambda layer, left, right: tuple(part.clamp(0) for part in left)
            )
        return gradient(model, inputs, targets)


@pytest.mark.parametrize(
    "explainer, reason",
    [
        (leaving(lambda model: model.layers[0].register_forward_hook(lambda *of: None)), "contract.hooks"),
        (leaving(lambda model: model.add_module("extra", nn.ReLU())), "contract.modules"),
        (Once(), "contract.hooks"),
    ],
    ids=["a hook each time", "a module", "a hook once"],
)
@pytest.mark.parametrize("always", [False, True])
def test_what_an_explainer_leaves_is_its_own(explainer: Any, reason: str, always: bool) -> None:
    """Also where the model leaves something of the same kind in the same place."""
    model = Recording(always).eval()
    before = state_of(model)
    verdict = check_contract(explainer, model, images(8))
    assert (verdict.outcome, verdict.reason) == ("error", reason), verdict
    assert state_of(model) == before


@pytest.mark.parametrize("switch", ["dtype", "gradients"])
def test_what_the_process_has_only_one_of(switch: str) -> None:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = gradient(model, inputs, targets)
        torch.set_default_dtype(torch.float64) if switch == "dtype" else torch.set_grad_enabled(False)
        return maps

    verdict = check_contract(explainer, cnn(), images(8))
    assert verdict.reason == "contract.process", verdict
    assert (
        "the default dtype (to torch.float64)" if switch == "dtype" else "the grad mode"
    ) in verdict.summary
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


@pytest.mark.parametrize("switch", ["dtype", "gradients"])
def test_nor_does_a_model_change_it(switch: str) -> None:
    class Switching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = cnn()

        def forward(self, x: Tensor) -> Tensor:
            scores = self.layers(x)
            torch.set_default_dtype(torch.float64) if switch == "dtype" else torch.set_grad_enabled(False)
            return scores

    check_contract(sobel, Switching().eval(), images(8))
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


# Of transformers, whose models install hooks on themselves when they are first asked for attentions or features.

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_labels": 4,
}
PICTURES = {"image_size": 32, "patch_size": 8}


def of_transformers(name: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    configuration, model, options = {
        "segformer": ("SegformerConfig", "SegformerForImageClassification", {
            "hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4, "decoder_hidden_size": 8,
            "num_labels": 4,
        }),
        "beit": ("BeitConfig", "BeitForImageClassification", {**SMALL, **PICTURES, "out_indices": [1, 2]}),
        "vit": ("ViTConfig", "ViTForImageClassification", {**SMALL, **PICTURES, "attn_implementation": "eager"}),
        "dpt": ("DPTConfig", "DPTForSemanticSegmentation", {
            **SMALL, **PICTURES, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8,
        }),
        "wav2vec": ("Wav2Vec2Config", "Wav2Vec2ForSequenceClassification", {
            **SMALL, "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "use_weighted_layer_sum": True,
        }),
    }[name]  # fmt: skip
    return seeded(
        lambda: getattr(transformers, model)(getattr(transformers, configuration)(**options))
    ).eval()


@pytest.mark.parametrize("name", ["segformer", "beit", "vit", "dpt", "wav2vec"])
def test_models_of_transformers(name: str) -> None:
    model = of_transformers(name)
    inputs = torch.randn(8, 800) if name == "wav2vec" else images(8, (3, 32, 32))
    verdict = check_contract(gradient, model, inputs)
    assert (verdict.outcome, verdict.reason) == ("pass", "contract"), verdict


def test_attention_rollout() -> None:
    def rollout(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            attentions = model(inputs, output_attentions=True).attentions
        joint = torch.eye(attentions[0].shape[-1])
        for attention in attentions:
            joint = (attention.mean(1) + torch.eye(attention.shape[-1])) @ joint
        return nn.functional.interpolate(joint[:, 0, 1:].view(len(inputs), 1, 4, 4), inputs.shape[2:])

    verdict = check_contract(rollout, of_transformers("vit"), images(8, (3, 32, 32)))
    assert (verdict.outcome, verdict.reason) == ("pass", "contract"), verdict


def replacing_forward(model: nn.Module) -> None:
    model.layers.forward = type(model.layers).forward.__get__(model.layers)


def replacing_a_layer(model: nn.Module) -> None:
    model.layers[1] = nn.ReLU()


def replacing_the_class(model: nn.Module) -> None:
    model.layers.__class__ = type("Other", (nn.Sequential,), {})


@pytest.mark.parametrize("change", [replacing_forward, replacing_a_layer, replacing_the_class])
def test_a_replaced_part_beside_one_that_the_model_builds_is_the_explainers(change: Any) -> None:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        maps = asking(model, inputs, targets)
        change(model)
        return maps

    verdict = check_contract(explainer, seeded(BuildingInside).eval(), images(8))
    assert (verdict.outcome, verdict.reason) == ("error", "contract.modules"), verdict
    assert check_contract(asking, seeded(BuildingInside).eval(), images(8)).reason == "contract"


class Ranging(nn.Module):
    """Notes the range of all that it sees, as an observer before quantization does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()
        self.register_buffer("least", torch.tensor(float("inf")))
        self.register_buffer("most", torch.tensor(-float("inf")))

    def forward(self, x: Tensor) -> Tensor:
        self.least.copy_(torch.minimum(self.least, x.detach().min()))
        self.most.copy_(torch.maximum(self.most, x.detach().max()))
        return self.layers(x)


def shifting(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Shows the model what lies further out the fewer images there are, and forgets it."""
    model(inputs - 10 / len(inputs))
    return gradient(model, inputs, targets)


@pytest.mark.parametrize(
    "explainer", [gradient, occlusion, partial(integrated_gradients, baseline=-5.0, steps=4), shifting]
)
def test_buffers_that_forward_passes_move_are_the_models(explainer: Any) -> None:
    """Also where the explainer shows it what the images themselves do not hold."""
    model = seeded(Ranging).eval()
    model(images(8))
    before = state_of(model)
    verdict = check_contract(explainer, model, images(8))
    assert (verdict.outcome, verdict.reason) == ("pass", "contract"), verdict
    assert state_of(model) == before


def writing(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    maps = gradient(model, inputs - 10, targets)
    model.least -= 1
    return maps


def in_training_mode(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    for module in model.modules():
        module.training = True
    maps = gradient(model, inputs, targets)
    for module in model.modules():
        module.training = False
    return maps


@pytest.mark.parametrize(
    "explainer, make", [(writing, Ranging), (in_training_mode, norm_cnn)], ids=["writing", "training"]
)
def test_buffers_that_an_explainer_moves_are_its_own(explainer: Any, make: Any) -> None:
    model = seeded(make).eval()
    model(images(8))
    before = state_of(model)
    verdict = check_contract(explainer, model, images(8))
    assert (verdict.outcome, verdict.reason) == ("error", "contract.buffers"), verdict
    assert state_of(model) == before
