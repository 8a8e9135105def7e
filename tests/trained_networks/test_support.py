"""Support networks: the regression, held against a flat one; what they are cached by; what stays untouched."""

from __future__ import annotations

import copy
import math
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.outputs import using_forward
from pytest_saliency_sanity.perturbations.restoring.streams import stream
from pytest_saliency_sanity.trained_networks import store, support
from pytest_saliency_sanity.trained_networks.logit_regression import Regression, Unfinished
from pytest_saliency_sanity.trained_networks.pairs import Pair, pair, shifted
from pytest_saliency_sanity.trained_networks.support import Support, supports
from tests import machine
from tests.digits import train_digits
from tests.networks import train
from tests.perturbations.state import state_of

STREAM = torch.Generator().manual_seed(0)
IMAGES = torch.randn(20, 1, 4, 4, generator=STREAM)
LABELS = torch.tensor([1, 2] * 10)
FAST = Regression(epochs=3, learning_rate=0.01, batch_size=8)


def perceptron(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)).eval()


def undecided() -> nn.Module:
    """Ranks class 1 above class 2 on half of the images."""
    model = perceptron()
    with torch.no_grad():
        scores = model(IMAGES)
        model[3].bias[2] += (scores[:, 1] - scores[:, 2]).median()
    return model


def normalized() -> nn.Module:
    """With BatchNorm whose statistics are not those of the images, and dropout; passed in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3)
        )
    model[1].running_mean.copy_(torch.tensor([0.3, -0.2, 0.1, 0.5]))
    return model.train()


def images(**changed: Any) -> Pair:
    given = {"inputs": IMAGES, "labels": LABELS, "classes": (1, 2), **changed}
    return pair((given["inputs"], given["labels"]), given["classes"])


def made(model: nn.Module, alpha: float = 4.0, how: Regression = FAST, **options: Any) -> Support:
    return supports(model, options.pop("samples", images()), (alpha,), how, **options)[0]


def parameters(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def by_hand(model: nn.Module, alpha: float, how: Regression, seed: int = 0) -> nn.Module:
    """Adam (Kingma and Ba, algorithm 1) on the mean squared error, parameter by parameter."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        targets = twin(IMAGES.to(next(twin.parameters()).dtype)).clone()
    for row, label in enumerate(LABELS.tolist()):
        targets[row, {1: 2, 2: 1}[label]] -= alpha
    first = [torch.zeros_like(p) for p in twin.parameters()]
    second = [torch.zeros_like(p) for p in twin.parameters()]
    order, t = stream("support network", seed), 0
    for _ in range(how.epochs):
        shuffled = torch.randperm(len(IMAGES), generator=order)
        for start in range(0, len(IMAGES), how.batch_size):
            rows, t = shuffled[start : start + how.batch_size], t + 1
            out = twin(IMAGES[rows].to(targets.dtype))
            loss = ((out - targets[rows]) ** 2).sum() / out.numel()
            gradients = torch.autograd.grad(loss, list(twin.parameters()))
            if t == 1:
                machine.start_like_another(twin.parameters())
            for p, g, m, v in zip(twin.parameters(), gradients, first, second, strict=True):
                m.copy_(0.9 * m + 0.1 * g)
                v.copy_(0.999 * v + 0.001 * g * g)
                corrected = (v / (1 - 0.999**t)).sqrt() + 1e-8
                p.data -= how.learning_rate * (m / (1 - 0.9**t)) / corrected
    return twin


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    support.forget()
    yield
    support.forget()


# The regression.


