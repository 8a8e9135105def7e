"""Experts, early exits and branches: what runs for some images only is re-initialized all the same."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity import check_model_sensitivity, explainers
from pytest_saliency_sanity.perturbations.weights.blocks import Block, find_blocks
from pytest_saliency_sanity.perturbations.weights.execution import executed
from tests.perturbations.architectures import CLASSES, KINDS, SmallResNet, build, images
from tests.perturbations.state import random_numbers_ahead, state_of

EXPERTS = 6


class Experts(nn.Module):
    """One expert an image, chosen by what `choice` says; `used` of them for the test's images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router = nn.Linear(192, 16), nn.Linear(16, EXPERTS)
        self.experts = self.made()
        self.head = nn.Linear(16, CLASSES)

    def made(self) -> nn.Module:
        return nn.ModuleList(self.expert() for _ in range(EXPERTS))

    def expert(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.stem(x.flatten(1)))
        weight, choice = self.router(h).softmax(1).max(1)
        return self.head(F.relu(h + self.mixed(h, weight[:, None], choice)))

    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        out = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            rows = choice == number
            if rows.any():
                out[rows] = weight[rows] * expert(h[rows])
        return out


class ByLength(Experts):
    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        out = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            (rows,) = torch.where(choice == number)
            if len(rows):
                out = out.index_add(0, rows, weight[rows] * expert(h[rows]))
        return out


class OneByOne(Experts):
    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        return torch.stack([w * self.experts[c](row) for w, c, row in zip(weight, choice, h, strict=True)])


class InNumpy(Experts):
    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        chosen = choice.detach().numpy().tolist()
        return torch.stack([w * self.experts[c](row) for w, c, row in zip(weight, chosen, h, strict=True)])


class Named(Experts):
    def made(self) -> nn.Module:
        return nn.ModuleDict({f"of {number}": self.expert() for number in range(EXPERTS)})

    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        chosen = [f"of {number}" for number in choice.tolist()]
        return torch.stack([w * self.experts[c](row) for w, c, row in zip(weight, chosen, h, strict=True)])


class Dense(Experts):
    """All experts run; those that are not chosen are multiplied by 0."""

    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        chosen = F.one_hot(choice, EXPERTS).to(h)
        return weight * sum(c[:, None] * e(h) for c, e in zip(chosen.T, self.experts, strict=True))


class WithNorm(Experts):
    def expert(self) -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16))


class ForTheBatch(Experts):
    """The batch takes one path, so that only single images show the others."""

    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        return weight * self.experts[int(choice.float().mean().round())](h)


class WithinALayer(Experts):
    """The experts are within a layer that runs as a whole."""

    class Layer(nn.Module):
        def __init__(self, experts: nn.Module) -> None:
            super().__init__()
            self.experts = experts

        def forward(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
            return Experts.mixed(self, h, weight, choice)

    def made(self) -> nn.Module:
        return self.Layer(super().made())

    def mixed(self, h: Tensor, weight: Tensor, choice: Tensor) -> Tensor:
        return self.experts(h, weight, choice)


ROUTED = [Experts, ByLength, OneByOne, InNumpy, Named, Dense, WithNorm, ForTheBatch, WithinALayer]
CHOICES = {
    "all of them": range(EXPERTS),
    "some, and never by the first images": [0] * 8 + [4, 2],
    "one alone": [3],
}


def _seeded(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval()


def _routed(kind: type[Experts], choices: Iterable[int]) -> tuple[nn.Module, Tensor]:
    """A network, and 16 images for which it chooses these experts, in turn."""
    model, inputs, wanted = _seeded(kind), images(16), torch.tensor(list(choices))
    wanted = wanted.repeat(16)[:16]
    with torch.no_grad():
        features = F.relu(model.stem(inputs.flatten(1)))
        solved = torch.linalg.lstsq(features, 9.0 * F.one_hot(wanted, EXPERTS)).solution
        model.router.weight.copy_(solved.T), model.router.bias.zero_()
        assert torch.equal(model.router(features).argmax(1), wanted)
    return model, inputs


def _listed(blocks: tuple[Block, ...]) -> list[str]:
    return [name for block in blocks for name in (*block.parameters, *block.buffers)]


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("kind", ROUTED)
def test_every_expert_is_in_exactly_one_block_between_router_and_head(
    kind: type[Experts], choices: Iterable[int]
) -> None:
    model, inputs = _routed(kind, choices)
    blocks = find_blocks(model, inputs)
    listed = _listed(blocks)
    expected = {name for name, _ in model.named_parameters()}
    expected |= {name for name, _ in model.named_buffers() if "running" in name}
    assert len(listed) == len(set(listed)) and set(listed) == expected
    names = [block.name for block in blocks]
    assert names[:2] == ["stem", "router"] and names[-1] == "head"
    assert all(name.startswith("experts") for name in names[2:-1]) and len(names) > 3


@pytest.mark.parametrize("kind", ROUTED)
def test_looking_at_it_changes_nothing(kind: type[Experts]) -> None:
    model, inputs = _routed(kind, CHOICES["some, and never by the first images"])
    before, numbers, shown = state_of(model.train()), random_numbers_ahead(), inputs.clone()
    find_blocks(model, inputs)
    assert state_of(model) == before and random_numbers_ahead() == numbers and torch.equal(inputs, shown)


def test_an_expert_that_no_image_uses_is_re_initialized_with_one_that_is_used() -> None:
    model, inputs = _routed(Experts, [0, 4])
    blocks = {block.name: block.parameters for block in find_blocks(model, inputs)}
    assert list(blocks) == [
        "stem", "router", "experts.0.0", "experts.0.2", "experts.4.0", "experts.4.2", "head",
    ]  # fmt: skip
    assert {"experts.1.0.weight", "experts.2.0.weight"} < set(blocks["experts.0.0"])
    assert {"experts.3.0.weight", "experts.5.0.weight"} < set(blocks["experts.4.0"])


def test_named_blocks_hold_what_they_name() -> None:
    model, inputs = _routed(Experts, [0, 4])
    (block,) = find_blocks(model, inputs, names=("experts",))
    assert len(block.parameters) == 4 * EXPERTS
    blocks = find_blocks(model, inputs, names=("experts.0", "experts.4"))
    assert [len(block.parameters) for block in blocks] == [4, 4]
    with pytest.raises(ValueError, match=r"uses no parameter of 'experts\.3'"):
        find_blocks(model, inputs, names=("experts.0", "experts.3"))


class EarlyExits(nn.Module):
    """Images of which a head is sure enough leave there."""

    sure = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(192 if depth == 0 else 16, 16) for depth in range(3))
        self.heads = nn.ModuleList(nn.Linear(16, CLASSES) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.of_one(image) for image in x.flatten(1).split(1)])

    def of_one(self, x: Tensor) -> Tensor:
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = F.relu(layer(x))
            scores = head(x)
            if scores.softmax(1).max() > self.sure:
                break
        return scores


