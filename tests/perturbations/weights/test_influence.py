"""Blocks are what the logits depend on: not what merely runs, and also what autograd does not see."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity import check_model_sensitivity, explainers
from pytest_saliency_sanity.perturbations.weights import influence
from pytest_saliency_sanity.perturbations.weights.blocks import find_blocks
from tests.perturbations.architectures import CLASSES, KINDS, build, images
from tests.perturbations.state import random_numbers_ahead, state_of


class Body(nn.Module):
    """Two layers and a head; `aside` is what else a task makes of the features, `through` what they pass."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(192, 16), nn.Linear(16, 16)
        self.head = nn.Linear(16, CLASSES)
        self.other = self.others()

    def others(self) -> nn.Module:
        return nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.through(F.relu(self.two(F.relu(self.one(x.flatten(1))))))
        scores = self.head(x)
        return scores + self.aside(x)

    def through(self, x: Tensor) -> Tensor:
        return x

    def aside(self, x: Tensor) -> Tensor | int:
        self.kept = self.other(x)
        return 0


class Multiplied(Body):
    """All parameters have a gradient, as DistributedDataParallel wants it."""

    def aside(self, x: Tensor) -> Tensor:
        return 0.0 * self.other(x).sum()


class Detached(Body):
    def aside(self, x: Tensor) -> int:
        self.kept = self.other(x.detach())
        return 0


class Normalized(Body):
    """Its statistics are no part of a block either."""

    def others(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8, affine=False), nn.ReLU(), nn.Linear(8, 4))


class Raw(Body):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Parameter(torch.randn(16, 4))

    def aside(self, x: Tensor) -> int:
        self.kept = x @ self.other
        return 0


class Several(Body):
    def others(self) -> nn.Module:
        return nn.ModuleDict({"boxes": nn.Linear(16, 4), "age": nn.Linear(16, 1)})

    def aside(self, x: Tensor) -> int:
        self.kept = {name: head(x) for name, head in self.other.items()}
        return 0


class Returning(Body):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = super().forward(x)
        return {"logits": logits, "boxes": self.kept}


class Measuring(Body):
    """Another task's head that is read in Python, and changes nothing."""

    def aside(self, x: Tensor) -> int:
        self.kept = float(self.other(x).sum())
        return 0


IDLE = [Body, Multiplied, Detached, Normalized, Raw, Several, Returning, Measuring]


@pytest.mark.parametrize("kind", IDLE)
def test_what_runs_and_reaches_no_logit_is_in_no_block(kind: type[nn.Module]) -> None:
    model = _seeded(kind)
    blocks = find_blocks(model, images())
    assert [block.name for block in blocks] == ["one", "two", "head"]
    listed = [name for block in blocks for name in (*block.parameters, *block.buffers)]
    assert not any(name.startswith("other") for name in listed)


@pytest.mark.parametrize("kind", IDLE)
def test_looking_at_it_changes_nothing(kind: type[nn.Module]) -> None:
    model = _seeded(kind).train()
    with torch.no_grad():
        model.eval()(images())
    model.train()
    vars(model).pop("kept", None)  # the model's own doing, not the search's
    before, numbers = state_of(model), random_numbers_ahead()
    find_blocks(model, images())
    vars(model).pop("kept", None)
    assert state_of(model) == before and random_numbers_ahead() == numbers


class Chosen(Body):
    """A gate that chooses by argmax: its weights have no gradient."""

    def through(self, x: Tensor) -> Tensor:
        return x * F.one_hot(self.other(x).argmax(1), 4).repeat(1, 4)

    def aside(self, x: Tensor) -> int:
        return 0


class Compared(Chosen):
    def through(self, x: Tensor) -> Tensor:
        return x * (self.other(x) > 0).repeat(1, 4)


class Rounded(Chosen):
    def through(self, x: Tensor) -> Tensor:
        return x + self.other(x).mul(4).round().repeat(1, 4)


class Branching(Chosen):
    def through(self, x: Tensor) -> Tensor:
        return x if self.other(x).mean() > 0 else -x