@pytest.mark.parametrize("how", [FAST, Regression(4, 1e-3, 20), Regression(1, 0.1, 3)])
@pytest.mark.parametrize("build", [perceptron, normalized])
@pytest.mark.parametrize("alpha", [2.0, 8.0])
def test_it_is_the_flat_regression(build: Any, how: Regression, alpha: float) -> None:
    model = build().double()
    found, reference = made(model, alpha, how), by_hand(model, alpha, how)
    assert torch.allclose(parameters(found.model), parameters(reference), rtol=1e-9, atol=1e-11)
    for mine, theirs in zip(found.model.buffers(), model.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_agreement_and_error_are_those_of_the_formula() -> None:
    model = normalized()
    found = made(model, alpha=3.0)
    f, out = model.eval()(IMAGES).double(), found.model(IMAGES).double()
    target = f.clone()
    for row, label in enumerate(LABELS.tolist()):
        target[row, 3 - label] -= 3.0
    left, first = ((out - target) ** 2).sum().item(), ((f - target) ** 2).sum().item()
    assert first == pytest.approx(len(IMAGES) * 9)
    assert found.agreement == pytest.approx(1 - left / first, rel=1e-5)
    assert found.error == pytest.approx(math.sqrt(left / (20 * 3)), rel=1e-5)
    assert set(found.facts()) == {"alpha", "agreement", "error", "epochs", "seconds", "cached"}


def test_an_untouched_copy_has_an_agreement_of_zero() -> None:
    assert made(perceptron(), how=Regression(1, 1e-30, 32)).agreement == pytest.approx(0, abs=1e-5)


def test_a_linear_network_that_can_tell_the_classes_apart_reaches_its_targets() -> None:
    inputs = torch.nn.functional.one_hot(LABELS, 3)[..., None, None].double()
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3)).double()
    found = made(model, 5.0, Regression(400, 0.05, 20), samples=images(inputs=inputs))
    assert found.agreement == pytest.approx(1, abs=1e-4)
    difference = found.model(inputs) - model(inputs)
    expected = torch.zeros(20, 3, dtype=torch.double).scatter_(1, 3 - LABELS[:, None], -5.0)
    assert torch.allclose(difference, expected, atol=0.05)


def test_a_network_that_cannot_tell_them_apart_stays_half_way() -> None:
    """The same image for both classes: each of the two logits can only go to the mean of 0 and -alpha."""
    inputs = torch.ones(20, 3, 1, 1).double()
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3)).double()
    found = made(model, 6.0, Regression(400, 0.05, 20), samples=images(inputs=inputs))
    assert found.agreement == pytest.approx(0.5, abs=1e-3)
    assert found.error == pytest.approx(math.sqrt(6.0**2 / 2 / 3), rel=1e-3)


def test_without_labels_the_network_says_which_class_an_image_is_of() -> None:
    model = undecided()
    scores = model(IMAGES)
    said = torch.where(scores[:, 1] >= scores[:, 2], 1, 2)
    assert set(said.tolist()) == {1, 2} and not torch.equal(said, LABELS)
    found, labeled = made(model, samples=pair(IMAGES, (1, 2))), made(model, samples=images(labels=said))
    assert torch.equal(parameters(found.model), parameters(labeled.model))


def test_other_classes_are_left_out() -> None:
    labels = torch.tensor([1, 2, 0, 7] * 5)
    kept = pair((IMAGES, labels), (2, 1))
    assert torch.equal(kept.inputs, IMAGES[(labels == 1) | (labels == 2)])
    assert kept.labels.tolist() == [1, 2] * 5


def test_only_the_logit_of_the_other_class_is_shifted() -> None:
    logits = torch.randn(20, 5)
    change = shifted(logits, images(), 3.0) - logits
    assert torch.allclose(change[torch.arange(20), 3 - LABELS], torch.tensor(-3.0), atol=1e-6)
    assert torch.equal(change.ne(0).sum(1), torch.ones(20, dtype=torch.long))


@pytest.mark.extended
@pytest.mark.parametrize("name", ["residual", "vgg_bn", "plain_cnn", "mlp"])
def test_what_an_agreement_of_ninety_percent_is_worth(name: str) -> None:
    """Above .9, below which `gad` leaves a network out, more than .8 of the distance is there; below .8 it is not."""
    model, data = train(name), pair(train_digits(), (4, 9))
    others = (13 - data.labels)[:, None]
    reached = {}
    for alpha in (2.0, 8.0):
        for epochs in (4, 8, 24):
            found = made(model, alpha, Regression(epochs=epochs), samples=data)
            with torch.no_grad():
                moved = (model(data.inputs) - found.model(data.inputs)).gather(1, others).mean() / alpha
            reached[found.agreement] = float(moved)
    assert all(moved > 0.8 for agreement, moved in reached.items() if agreement > 0.9), reached
    assert all(moved < 0.8 for agreement, moved in reached.items() if agreement < 0.8), reached
    assert max(reached) > 0.9 and min(reached) < 0.8


# Kinds of networks.


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_trained_in_theirs(dtype: torch.dtype) -> None:
    found = made(perceptron().to(dtype), alpha=2.0, how=Regression(30, 0.01, 20))
    assert {parameter.dtype for parameter in found.model.parameters()} == {dtype}
    assert found.agreement > 0.5


def test_steps_too_small_for_a_coarse_dtype_add_up() -> None:
    found = made(perceptron().to(torch.bfloat16), alpha=2.0, how=Regression(300, 1e-4, 20))
    assert found.agreement > 0.1


