"""Labels permuted over the samples (Adebayo et al. 2018, section 4): nothing is left to learn but the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import chi2_contingency
from torch import Tensor

INDEPENDENT = 1e-3  # p-value of the test of independence below which a permutation is drawn again
DEVIATIONS = 3  # standard errors that the agreement with the truth may lie above chance
_ATTEMPTS = 50


@dataclass(frozen=True)
class Permutation:
    """Labels in another order.

    Attributes:
        labels: (N,) int64, the true labels permuted over the samples: every label occurs as often as before.
        seed: what it was drawn from.
        agreement: the share of samples that kept their label.
        chance: the share that does so on average over all permutations.
    """

    labels: Tensor
    seed: int
    agreement: float
    chance: float


def permuted(labels: Tensor, seed: int) -> Permutation:
    """Labels (N,) int64 permuted over the samples, as good as independent of the truth.

    A permutation of few samples may by chance rename the classes, or leave most labels in place, which a network
    can learn: such a one is drawn again.

    Raises:
        ValueError: when no permutation of these labels is independent of them.
    """
    truth = labels.cpu().numpy()
    for attempt in range(_ATTEMPTS):
        order = np.random.default_rng([seed, attempt]).permutation(len(truth))
        if is_independent(truth, truth[order]):
            shuffled = torch.from_numpy(truth[order]).to(labels)
            return Permutation(shuffled, seed, float((truth == truth[order]).mean()), chance_agreement(truth))
    raise ValueError(
        f"none of {_ATTEMPTS} permutations of the {len(truth)} labels is independent of them; the set is too small, "
        f"or nearly all of its labels are the same"
    )


def is_independent(truth: np.ndarray, other: np.ndarray) -> bool:
    """Whether `other` is independent of `truth`: agreement near chance, and no renaming of the classes."""
    chance = chance_agreement(truth)
    if (truth == other).mean() > chance + DEVIATIONS * (chance * (1 - chance) / len(truth)) ** 0.5:
        return False
    classes, rows = np.unique(truth, return_inverse=True)
    table = np.zeros((len(classes), len(classes)))
    np.add.at(table, (rows, np.searchsorted(classes, other)), 1)
    renamed = (table > 0).sum(1).max() == 1
    return not renamed and bool(chi2_contingency(table, correction=False).pvalue > INDEPENDENT)


def chance_agreement(labels: np.ndarray) -> float:
    """The share of labels that a random permutation leaves in place: the sum of the squared class shares."""
    return float(((np.unique(labels, return_counts=True)[1] / len(labels)) ** 2).sum())