class Below(Chosen):
    """A frozen part under no_grad."""

    def through(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x + self.other(x).repeat(1, 4)


class Uncoupled(Chosen):
    def through(self, x: Tensor) -> Tensor:
        return x + self.other(x.detach()).detach().repeat(1, 4)


class Inferring(Chosen):
    def through(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            return (x + self.other(x).repeat(1, 4)).clone()


class InNumpy(Chosen):
    def through(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(self.other(x).detach().numpy().copy()).repeat(1, 4)


class ScaledByZero(Chosen):
    """A residual branch whose scale starts at 0, as in many networks before training."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(4))

    def through(self, x: Tensor) -> Tensor:
        return x + (self.scale * self.other(x)).repeat(1, 4)


class Dead(Chosen):
    """A layer whose ReLUs let nothing through, on any image, as it is trained."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.other.weight, -1)

    def through(self, x: Tensor) -> Tensor:
        return x + F.relu(self.other(x)).repeat(1, 4)


class Writing(Chosen):
    """Writes to its weights while it runs."""

    def through(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.other.weight.clamp_(-9, 9)
        return x + self.other(x).repeat(1, 4)


HIDDEN = [
    Chosen, Compared, Rounded, Branching, Below, Uncoupled, Inferring, InNumpy, ScaledByZero, Dead, Writing,
]  # fmt: skip


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_autograd_does_not_see_is_a_block(kind: type[nn.Module]) -> None:
    blocks = find_blocks(_seeded(kind), images(8))
    assert [block.name for block in blocks] == ["one", "two", "other", "head"]


def test_a_model_under_no_grad_keeps_its_blocks_and_loses_its_other_head() -> None:
    class NoGrad(Body):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    class Inference(Body):
        @torch.inference_mode()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    for kind in (NoGrad, Inference):
        assert [block.name for block in find_blocks(_seeded(kind), images())] == ["one", "two", "head"]


def test_probabilities_have_blocks_like_logits() -> None:
    """Their sum, and so its gradient, knows no weight."""
    model = nn.Sequential(build("mlp"), nn.Softmax(1))
    assert len(find_blocks(model, images())) == 4


def test_where_no_logit_depends_on_anything_the_blocks_are_what_runs() -> None:
    class Bypassed(Body):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :CLASSES] + 0 * super().forward(x)

    assert [block.name for block in find_blocks(_seeded(Bypassed), images())] == [
        "one",
        "two",
        "head",
        "other",
    ]


def test_naming_what_no_logit_depends_on_is_refused() -> None:
    message = "No logit depends on any parameter of 'other'; its blocks are 'one', 'two', 'head', and any"
    with pytest.raises(ValueError, match=message):
        find_blocks(_seeded(Body), images(), names=("head", "other"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_tried_on_ordinary_models(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(influence, "preserved")
    find_blocks(build(kind), images())


def test_only_a_few_images_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = _seeded(Body), []
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    find_blocks(model, images(32))
    assert max(sizes) == 8 and sum(sizes) <= 2 + 1 + 2 + 8 * (1 + 1 + 3 * influence.DRAWS)


def test_the_auxiliary_classifier_of_a_segmentation_network() -> None:
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    fcn = segmentation.fcn

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low, self.high = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            low = F.relu(self.low(x))
            return OrderedDict(aux=low, out=F.relu(self.high(low)))

    torch.manual_seed(0)
    model = fcn.FCN(Backbone(), fcn.FCNHead(16, CLASSES), fcn.FCNHead(16, CLASSES)).eval()
    names = [block.name for block in find_blocks(model, images())]
    assert names == ["backbone.low", "backbone.high", "classifier.0", "classifier.4"]
    names = [
        block.name for block in find_blocks(model, images(), forward=lambda m, x: m(x)["aux"].mean((2, 3)))
    ]
    assert names == ["backbone", "aux_classifier.0", "aux_classifier.4"]


def test_a_verdict_speaks_of_the_head_that_is_explained() -> None:
    model = _seeded(Body)
    verdict = check_model_sensitivity(explainers.gradient, model, images(16), depths="every")
    assert verdict.outcome == "pass" and verdict.evidence["blocks"] == ["one", "two", "head"]
    assert verdict.stages[0].detail == "head (1 of 3 blocks)"
    assert verdict.stages[0].statistic < 0.5


def _seeded(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval()