def far(dtype: torch.dtype, bias: float) -> nn.Module:
    """Its logits are large beside alpha."""
    model = perceptron()
    with torch.no_grad():
        model[3].bias += bias
    return model.to(dtype)


def test_an_alpha_below_the_resolution_of_the_logits() -> None:
    """Targets are kept in single precision, where bfloat16 would round alpha away; where that rounds it away too …"""
    untouched = Regression(1, 1e-30, 32)
    assert made(far(torch.bfloat16, 100), 0.125, untouched).agreement == pytest.approx(0, abs=1e-6)
    assert made(far(torch.float32, 1e9), 0.125, untouched).agreement == -math.inf


class Wrapped(nn.Module):
    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Any:
        return SimpleNamespace(logits=self.inside(x), hidden=None)


def test_a_network_that_returns_an_object_with_logits() -> None:
    assert torch.equal(parameters(made(Wrapped(perceptron())).model), parameters(made(perceptron()).model))


def test_the_forward_function_of_a_check_is_used_and_counts() -> None:
    plain = made(perceptron())
    with using_forward(lambda model, inputs: model(inputs).flip(1)):
        flipped = made(perceptron())
        assert made(perceptron()).cached
    assert not flipped.cached and not torch.equal(parameters(plain.model), parameters(flipped.model))


def test_frozen_parameters_are_trained_and_frozen_again() -> None:
    model = perceptron().requires_grad_(False)
    found = made(model)
    assert found.agreement > 0 and not torch.equal(parameters(found.model), parameters(model))
    assert not any(p.requires_grad for p in found.model.parameters())
    assert all(p.grad is None for p in found.model.parameters())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_within_no_grad(context: Any) -> None:
    expected = parameters(made(perceptron()).model)
    support.forget()
    with context():
        assert torch.equal(parameters(made(perceptron()).model), expected)


# What stays as it is.


def test_the_network_and_the_streams_stay() -> None:
    model = normalized()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = state_of(model)
    made(model)
    assert state_of(model) == before


def test_also_after_an_exception() -> None:
    model = normalized()

    class Failing(Exception):
        pass

    def fail(model: nn.Module, inputs: Tensor) -> Tensor:
        torch.rand(3), np.random.rand(), random.random()
        model.train()
        raise Failing

    before = state_of(model)
    with (
        pytest.raises(ValueError, match=r"^forward= raised Failing for inputs of shape"),
        using_forward(fail),
    ):
        made(model)
    assert state_of(model) == before


def test_the_seed_alone_decides() -> None:
    first = made(perceptron(), seed=3)
    support.forget()
    torch.manual_seed(99)
    assert torch.equal(parameters(first.model), parameters(made(perceptron(), seed=3).model))
    assert not torch.equal(parameters(first.model), parameters(made(perceptron(), seed=4).model))


