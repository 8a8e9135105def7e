from __future__ import annotations

import copy
import io
import math
import time

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.perturbations.label_permutation import permuted
from pytest_saliency_sanity.trained_networks import progress, training
from pytest_saliency_sanity.trained_networks.training import Options, accuracy, fit
from tests.digits import train_digits
from tests.networks import DEVELOPMENT, EVALUATION

CLASSES = 4


def noise(n: int = 100) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 8) and labels that have nothing to do with them."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.randint(CLASSES, (n,), generator=generator)


def perceptron(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), *(last or [nn.Linear(64, CLASSES)]))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 32), nn.ReLU(),
        nn.Linear(32, CLASSES),
    )  # fmt: skip


def batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(576, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, CLASSES),
    )  # fmt: skip


def dropout_modules() -> nn.Module:
    return nn.Sequential(
        nn.Dropout2d(0.9), nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.9), nn.Linear(576, 32),
        nn.ReLU(), nn.AlphaDropout(0.9), nn.Linear(32, CLASSES),
    )  # fmt: skip


class FunctionalDropout(nn.Module):
    """Dropout by a function, and noise of its own while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = F.dropout(images.flatten(1), 0.9, training=self.training)
        x = F.relu(self.hidden(x))
        return self.head(x + 100 * torch.randn_like(x) if self.training else x)


class Attention(nn.Module):
    """Rows are tokens; dropout in a module and in the function beneath it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.attention = nn.Linear(8, 32), nn.MultiheadAttention(32, 2, 0.9, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.9, batch_first=True)
        self.head = nn.Linear(256, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embedding(images[:, 0])
        tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        dropout = 0.9 if self.training else 0.0
        tokens = tokens + F.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=dropout)
        return self.head(self.encoder(tokens).flatten(1))


class Recurrent(nn.Module):
    """Rows are steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32, num_layers=2, dropout=0.9, batch_first=True)
        self.head = nn.Linear(256, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.lstm(images[:, 0])[0].flatten(1))


class Twice(nn.Module):
    """Of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = perceptron(), perceptron()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return self.first(one) + self.second(other)


class Interrupting(nn.Module):
    """Ctrl-C in the third forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == 3:
            raise KeyboardInterrupt
        return x


class Explosive(nn.Module):
    """NaN as soon as its weight has moved by more than a learning rate allows."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.weight, self.bound = nn.Parameter(torch.ones(())), bound

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight * (math.nan if (self.weight - 1).abs() > self.bound else 1)


def built(make) -> nn.Module:
    with replayed(1):
        return make()


