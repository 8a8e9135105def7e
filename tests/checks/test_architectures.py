"""Each kind of network that people have: the plain gradient passes, Sobel and a stale copy fail, over three seeds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from skimage import data
from skimage.transform import resize
from torch import Tensor, nn

from pytest_saliency_sanity import Verdict, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient, input_copy, sobel
from tests.checks.models import Reading, images, seeded, signal_cnn, tabular, texts, two_branches
from tests.digits import Digits, held_out_digits, train_digits
from tests.networks import accuracy, fit

Make = Callable[[], nn.Module]
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Audited:
    """A kind of network, and what is explained.

    Attributes:
        make: the network, from torch's random stream.
        inputs: of a seed.
        options: of the check.
        blind: an explainer that knows no model; for images Sobel.
    """

    make: Make
    inputs: Callable[[int], Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    blind: Callable[..., Any] = sobel


def photographs(size: tuple[int, int], channels: int = 3, count: int = 16) -> Callable[[int], Tensor]:
    """Crops of scikit-image's photographs, standardized."""

    def made(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        whole = [resize(photo, (160, 160)) for photo in (data.astronaut(), data.coffee(), data.chelsea())]
        crops = []
        for number in range(count):
            top, left = torch.randint(0, 160 - max(size), (2,), generator=generator).tolist()
            crop = torch.from_numpy(whole[number % 3][top : top + size[0], left : left + size[1]]).float()
            crops.append(crop.movedim(-1, 0)[[0, 1, 2, 0][:channels]])
        return (torch.stack(crops) - 0.45) / 0.25

    return made


def of_torchvision(name: str, size: int = 64, **options: Any) -> Audited:
    def make() -> nn.Module:
        import torchvision

        model = torchvision.models.get_model(name, weights=None, num_classes=10, **options)
        if name == "vit_b_16":  # its head begins with zeros: all logits are 0
            nn.init.normal_(model.heads.head.weight, std=0.1)
        return model

    return Audited(make, photographs((size, size)))


def timm_vit() -> nn.Module:
    import timm

    return timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=64, patch_size=8, num_classes=10, depth=6
    )


def hugging_face_vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        image_size=64, patch_size=8, hidden_size=64, num_hidden_layers=4, num_attention_heads=4,
        intermediate_size=128, num_labels=10,
    )  # fmt: skip
    return ViTForImageClassification(config)


class Recurrent(nn.Module):
    """Reads signals (N, C, L) sample by sample."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.cell = cell(2, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.hidden, self.head = nn.Linear(48, 24), nn.Linear(24, 4)
        with torch.no_grad():  # as it is drawn a cell is nearly linear: one gradient for all signals
            for weight in self.cell.parameters():
                weight.mul_(4)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.cell(x.mT)
        return self.head(self.hidden(states.mean(1)).tanh())


class Segmenting(nn.Module):
    """A map of logits (N, K, H, W) in a dict, as torchvision's segmentation models return it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.body(x))}


class Detecting(nn.Module):
    """Scores of classes at anchors: a list of dicts, one an image."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2), nn.ReLU(), nn.Conv2d(12, 16, 3, stride=2), nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(),
        )  # fmt: skip
        self.scores = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        found = self.scores(self.body(x)).flatten(2).mT
        return [{"scores": one, "boxes": torch.zeros(len(one), 4)} for one in found]


def best_score_of_each_class(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([one["scores"].amax(0) for one in model(x)])


def small_cnn(channels: int, classes: int, pooled: int = 4) -> Make:
    return lambda: nn.Sequential(
        nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(pooled),
        nn.Flatten(), nn.Linear(12 * pooled**2, 24), nn.ReLU(), nn.Linear(24, classes),
    )  # fmt: skip


def multi_hot(seed: int) -> Tensor:
    return (
        torch.rand(16, 5, generator=torch.Generator().manual_seed(seed))
        .round()
        .index_fill(1, torch.tensor([0]), 1)
    )


class Sentences(nn.Module):
    """A transformer over embeddings (N, L, D)."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.head(self.encoder(embeddings).mean(1))


def of_shape(*shape: int) -> Callable[[int], Tensor]:
    return lambda seed: torch.randn(32, *shape, generator=torch.Generator().manual_seed(seed))