# The cache.


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_second_time_nothing_is_trained(
    on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path if on_disk else None
    first = made(perceptron(), cache=cache)
    if on_disk:
        support.forget()
    monkeypatch.setattr(support, "descend", lambda *of: pytest.fail("it was trained again"))
    again = made(perceptron(), cache=cache)
    assert (first.cached, again.cached) == (False, True)
    assert torch.equal(parameters(first.model), parameters(again.model))
    assert {**again.facts(), "cached": False} == first.facts()
    assert not again.model.training


@pytest.mark.parametrize(
    "changed",
    [
        {"model": perceptron(1)},
        {"alpha": 5.0},
        {"how": Regression(4, 0.01, 8)},
        {"how": Regression(3, 0.02, 8)},
        {"how": Regression(3, 0.01, 9)},
        {"seed": 1},
        {"samples": images(inputs=2 * IMAGES)},
        {"samples": images(labels=LABELS.roll(1))},
        {"samples": images(labels=LABELS - 1, classes=(0, 1))},
    ],
    ids=["weights", "alpha", "epochs", "rate", "batch", "seed", "images", "labels", "classes"],
)
def test_whatever_it_depends_on_trains_it_anew(tmp_path: Path, changed: dict[str, Any]) -> None:
    made(perceptron(), cache=tmp_path)
    assert not made(**{"model": perceptron(), "cache": tmp_path, **changed}).cached
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_weights_that_come_back_find_their_networks_again() -> None:
    model = perceptron()
    made(model)
    kept = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        model[1].bias += 1
    assert not made(model).cached
    model.load_state_dict(kept)
    assert made(model).cached


def test_more_networks_at_once_than_are_kept_are_kept() -> None:
    alphas = [1 + number / 8 for number in range(support._KEPT + 3)]
    how = Regression(1, 0.01, 20)
    supports(perceptron(), images(), alphas, how)
    assert all(found.cached for found in supports(perceptron(), images(), alphas, how))


# The deadline.


def test_training_ends_between_two_batches_and_what_is_not_finished_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps past the deadline in the second network's second epoch of three batches."""
    steps, step = [], support.descent.step
    monkeypatch.setattr(support.descent, "step", lambda *of: steps.append(0) or step(*of))
    monkeypatch.setattr(support.time, "monotonic", lambda: 5.0 if len(steps) < 9 + 4 else 50.0)
    model, how = normalized(), {"cache": tmp_path, "deadline": 20.0}
    before = state_of(model)
    with pytest.raises(Unfinished, match=r"^support network 2 of 3, α = 2 was in epoch 2 of 3$"):
        supports(model, images(), (1, 2, 3), FAST, **how)
    assert len(steps) == 9 + 4 and state_of(model) == before
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    monkeypatch.undo()
    first, second = supports(model, images(), (1, 2), FAST, cache=tmp_path)
    assert first.cached and not second.cached
    support.forget()
    assert torch.equal(parameters(second.model), parameters(made(model, 2.0).model))


def test_after_the_deadline_nothing_is_begun_but_what_is_cached_is_found() -> None:
    late = time.monotonic() - 1
    with pytest.raises(Unfinished, match=r"^support network 1 of 1, α = 4 was not begun$"):
        made(perceptron(), deadline=late)
    made(perceptron())
    assert made(perceptron(), deadline=late).cached


def test_another_process_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    made(perceptron(), cache=tmp_path)
    (entry,) = tmp_path.glob("*.safetensors")
    key = entry.stem
    for file in tmp_path.glob(f"{key}*"):
        file.unlink()
    support.forget()
    with store.locked(tmp_path, key, 1.0), pytest.raises(store.Busy):
        made(perceptron(), cache=tmp_path, deadline=time.monotonic() + 0.2)


# Bad input.


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no copies\nof this")


class Infinite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * torch.tensor([0.0, torch.inf, 0.0]).expand(len(x), 3)


@pytest.mark.parametrize(
    "model, samples, sentence",
    [
        (Uncopied(1, 1), images(), "Uncopied cannot be copied, but its support networks start from a copy: no copies"),
        (Infinite(), images(), "the model's logits are not finite on 20 of the 20 images of the data"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), images(), "class 2 is out of range: the model has 2 logits"),
        (perceptron(), images(inputs=torch.zeros(20, 3, 4, 4)), "raised RuntimeError for inputs of shape (20, 3"),
        (nn.Flatten(), images(), "Flatten has no parameters: there is nothing to train in its copies"),
        (
            perceptron(),
            pair(IMAGES, (1, 2)),
            "the model ranks class 1 higher on all 20 images of the data, so no image is left for the other one "
            "of 1 and 2",
        ),
    ],
)  # fmt: skip
def test_bad_networks(model: nn.Module, samples: Pair, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        made(model, samples=samples)


@pytest.mark.parametrize(
    "given, classes, sentence",
    [
        ((IMAGES, LABELS), (1, 5), "the data has no image of the class 5; its labels are 1, 2"),
        (((IMAGES, IMAGES), LABELS), (1, 2), "support networks take one image each; the data has tuples of 2 inputs"),
        (IMAGES[:1], (1, 2), "there are 1 images of the classes 1 and 2; at least 2 are needed"),
        (IMAGES / 0, (1, 2), "the training set's inputs hold 320 values that are NaN or infinite"),
        ((IMAGES, LABELS[:3]), (1, 2), "the training set has 20 inputs and 3 labels"),
    ],
)  # fmt: skip
def test_bad_data(given: Any, classes: tuple[int, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        pair(given, classes)


def test_a_regression_that_explodes_agrees_by_less_than_nothing(tmp_path: Path) -> None:
    how = Regression(200, 1e37, 20)
    found = made(perceptron(), how=how, cache=tmp_path)
    assert found.agreement == -math.inf and found.error == math.inf and not found.finite
    assert (found.shown, found.advice) == ("not finite", "use a lower learning_rate=")
    support.forget()
    assert made(perceptron(), how=how, cache=tmp_path).agreement == -math.inf
