"""Networks with hand-made weights compute what they say, and what is attributed is right by every known way."""

from __future__ import annotations

import re
from functools import partial
from itertools import permutations

import pytest
import torch

from pytest_saliency_sanity import assert_complete, assert_ignored_input
from pytest_saliency_sanity.explainers import integrated_gradients
from pytest_saliency_sanity.planted import BEHAVIORS, FORMS, KnownTruth, known_truth
from pytest_saliency_sanity.planted.motifs import MOTIFS, THRESHOLD

each = pytest.mark.parametrize(
    "behavior, form", [(behavior, form) for behavior in BEHAVIORS for form in FORMS]
)
# The logits of each behavior, written from its description: A, B and C are 0 or 1.
LOGITS = {
    "and": lambda a, b, c: (a * b, c / 2),
    "or": lambda a, b, c: (a + b - a * b, c / 2),
    "gate": lambda a, b, c: (a * (1 - b), a * b),
    "conflict": lambda a, b, c: (a - b / 2, c - b / 2),
    "shared": lambda a, b, c: (a + b, b + c),
    "dead_class": lambda a, b, c: (a, c, 0 * a - 1),
}


@each
def test_the_network_computes_its_behavior(behavior: str, form: str) -> None:
    known = known_truth(behavior, form, 32, seed=1)
    expected = torch.stack(LOGITS[behavior](*known.present.float().T), 1)
    logits = known.model(known.inputs)
    assert torch.allclose(logits, expected, atol=1e-5)
    assert torch.equal(logits.argmax(1), known.labels) and len(known.labels.unique()) == 2
    assert not known.model.training


@pytest.mark.parametrize(
    "behavior, form",
    [
        pytest.param(behavior, form, marks=() if form == "tables" else pytest.mark.extended)
        for behavior in BEHAVIORS
        for form in FORMS
    ],
)
def test_contributions_are_integrated_gradients(behavior: str, form: str) -> None:
    """A path integral in a thousand steps, which is another way to the same numbers."""
    known = known_truth(behavior, form, 8, seed=2)
    found = integrated_gradients(known.model, known.inputs, known.labels, steps=1000)
    assert torch.allclose(found, known.contributions, atol=2e-3)
    scores = known.model(known.inputs).gather(1, known.labels[:, None])[:, 0]
    baseline = known.model(torch.zeros_like(known.inputs)).gather(1, known.labels[:, None])[:, 0]
    assert torch.allclose(known.contributions.flatten(1).sum(1), scores - baseline, atol=1e-5)


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_credits_are_shapley_values_where_features_are_alike(behavior: str) -> None:
    """The mean over all orders in which the features that are there are added."""
    known = known_truth(behavior, count=12, seed=3)
    for row, label, credits in zip(known.present.tolist(), known.labels.tolist(), known.credits, strict=True):
        values = torch.zeros(3)
        for order in permutations(range(3)):
            there = [0.0] * 3
            for index in order:
                before = LOGITS[behavior](*torch.tensor(there))[label]
                there[index] = float(row[index])
                values[index] += (LOGITS[behavior](*torch.tensor(there))[label] - before) / 6
        assert torch.allclose(values, credits, atol=1e-6)


@pytest.mark.parametrize("form", ["images", "signals"])
def test_only_the_feature_itself_reaches_the_threshold(form: str) -> None:
    """Every filter at every place of every pattern alone; networks see no two at once, since these do not touch."""
    filters = [pattern - pattern.mean() for pattern in MOTIFS[form][:3]]
    for index, one in enumerate(filters):
        weights = torch.from_numpy(one / (one * MOTIFS[form][index]).sum())[None, None]
        for other, pattern in enumerate(MOTIFS[form]):
            convolve = torch.conv2d if form == "images" else torch.conv1d
            answers = convolve(torch.from_numpy(pattern)[None, None], weights, padding=pattern.shape[-1] - 1)
            reached = answers.flatten().sort(descending=True).values
            if other == index:
                assert reached[0] == pytest.approx(1, abs=1e-6)
                reached = reached[1:]
            assert reached[0] < THRESHOLD


@each
def test_what_nothing_reads_contributes_nothing(behavior: str, form: str) -> None:
    known = known_truth(behavior, form, 16)
    outside = ~known.windows.any(1)
    assert known.contributions.flatten(1)[outside.flatten(1)].abs().max() == 0
    assert (known.windows.flatten(2).any(2) == known.present).all()
    counted = known.contributions.flatten(1).ne(0)
    assert not (counted & ~known.masks.flatten(1)).any()


def test_a_gate_takes_the_place_of_a_sign() -> None:
    """A alone speaks for class 0; with B there, both speak for class 1."""
    known = known_truth("gate", "tables", 20)
    gated = known.present[:, 1]
    assert torch.equal(known.labels, gated.long())
    assert known.credits[gated].unique(dim=0).tolist() == [[0.5, 0.5, 0]]
    assert known.credits[~gated].unique(dim=0).tolist() == [[1, 0, 0]]


def test_equal_seeds_give_equal_inputs_and_no_global_state_is_touched() -> None:
    before = torch.get_rng_state()
    one, again, other = (known_truth("and", count=8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.inputs, again.inputs) and not torch.equal(one.inputs, other.inputs)
    assert torch.equal(before, torch.get_rng_state())
    assert [*map(str, one.model.state_dict().values())] == [*map(str, other.model.state_dict().values())]


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"behavior": "xor"}, f"unknown behavior 'xor'; choose from {', '.join(BEHAVIORS)}"),
        ({"form": "text"}, "unknown form 'text'; choose from images, signals, tables"),
        ({"count": 0}, "count must be 1 or more, got 0"),
    ],
)
def test_a_bad_option_is_named_with_its_choices(options, sentence) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        known_truth(**{"behavior": "and", **options})


@pytest.mark.extended
@pytest.mark.parametrize("form", FORMS)
def test_axioms_hold_on_them(form: str) -> None:
    known: KnownTruth = known_truth("conflict", form, 8)
    fine = partial(integrated_gradients, steps=512)
    assert_complete(fine, known.model, known.inputs)
    assert_ignored_input(fine, known.model, known.inputs)