def hits(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    return int((model(images).argmax(1) == labels).sum())


def state(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(*pair) for pair in zip(one, other, strict=True))


# Memorizing.


@pytest.mark.parametrize(
    "make",
    [perceptron, convolutional, batch_norm, dropout_modules, FunctionalDropout, Attention, Recurrent],
)
def test_labels_of_noise_are_memorized(make):
    model = built(make)
    images, labels = noise()
    result = fit(model, (images,), labels, seed=0)
    assert result.ended == "accuracy"
    assert result.accuracy == hits(model, images, labels) / len(labels) >= 0.99
    assert 1 <= result.epochs <= Options().max_epochs and result.seconds > 0


@pytest.mark.extended
def test_permuted_digits_are_memorized():
    images, labels = (part[:1000] for part in train_digits())
    result = fit(built(EVALUATION["mlp"]), (images,), permuted(labels, 0).labels, seed=0)
    assert result.ended == "accuracy" and result.accuracy >= 0.99


def test_true_labels_are_learned():
    images, labels = (part[:300] for part in train_digits())
    assert fit(built(DEVELOPMENT["mlp_bn"]), (images,), labels, seed=0).accuracy >= 0.99


def test_a_last_batch_of_one_sample_does_not_stop_batch_norm():
    images, labels = noise(65)
    assert fit(built(batch_norm), (images,), labels, seed=0).accuracy >= 0.99


def test_a_single_logit_tells_two_classes():
    images, labels = noise()
    model = built(lambda: perceptron(nn.Linear(64, 1)))
    assert fit(model, (images,), labels % 2, seed=0).ended == "accuracy"
    assert ((model(images)[:, 0] > 0) == labels % 2).float().mean() >= 0.99


def test_packed_inputs_are_passed_one_by_one():
    images, labels = noise()
    result = fit(built(Twice), (images, images.flip(0)), labels, seed=0, packed=True)
    assert result.ended == "accuracy"


def test_forward_finds_the_logits():
    images, labels = noise()
    model = built(lambda: nn.ModuleDict({"only": perceptron()}))
    result = fit(model, (images,), labels, seed=0, forward=lambda model, inputs: model["only"](inputs))
    assert result.ended == "accuracy"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_are_kept(dtype):
    images, labels = noise()
    model = built(perceptron).to(dtype)
    result = fit(model, (images,), labels, seed=0)
    assert result.ended == "accuracy"
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert result.accuracy == hits(model, images.to(dtype), labels) / len(labels)


# Repeating.


def test_a_seed_gives_the_same_weights():
    images, labels = noise()
    weights = []
    for seed in (3, 3, 4):
        torch.rand(1)  # the global stream is none of its business
        model = built(batch_norm)
        fit(model, (images,), labels, seed, options=Options(max_epochs=3))
        weights.append(state(model))
    assert equal(weights[0], weights[1])
    assert not equal(weights[0], weights[2])


def test_global_randomness_is_left_alone():
    before = torch.get_rng_state()
    model = copy.deepcopy(built(dropout_modules))
    fit(model, (noise()[0],), noise()[1], seed=0, options=Options(max_epochs=2))
    assert torch.equal(torch.get_rng_state(), before)


# Ending.


def test_training_ends_after_max_epochs():
    images, labels = noise()
    model = built(perceptron)
    result = fit(model, (images,), labels, seed=0, options=Options(max_epochs=2))
    assert (result.ended, result.epochs) == ("epochs", 2)
    assert result.accuracy == accuracy(model, (images,), labels) < 0.99


def test_training_ends_at_a_lower_accuracy_if_that_will_do():
    images, labels = noise()
    full = fit(built(perceptron), (images,), labels, seed=0)
    half = fit(built(perceptron), (images,), labels, seed=0, options=Options(accuracy=0.6))
    assert half.epochs < full.epochs and half.accuracy >= 0.6


def test_a_deadline_that_has_passed_leaves_the_weights():
    model = built(perceptron)
    before = state(model)
    result = fit(model, (noise()[0],), noise()[1], seed=0, deadline=time.monotonic())
    assert (result.ended, result.epochs) == ("seconds", 0)
    assert equal(state(model), before) and not model.training


def test_the_deadline_is_looked_at_between_batches(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    images, labels = noise()
    # The clock is read once at the start and once a batch, of which there are two an epoch.
    result = fit(built(perceptron), (images,), labels, seed=0, deadline=6)
    assert (result.ended, result.epochs) == ("seconds", 2)


def test_a_loss_that_is_never_finite_gives_the_initial_weights_back():
    images, labels = noise()
    model = built(batch_norm)
    before = state(model)
    result = fit(model, (images * math.nan,), labels, seed=0)
    assert (result.ended, result.epochs) == ("not finite", 1)
    assert equal(state(model), before)


@pytest.mark.parametrize("bound, rates", [(0.05, 1), (0.0, 4)])
def test_a_third_of_the_learning_rate_is_tried_three_times(bound, rates, monkeypatch):
    tried = []
    descent = training._descent
    monkeypatch.setattr(training, "_descent", lambda *of: tried.append(of[-1]) or descent(*of))
    model = built(lambda: nn.Sequential(perceptron(), Explosive(bound)))
    result = fit(model, (noise()[0],), noise()[1], seed=0, options=Options(learning_rate=1e-3, max_epochs=20))
    assert tried == pytest.approx([1e-3 / 3**start for start in range(rates)])
    assert result.ended == ("not finite" if rates == 4 else "epochs")


def test_a_restart_succeeds():
    images, labels = noise()
    model = built(lambda: nn.Sequential(perceptron(), Explosive(bound=0.2)))
    result = fit(model, (images,), labels, seed=0, options=Options(learning_rate=0.5))
    assert result.ended == "accuracy" and result.accuracy >= 0.99


# Giving back.


def test_frozen_parameters_stay():
    images, labels = noise()
    model = built(perceptron)
    model[1].weight.requires_grad_(False)
    frozen, trained = model[1].weight.clone(), model[3].weight.clone()
    fit(model, (images,), labels, seed=0, options=Options(max_epochs=2))
    assert torch.equal(model[1].weight, frozen) and not torch.equal(model[3].weight, trained)
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True]


def test_a_model_all_frozen_is_refused():
    model = built(perceptron).requires_grad_(False)
    with pytest.raises(ValueError, match="Sequential cannot be trained: none of its parameters has requires"):
        fit(model, (noise()[0],), noise()[1], seed=0)


def test_the_model_returns_in_evaluation_mode_without_gradients():
    images, labels = noise()
    model = built(Recurrent)
    with torch.no_grad():
        fit(model, (images,), labels, seed=0, options=Options(max_epochs=1))
        assert not torch.is_grad_enabled()
    assert not any(module.training for module in model.modules())
    assert model.lstm.dropout == 0.9
    assert all(p.grad is None for p in model.parameters())


def test_modes_and_dropout_come_back_after_ctrl_c():
    model = nn.ModuleList([built(Recurrent), Interrupting(), nn.Dropout(0.5)])
    model[0].head.eval()
    before = [module.training for module in model.modules()]
    with pytest.raises(KeyboardInterrupt):
        fit(
            model, (noise()[0],), noise()[1], seed=0, forward=lambda model, inputs: model[1](model[0](inputs))
        )
    assert [module.training for module in model.modules()] == before
    assert model[0].lstm.dropout == 0.9
    assert all(p.grad is None for p in model.parameters())


def test_a_batch_norm_that_the_model_keeps_frozen_is_not_trained():
    class Frozen(nn.BatchNorm2d):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(False)

    images, labels = noise()
    model = built(lambda: nn.Sequential(Frozen(1), nn.BatchNorm2d(1), perceptron()))
    fit(model, (images,), labels, seed=0, options=Options(max_epochs=2))
    assert model[0].running_mean.item() == 0 != model[1].running_mean.item()


def test_accuracy_is_of_evaluation_mode_and_leaves_modes_and_gradients():
    images, labels = noise()
    model = built(dropout_modules)
    model[1].eval()
    before = [module.training for module in model.modules()]
    reached = accuracy(model, (images,), labels)
    assert [module.training for module in model.modules()] == before
    assert reached == hits(model.eval(), images, labels) / len(labels)


# Progress.


def test_progress_says_who_how_good_and_what_for(monkeypatch):
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0)
    images, labels = noise()
    stream = io.StringIO()
    title = "twin 3 of 4 (permuted labels)"
    fit(built(perceptron), (images,), labels, seed=0, title=title, stream=stream)
    written = stream.getvalue()
    assert f"{title}: " in written
    assert " epoch 2 of at most 300, 00:0" in written
    assert ", train accuracy 0." in written and ", waiting for 0.99" in written


