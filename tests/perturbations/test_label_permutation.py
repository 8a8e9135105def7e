"""Permuted labels: the same labels, in an order that tells nothing of the truth."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_saliency_sanity.perturbations.label_permutation import chance_agreement, is_independent, permuted


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=40, max_size=200), st.integers(0, 2**31))
def test_every_label_occurs_as_often_as_before(labels: list[int], seed: int) -> None:
    truth = torch.tensor([*labels, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    found = permuted(truth, seed)
    assert torch.equal(found.labels.bincount(), truth.bincount())
    assert found.labels.dtype == torch.int64
    assert found.seed == seed


def test_equal_seeds_give_equal_permutations() -> None:
    truth = torch.arange(100) % 10
    assert torch.equal(permuted(truth, 3).labels, permuted(truth, 3).labels)
    assert not torch.equal(permuted(truth, 3).labels, permuted(truth, 4).labels)


def test_the_agreement_with_the_truth_is_chance_on_average() -> None:
    truth = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    found = [permuted(truth, seed) for seed in range(200)]
    assert found[0].chance == pytest.approx(0.5**2 + 0.3**2 + 0.2**2)
    assert np.mean([one.agreement for one in found]) == pytest.approx(0.38, abs=0.015)


def test_a_renaming_of_the_classes_is_not_independent() -> None:
    """No label agrees, and a network could learn it as well as the truth."""
    truth = np.arange(60) % 3
    assert not is_independent(truth, (truth + 1) % 3)
    assert not is_independent(truth, truth)
    half = truth.copy()
    half[:30] = np.random.default_rng(0).permutation(half[:30])
    assert not is_independent(truth, half)


def test_few_samples_are_drawn_until_they_are_independent() -> None:
    truth = torch.tensor([0, 1] * 6)
    for seed in range(50):
        assert is_independent(truth.numpy(), permuted(truth, seed).labels.numpy())


def test_labels_that_cannot_be_permuted() -> None:
    """One sample a class: every permutation is a renaming, and can be learned as well."""
    with pytest.raises(ValueError, match=r"none of 50 permutations of the 40 labels is independent of them"):
        permuted(torch.arange(40), 0)


def test_the_chance_of_agreement_is_that_of_all_permutations() -> None:
    labels = np.array([0, 0, 1, 2])
    every = [np.mean(labels == np.array(order)) for order in permutations(labels)]
    assert chance_agreement(labels) == pytest.approx(np.mean(every))