LARGE: Mapping[str, Audited] = {
    "resnet18": of_torchvision("resnet18"),
    "vgg16_bn": of_torchvision("vgg16_bn"),
    "inception_v3": of_torchvision("inception_v3", 96, aux_logits=True, init_weights=True),
    "densenet121": of_torchvision("densenet121"),
    "convnext_tiny": of_torchvision("convnext_tiny"),
    "vit_b_16": of_torchvision("vit_b_16", 64, image_size=64),
    "swin_t": of_torchvision("swin_t"),
    "timm ViT": Audited(timm_vit, photographs((64, 64))),
    "Hugging Face ViT": Audited(hugging_face_vit, photographs((64, 64))),
}
SMALL: Mapping[str, Audited] = {
    "LSTM": Audited(lambda: Recurrent(nn.LSTM), of_shape(2, 32), blind=input_copy),
    "GRU": Audited(lambda: Recurrent(nn.GRU), of_shape(2, 32), blind=input_copy),
    "signals": Audited(signal_cnn, of_shape(2, 40), blind=input_copy),
    "two inputs": Audited(
        two_branches, lambda seed: (images(32, seed=seed), of_shape(2, 40)(seed)), blind=input_copy
    ),
    "segmentation": Audited(
        Segmenting, photographs((24, 24)), {"forward": lambda model, x: model(x)["out"].mean((2, 3))}
    ),
    "detection": Audited(Detecting, photographs((32, 32)), {"forward": best_score_of_each_class}),
    "one channel": Audited(small_cnn(1, 5), photographs((24, 24), 1)),
    "four channels": Audited(small_cnn(4, 5), photographs((24, 24), 4)),
    "not square": Audited(small_cnn(3, 5), photographs((20, 36))),
    "one output": Audited(small_cnn(3, 1), photographs((24, 24))),
    "table": Audited(lambda: tabular(24), of_shape(24), blind=input_copy),
    "embeddings": Audited(Sentences, of_shape(12, 16), {"channel_axis": -1}, input_copy),
    "token ids with a mask": Audited(Reading, lambda seed: texts(seed=seed), {"embed": "words"}, input_copy),
}


def checked(
    explainer: Callable[..., Any], model: nn.Module, kind: Audited, seed: int, **more: Any
) -> Verdict:
    return check_model_sensitivity(
        explainer, model, kind.inputs(seed), seed=seed, **{"max_seconds": 600, **kind.options, **more}
    )


def its_verdicts_are_right(kind: Audited, seed: int, model: nn.Module | None = None) -> None:
    model = model or seeded(kind.make, seed).eval()
    stale = copy.deepcopy(model)
    honest = checked(gradient, model, kind, seed)
    assert honest.outcome == "pass", honest
    blind = checked(kind.blind, model, kind, seed)
    assert blind.outcome == "fail", blind
    bound = checked(lambda _, x, t: gradient(stale, x, t), model, kind, seed, name="stale")
    assert bound.outcome == "fail", bound


@pytest.mark.covering
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", SMALL)
def test_small_ones(kind: str, seed: int) -> None:
    its_verdicts_are_right(SMALL[kind], seed)


@pytest.mark.parametrize("seed", [0, *(pytest.param(one, marks=pytest.mark.extended) for one in SEEDS[1:])])
def test_several_labels_an_image(seed: int) -> None:
    """Multi-hot labels, and targets (N, K) of their own weights."""
    kind = Audited(small_cnn(3, 5), photographs((24, 24)), {"targets": multi_hot(seed)})
    its_verdicts_are_right(kind, seed)


@pytest.mark.extended
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", LARGE)
def test_large_ones(kind: str, seed: int) -> None:
    """With random weights, for which nobody asks how accurate they are."""
    its_verdicts_are_right(LARGE[kind], seed)


def at_64(digits: Digits) -> Digits:
    """Three channels of 64² pixels, standardized."""
    large = F.interpolate(digits.images, (64, 64), mode="bilinear", align_corners=False).expand(-1, 3, -1, -1)
    return Digits((large - 0.13) / 0.31, digits.labels)


@pytest.mark.extended
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_b0"])
def test_mobile_ones_once_they_are_trained(name: str, seed: int) -> None:
    """With random weights they are rightly inconclusive: most of what they pass on is a constant."""
    model = fit(seeded(of_torchvision(name).make, seed), at_64(train_digits()), seed)  # up to ten minutes
    held_out = at_64(held_out_digits())
    assert accuracy(model, held_out) > 0.8
    shown = Audited(
        of_torchvision(name).make, lambda _: held_out.images[:32], {"labels": held_out.labels[:32]}
    )
    its_verdicts_are_right(shown, seed, model=model)
