"""What checks of one audit find out of the same model and images, once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import Case, audit
from pytest_saliency_sanity.audited.sharing import once, sharing
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.checks import model_sensitivity
from pytest_saliency_sanity.explainers import deconvnet, gradcam, gradient, input_x_gradient
from pytest_saliency_sanity.explainers.cam import mean_activation
from pytest_saliency_sanity.sensitivity import held_constant
from tests.checks.models import cnn, images

BOTH = {"input_x_gradient": input_x_gradient, "deconvnet": deconvnet}


class Counting(nn.Sequential):
    """Counts the images that go through it."""

    seen = 0

    def forward(self, inputs: Tensor) -> Tensor:
        Counting.seen += len(inputs)
        return super().forward(inputs)


def read(model: nn.Module, inputs: Tensor, seed: int = 0) -> Subject:
    return subject(gradient, model, inputs, None, seed=seed)


@pytest.fixture
def shared() -> Iterator[None]:
    with sharing():
        yield


def test_what_is_shared_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    find = model_sensitivity.find_blocks
    monkeypatch.setattr(
        model_sensitivity, "find_blocks", lambda *args, **named: found.append(args) or find(*args, **named)
    )
    case, checks = Case(model=cnn(), inputs=images(9)), ["model_sensitivity"]
    together = audit(BOTH, case, checks, progress=False)
    assert len(found) == 1
    for name in BOTH:
        (alone,) = (one.verdict for one in audit({name: BOTH[name]}, case, checks, progress=False).results)
        verdict = together[name, checks[0]].verdict
        assert alone is not None and verdict is not None
        assert (alone.stages, alone.reason) == (verdict.stages, verdict.reason)
        assert alone.evidence["copies"] == verdict.evidence["copies"], name


def test_what_is_held_constant_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For two explainers of one sign and two checks: the features of as many images are computed once."""
    asked: list[int] = []

    def counted(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        asked.append(len(inputs))
        return mean_activation(model, inputs, targets)

    monkeypatch.setattr(held_constant, "mean_activation", counted)
    both = {"gradcam": gradcam, "absolute": lambda *arguments: gradient(*arguments).abs()}
    case, checks = Case(model=cnn(), inputs=images(16)), ["model_sensitivity", "target_sensitivity"]
    together = audit(both, case, checks, progress=False)
    made = sum(asked)
    assert 0 < made <= 16
    for name, check in product(both, checks):
        asked.clear()
        (alone,) = (one.verdict for one in audit({name: both[name]}, case, check, progress=False).results)
        verdict = together[name, check].verdict
        assert alone is not None and verdict is not None and sum(asked) > 0
        assert (alone.stages, alone.reason) == (verdict.stages, verdict.reason)


@pytest.mark.usefixtures("shared")
def test_the_same_model_and_images_are_read_once() -> None:
    model, inputs = Counting(*cnn()).eval(), images(16)
    first, seen = read(model, inputs), Counting.seen
    second = read(model, inputs)
    assert Counting.seen == seen and second.known is first.known and second.scores is first.scores


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("what", ["a weight", "an image", "the seed", "the model", "the images"])
def test_anything_else_is_read_anew(what: str) -> None:
    model, inputs = cnn(), images(16)
    before = read(model, inputs)
    with torch.no_grad():
        if what == "a weight":
            next(model.parameters()).view(-1)[0] += 1
        if what == "an image":
            inputs[0] += 1
    model, inputs = cnn() if what == "the model" else model, images(16) if what == "the images" else inputs
    after = read(model, inputs, seed=int(what == "the seed"))
    assert after.known is not before.known


def test_outside_of_an_audit_nothing_is_kept() -> None:
    model, inputs = cnn(), images(16)
    assert read(model, inputs).known is not read(model, inputs).known
    made = [once(lambda: "key", None, object) for _ in range(2)]
    assert made[0] is not made[1]


@pytest.mark.usefixtures("shared")
def test_the_oldest_goes_first() -> None:
    made = [once(lambda key=key: key, None, object) for key in range(5)]  # type: ignore[misc]
    assert once(lambda: 4, None, object) is made[4]
    assert once(lambda: 0, None, object) is not made[0]