class LeavingAtOnce(EarlyExits):
    sure = 0.0


class OfTheBatch(EarlyExits):
    def forward(self, x: Tensor) -> Tensor:
        return self.of_one(x.flatten(1))


@pytest.mark.parametrize("kind", [EarlyExits, LeavingAtOnce, OfTheBatch])
def test_early_exits(kind: type[nn.Module]) -> None:
    model = _seeded(kind)
    with torch.no_grad():
        scores = model.heads[0](F.relu(model.layers[0](images(16).flatten(1)))).softmax(1).amax(1)
        if kind is not LeavingAtOnce:
            model.sure = float(scores.sort(descending=True).values[3] - 1e-4)
    order = scores.argsort(descending=True)
    blocks = find_blocks(model, images(16)[order])
    assert set(_listed(blocks)) == {name for name, _ in model.named_parameters()}


class Branches(nn.Module):
    """Two branches that are no members of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bright, self.dark = nn.Linear(192, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bright if x.mean() > 0 else self.dark
        return self.head(F.relu(branch(F.relu(self.stem(x.flatten(1))))))


def test_branches_of_single_images_are_found() -> None:
    inputs = images(16) - images(16).mean((1, 2, 3), keepdim=True)
    inputs[:15] += 1
    inputs[15:] -= 2
    names = [block.name for block in find_blocks(_seeded(Branches), inputs)]
    assert sorted(names[1:3]) == ["bright", "dark"] and (names[0], names[3]) == ("stem", "head")


def test_what_no_image_uses_is_said_with_its_share() -> None:
    inputs = images(16) + 3
    verdict = check_model_sensitivity(explainers.gradient, _seeded(Branches), inputs)
    assert verdict.evidence["blocks"] == ["stem", "bright", "head"]
    note = (
        "7% of the weights (dark) were not re-initialized, because no logit depends on them on these images"
    )
    assert verdict.notes == (note,) and note in str(verdict)


class Many(Branches):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))
        self.a, self.b, self.c, self.raw = (nn.Parameter(torch.ones(2)) for _ in range(4))


NOTES = {
    "nothing": (lambda: build("mlp"), None),
    "an auxiliary head": (SmallResNet, r"\d+% of the weights \(AuxLogits\) were"),
    "several": (Many, r"8% of the weights \(a, b, c, raw and 2 more\) were"),
}


@pytest.mark.parametrize("make, text", NOTES.values(), ids=NOTES)
def test_notes(make: type[nn.Module], text: str | None) -> None:
    verdict = check_model_sensitivity(explainers.sobel, make().eval(), images(8) + 3, profile="smoke")
    notes = [note for note in verdict.notes if "weights (" in note]
    assert re.fullmatch(f"{text} not re-initialized, .*", notes[0]) if text else not notes
    named = check_model_sensitivity(
        explainers.sobel, build("mlp"), images(8), profile="smoke", blocks=("7", "5")
    )
    assert not any("weights (" in note for note in named.notes)


@pytest.mark.parametrize("kind", [EarlyExits, Experts])
def test_the_gradient_passes_and_edges_fail(kind: type[nn.Module]) -> None:
    model = _seeded(kind)
    assert check_model_sensitivity(explainers.gradient, model, images(16)).outcome == "pass"
    assert check_model_sensitivity(explainers.sobel, model, images(16)).outcome == "fail"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lazy"])
def test_ordinary_models_run_on_two_images_alone(kind: str) -> None:
    model, sizes = build(kind), []
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    find_blocks(model, images(16))
    # A gradient of both where that of the first leaves something open.
    assert sizes in ([2, 1], [2, 1, 2])


READING = {
    "if": lambda x: bool(x.sum() > 0),
    "item": lambda x: x.sum().item(),
    "list": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "an index": lambda x: range(9)[x.argmax() % 9],
    "equal": lambda x: torch.equal(x, x),
    "a mask": lambda x: x[x > 0],
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
}
NOT_READING = {
    "shape": lambda x: (x.shape, x.dtype, x.dim(), len(x), x.size(0), x.numel(), x.device),
    "choosing by values": lambda x: torch.where(x > 0, x, -x),
    "indices": lambda x: x[:, [0, 1]],
    "iteration": lambda x: list(x),
}


@pytest.mark.parametrize("look", [*READING, *NOT_READING])
def test_a_path_varies_where_values_are_read(look: str) -> None:
    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            {**READING, **NOT_READING}[look](x)
            return x.flatten(1)

    assert executed(Looking(), images()).varies == (look in READING)