def test_the_progress_bar_is_closed_after_ctrl_c():
    stream = io.StringIO()
    model = built(lambda: nn.Sequential(perceptron(), Interrupting()))
    with pytest.raises(KeyboardInterrupt):
        fit(model, (noise()[0],), noise()[1], seed=0, title="twin", stream=stream)
    assert not progress.Bar._instances
    assert stream.getvalue().startswith("\rtwin: ") and stream.getvalue().endswith(" \r")


def test_nothing_is_written_without_a_stream(capsys):
    fit(built(perceptron), (noise()[0],), noise()[1], seed=0, options=Options(max_epochs=1), title="twin")
    assert capsys.readouterr() == ("", "")


@pytest.mark.extended
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", [*EVALUATION, *DEVELOPMENT])
def test_every_kind_of_network_memorizes_permuted_digits(name, seed):
    images, labels = (part[:1000] for part in train_digits())
    with replayed(seed):
        model = {**EVALUATION, **DEVELOPMENT}[name]()
        result = fit(model, (images,), permuted(labels, seed).labels, seed)
    assert result.ended == "accuracy" and result.accuracy >= 0.99


ENDS = {
    "sigmoid": nn.Sigmoid(),
    "sigmoid (N,)": nn.Sequential(nn.Sigmoid(), nn.Flatten(0)),
    "softmax": nn.Sequential(nn.Linear(1, 2), nn.Softmax(1)),
}


class ByHand(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-x))


@pytest.mark.parametrize("end", [*ENDS.values(), ByHand()], ids=[*ENDS, "by hand"])
def test_networks_that_return_probabilities_memorize(end: nn.Module) -> None:
    images, labels = noise()
    with replayed(0):
        model = perceptron(nn.Linear(64, 1), copy.deepcopy(end))
        result = fit(model, (images,), labels % 2, seed=0)
    assert result.ended == "accuracy" and result.epochs < 120
    assert accuracy(model, (images,), labels % 2) == result.accuracy >= 0.99
    assert accuracy(model, (images,), 1 - labels % 2) == pytest.approx(1 - result.accuracy)


def test_a_sigmoid_trains_as_its_logit_does() -> None:
    images, labels = noise()
    ended, plain = ([nn.Linear(64, 1), nn.Sigmoid()], [nn.Linear(64, 1)])
    found = []
    for last in (plain, ended):
        with replayed(0):
            model = perceptron(*(copy.deepcopy(nn.Sequential(*last)),))
            for layer in (model[1], model[3][0]):
                layer.reset_parameters()
            found.append(fit(model, (images,), labels % 2, seed=0).epochs)
    assert abs(found[0] - found[1]) <= 1
