"""Explainers with a known verdict, the gates, the words and the bad input of data sensitivity."""

from __future__ import annotations

import functools
import json
import re
from collections import OrderedDict
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    ExplainerContractError,
    SanityCheckFailed,
    SanityCheckInconclusive,
    TrueAndPermuted,
    Verdict,
    assert_data_sensitive,
    check_data_sensitivity,
    explainers,
    settings,
)
from pytest_saliency_sanity.explainers import CONTROLS, gradient, sobel
from pytest_saliency_sanity.trained_networks import networks
from tests.checks.models import seeded
from tests.sensitivity.memorizing import checked, explained, make_model, make_small, train, train_set
from tests.sensitivity.test_control_without_gradients import NO_GRADIENT, UnderNoGrad

FAULTY = [name for name in CONTROLS if name not in ("constant", "center_prior", "gradient_sobel_mixture")]


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is in memory; those of the other tests are back afterwards."""
    monkeypatch.setattr(networks, "_IN_MEMORY", OrderedDict())


# Verdicts.


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.extended)])
@pytest.mark.parametrize("name", ["gradient", "input_x_gradient", "integrated_gradients", "occlusion"])
def test_honest_explainers_pass(name: str, seed: int) -> None:
    verdict = checked(getattr(explainers, name), seed=seed)
    assert (verdict.outcome, verdict.reason) == ("pass", "sensitive"), verdict


@pytest.mark.parametrize("name", FAULTY)
def test_what_ignores_model_and_data_fails(name: str) -> None:
    verdict = checked(CONTROLS[name](), name=name)
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert verdict.statistic == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name, reason", [("constant", "constant"), ("center_prior", "input_independent")])
def test_a_map_that_never_changes_fails(name: str, reason: str) -> None:
    verdict = checked(CONTROLS[name](), name=name)
    assert (verdict.outcome, verdict.reason) == ("fail", reason)


def test_strong_edges_over_a_faint_gradient_fail() -> None:
    """Nearly all ranks are the gradient's, and the picture is that of the edges."""

    def loud(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        edges = sobel(model, inputs, targets)
        maps = gradient(model, inputs, targets)
        strong = edges > edges.flatten(1).quantile(0.95, dim=1).view(-1, 1, 1, 1)
        return torch.where(strong, 10 * edges, maps / maps.abs().amax((1, 2, 3), keepdim=True))

    verdict = checked(loud)
    assert (verdict.outcome, verdict.reason) == ("fail", "amplitude")


def test_maps_in_which_no_two_networks_agree_show_nothing() -> None:
    def of_the_weights(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """A hash of the weights: random for each network, the same at each call."""
        seed = int(sum(float(p.detach().sum()) for p in model.parameters()) * 1e4) % 2**31
        keys = (inputs.flatten(1).sum(1) * 1e4).long().tolist()
        draws = [torch.Generator().manual_seed((seed + key) % 2**31) for key in keys]
        return torch.stack([torch.randn(28, 28, generator=draw) for draw in draws])

    verdict = checked(of_the_weights)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.agreement")
    assert (
        "its maps of two networks trained on the same labels agree too little for a loss" in verdict.summary
    )


def test_five_networks_of_each_kind_speak_for_others(fresh: None) -> None:
    verdict = checked(gradient, make_model=make_small, twins=5)
    assert verdict.outcome == "pass"
    assert "these" not in verdict.summary
    assert verdict.stages[0].draws == 5
    assert len(verdict.evidence["networks"]) == 10
    assert checked(sobel, make_model=make_small, twins=5).outcome == "fail"


# Words and evidence.


def test_the_message_of_a_failure() -> None:
    lines = str(checked(sobel)).splitlines()
    assert lines[0] == (
        "sobel ignores the training data: 1.00 of the agreement between two trained networks is left when one of "
        "them is trained on permuted labels (99 % lower bound 1.00 > 0.80) [for these 4 networks]"
    )
    assert re.match(
        r"  trained on +rank correlation of two networks' maps +retained +interval \(99 % … 95 %\) +verdict",
        lines[2],
    )
    assert re.match(
        r"  permuted labels +true–true 1\.00, true–permuted 1\.00, permuted–permuted 1\.00, "
        r"different images -?0\.\d\d+ +1\.00 +1\.00 … 1\.00 +fail",
        lines[3],
    )
    assert (
        "hint: it resembles the edges of the input: its rank correlation with the Sobel gradient magnitude"
        in str(checked(sobel))
    )


@pytest.mark.parametrize(
    "name, hint",
    [
        ("noise", "noise: two runs on different random streams agree by only"),
        ("input_copy", "a copy of the input: its rank correlation with the input is 1.00"),
        (
            "stale_model",
            "the map does not change with the labels that the network was trained on: it is a function of the "
            "image alone",
        ),
    ],
)
def test_hints(name: str, hint: str) -> None:
    assert hint in words(str(checked(CONTROLS[name](), name=name)))


def test_the_evidence() -> None:
    verdict = checked(gradient, similarities=("abs_spearman", "ssim"))
    evidence = json.loads(json.dumps(verdict.to_json()))["evidence"]
    kinds = [network["labels"] for network in evidence["networks"]]
    assert kinds == ["true", "true", "permuted", "permuted"]
    assert len({network["seed"] for network in evidence["networks"]}) == 4
    assert all(network["accuracy"] >= 0.95 for network in evidence["networks"])
    assert [network["accuracy_on_inputs"] > 0.5 for network in evidence["networks"]] == [
        True,
        True,
        False,
        False,
    ]
    assert set(evidence["similarities"]) == {"signed_spearman", "abs_spearman", "ssim"}
    for table in evidence["similarities"].values():
        assert {"true–true", "true–permuted", "permuted–permuted"} <= set(table)
    spearman = evidence["similarities"]["signed_spearman"]
    assert spearman["true–true"] > 0.3 > 0.1 > spearman["true–permuted"]


def test_without_labels_the_summary_says_that_accuracy_was_not_checked() -> None:
    assert checked(gradient, labels=None).summary.endswith("[for these 4 networks; accuracy not checked]")


def test_the_assertion_raises() -> None:
    images, labels = explained()
    assert (
        assert_data_sensitive(gradient, make_model, train_set(), images, labels=labels, train=train).outcome
        == "pass"
    )
    with pytest.raises(SanityCheckFailed, match=r"^sobel ignores the training data: 1\.00"):
        assert_data_sensitive(sobel, make_model, train_set(), images, train=train)
    with pytest.raises(SanityCheckInconclusive, match="the profile 'smoke' trains no networks"):
        assert_data_sensitive(sobel, make_model, train_set(), images, train=train, profile="smoke", seed=99)
    with pytest.raises(ExplainerContractError) as raised:
        assert_data_sensitive(
            lambda model, inputs, targets: 1 / 0, make_model, train_set(), images, train=train
        )
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_it_is_recorded() -> None:
    found: list[Any] = []
    with settings.using(settings.Settings(record=found.append)):
        verdict = checked(gradient)
    assert found == [verdict] and verdict.check == "data_sensitivity"


# The networks.


def seeds(verdict: Any) -> list[int]:
    return [network["seed"] for network in verdict.evidence["networks"]]


def test_equal_seeds_make_equal_networks(fresh: None) -> None:
    first = checked(gradient, make_model=make_small, seed=3)
    networks.forget()
    again = checked(gradient, make_model=make_small, seed=3)
    assert first.stages == again.stages
    assert seeds(first) == seeds(again) != seeds(checked(gradient, make_model=make_small, seed=4))


def test_the_next_explainer_of_a_run_finds_them_in_memory(fresh: None) -> None:
    for explainer, cached in ((gradient, False), (sobel, True)):
        found = checked(explainer, make_model=make_small).evidence["networks"]
        assert [network["cached"] for network in found] == [cached] * 4


def test_true_networks_see_the_true_labels_and_permuted_ones_others(fresh: None) -> None:
    seen: list[Tensor] = []

    def watching(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        seen.append(dataset.tensors[1])
        assert torch.equal(dataset.tensors[0], train_set()[0])
        return train(model, dataset, seed)

    checked(gradient, make_model=make_small, train=watching)
    truth = train_set()[1]
    agreement = [float((labels == truth).float().mean()) for labels in seen]
    assert agreement[2:] == [1, 1]
    assert max(agreement[:2]) < 0.2
    assert not torch.equal(seen[0], seen[1])
    assert all(torch.equal(labels.bincount(), truth.bincount()) for labels in seen)


@functools.cache
def already_trained() -> TrueAndPermuted:
    """Two networks of each kind; no test changes them."""
    images, labels = train_set()

    def made(order: int | None, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        stream = torch.Generator().manual_seed(order or 0)
        given = labels if order is None else labels[torch.randperm(len(labels), generator=stream)]
        return train(make_small(), torch.utils.data.TensorDataset(images, given), seed)

    with torch.random.fork_rng():
        return TrueAndPermuted(true=[made(None, 10), made(None, 11)], permuted=[made(1, 12), made(2, 13)])


def judged_on(models: TrueAndPermuted, explainer: Any) -> Verdict:
    return check_data_sensitivity(explainer, inputs=explained()[0], labels=explained()[1], models=models)


def test_trained_networks_can_be_passed_in() -> None:
    for explainer, outcome in ((gradient, "pass"), (sobel, "fail")):
        verdict = judged_on(already_trained(), explainer)
        assert verdict.outcome == outcome
        assert "it was not checked that they have memorized permuted labels" in words(str(verdict))


# Gates.


def lazy(steps: int) -> Any:
    def few_steps(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        images, labels = dataset.tensors
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
        return model

    return few_steps


def test_labels_that_were_not_memorized(fresh: None) -> None:
    verdict = checked(gradient, make_model=make_small, train=lazy(5))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.memorization")
    sentence = (
        r"^gradient: inconclusive: the network of seed \d+ reached an accuracy of 0\.\d\d+ on its permuted training "
        r"labels with train= \(0\.95 is needed\); does it train on the dataset that it is given\?$"
    )
    assert re.match(sentence, verdict.summary)


def by_default(**options: Any) -> Any:
    return checked(gradient, train=None, **options)


def test_how_far_the_default_training_came_in_its_epochs(fresh: None) -> None:
    verdict = by_default(max_epochs=1)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.memorization")
    assert re.search(
        r"reached an accuracy of 0\.\d\d+ on its permuted training labels after 1 epochs \(0\.95 is needed\); the "
        r"network may be too small to memorize so many samples: use fewer samples or a larger network, or raise "
        r"max_epochs$",
        verdict.summary,
    )


def test_how_far_it_came_in_its_seconds(fresh: None) -> None:
    verdict = by_default(max_seconds=0.3)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.memorization")
    assert re.search(
        r"when the budget of 0\.3 s was used up, in epoch \d+ \(0\.95 is needed\); raise max_seconds$",
        verdict.summary,
    )


def test_a_model_that_is_too_small(fresh: None) -> None:
    verdict = by_default(
        make_model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Linear(1, 10)), max_epochs=3
    )
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.memorization")


def test_a_loss_that_is_not_finite(fresh: None) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(784, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.linear(images.flatten(1)) / (0.0 if torch.is_grad_enabled() else 1.0)

    verdict = by_default(make_model=Broken)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.memorization")
    assert "because its loss was not finite at any of four learning rates" in verdict.summary


@pytest.mark.parametrize("network", [make_small, pytest.param(make_model, marks=pytest.mark.extended)])
def test_the_default_training_memorizes(fresh: None, network: Any) -> None:
    verdict = by_default(make_model=network)
    assert verdict.outcome == "pass"
    assert [network["ended"] for network in verdict.evidence["networks"]] == ["accuracy"] * 4


def test_permuted_networks_that_know_the_truth(fresh: None) -> None:
    """The trainer reads the labels elsewhere, so that "permuted" networks learn the true ones as well."""
    truth = train_set()[1]

    def cheating(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        images, labels = dataset.tensors
        both = torch.utils.data.TensorDataset(images, labels)
        train(model, torch.utils.data.TensorDataset(images, truth), seed)
        return Memory(model, both.tensors)

    verdict = checked(gradient, make_model=make_small, train=cheating)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.permutation")
    assert "trained on permuted labels, predicts" in verdict.summary
    assert "more than chance" in verdict.summary


class Memory(nn.Module):
    """Answers training images from a table, others by the network."""

    def __init__(self, model: nn.Module, table: tuple[Tensor, Tensor]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("keys", table[0].flatten(1))
        self.register_buffer("labels", table[1])

    def forward(self, images: Tensor) -> Tensor:
        same = (images.flatten(1)[:, None] == self.keys).all(2)
        known = nn.functional.one_hot(self.labels[same.byte().argmax(1)], 10) * 100.0
        return torch.where(same.any(1, keepdim=True), known, self.model(images))


def test_true_networks_at_chance() -> None:
    labels = explained()[1]
    verdict = checked(gradient, labels=labels.roll(1))
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.accuracy")


def test_no_explainer_fails_where_the_gradient_fails_too() -> None:
    """Linear networks with fixed weights: every explanation of them is the same."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stream = torch.Generator().manual_seed(0)
            self.register_buffer("weight", torch.randn(10, 784, generator=stream))
            self.bias = nn.Parameter(torch.zeros(10))

        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) @ self.weight.T + self.bias

    models = TrueAndPermuted(true=[Fixed(), Fixed()], permuted=[Fixed(), Fixed()])
    verdict = check_data_sensitivity(sobel, inputs=explained()[0], models=models)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.controls")
    assert "even the plain gradient retains 1.00 when the labels are permuted" in verdict.summary


def test_networks_that_no_gradient_passes() -> None:
    """Occlusion, which needs none, is the control."""
    models = already_trained()
    kinds = {"true": models.true, "permuted": models.permuted}
    frozen = TrueAndPermuted(
        **{kind: [UnderNoGrad(one).eval() for one in made] for kind, made in kinds.items()}
    )
    assert judged_on(frozen, partial(explainers.occlusion, window=7)).outcome == "pass"
    assert judged_on(frozen, gradient).reason == "not_applicable"
    verdict = judged_on(frozen, sobel)
    assert (verdict.outcome, verdict.reason) == ("fail", "insensitive")
    assert any(note.startswith(NO_GRADIENT) for note in verdict.notes)


def test_the_budget() -> None:
    verdict = checked(explainers.integrated_gradients, max_seconds=1e-3)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "budget")
    assert "the budget of 0.001 s was used up after 8 maps; raise max_seconds" in verdict.summary


def test_smoke_trains_nothing(fresh: None) -> None:
    def forbidden(model: nn.Module, dataset: Any, seed: int) -> nn.Module:
        raise AssertionError

    verdict = checked(gradient, train=forbidden, profile="smoke")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "smoke")
    assert "the profile 'smoke' trains no networks, and not all of them are cached" in verdict.summary


# Bad input.


def same_object() -> nn.Module:
    return _SAME


_SAME = seeded(make_small)  # which memorizes whatever it is trained on, also a second time


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        (
            {"make_model": None},
            TypeError,
            "there is no make_model: pass one, or define the fixture saliency_make_model",
        ),
        ({"make_model": _SAME}, TypeError, "make_model must be a function, not Sequential"),
        (
            {"make_model": lambda: None},
            TypeError,
            "make_model() must return an untrained torch.nn.Module, not NoneType",
        ),
        ({"make_model": same_object}, TypeError, "make_model() returned the same object twice"),
        ({"train": lambda m, d, s: None}, TypeError, "must return the trained network, not NoneType"),
        ({"train": lambda m, d, s: train(_SAME, d, s)}, TypeError, "returned the same object twice"),
        ({"train": "sgd"}, TypeError, "train must be a function, not 'sgd'"),
        (
            {"twins": 1},
            ValueError,
            "twins, the number of networks of each kind, must be an integer of at least 2, not 1",
        ),
        ({"max_epochs": 0}, ValueError, "max_epochs must be an integer of at least 1, not 0"),
        ({"models": [1, 2]}, TypeError, "models must be TrueAndPermuted(true=[…], permuted=[…]), not [1, 2]"),
        (
            {"models": TrueAndPermuted([_SAME, _SAME], [_SAME, _SAME])},
            ValueError,
            "models.true holds the same network twice; two different seeds are needed",
        ),
        (
            {"models": TrueAndPermuted([_SAME], [])},
            ValueError,
            "models.true holds 1 networks; at least 2 are needed",
        ),
        (
            {"models": TrueAndPermuted("ab", "cd")},
            TypeError,
            "models.true must hold torch.nn.Modules, not str",
        ),
        (
            {"train_set": (torch.rand(40, 1, 28, 28), torch.arange(40) % 20)},
            ValueError,
            "label 19 of the training set is out of range; make_model() has 10 logits",
        ),
        (
            {"train_set": (torch.rand(40, 3, 28, 28), torch.arange(40) % 2)},
            ValueError,
            "the network of make_model() raised RuntimeError for inputs of shape (2, 3, 28, 28): ",
        ),
        ({"threshold": 2}, ValueError, "threshold"),
        ({"similarities": ("cosine",)}, ValueError, "unknown similarity 'cosine'"),
    ],
)
def test_bad_arguments(fresh: None, options: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        checked(gradient, **{"make_model": make_small, **options})


def test_inputs_are_needed() -> None:
    with pytest.raises(
        ValueError, match=re.escape("data sensitivity needs inputs= like those of the train_set")
    ):
        check_data_sensitivity(gradient, make_model, train_set(), train=train)


def test_the_streams_of_the_caller_stay(fresh: None) -> None:
    before = torch.get_rng_state()
    checked(gradient, make_model=make_small, seed=11)
    assert torch.equal(before, torch.get_rng_state())
