"""How well networks agree in their maps: those of the same labels, and those of other labels.

    S_true = s(E(f), E(f'))    two networks of different seeds, both trained on the true labels
    S_perm = s(E(f), E(f_p))   one of them trained on permuted labels
    X                          the same between different images: what any two maps share

Retained is (S_perm - X) / (S_true - X): of the agreement that the same data gives, what other data leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch

from pytest_saliency_sanity.audited import observation
from pytest_saliency_sanity.audited.subject import Subject, held
from pytest_saliency_sanity.examination.first_maps import Examination
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.sensitivity.comparisons import RANK, Similarities, compared, of_kind
from pytest_saliency_sanity.sensitivity.survey import (
    Sample,
    Survey,
    explain_originals,
    paper_figure,
    survey,
)
from pytest_saliency_sanity.statistics.contrast import pseudo_values

CROSSED = 5  # networks of each kind from which the verdict is about networks in general
Pair = tuple[int, int]


@dataclass(frozen=True)
class Agreement:
    """The similarities of several networks' maps, pair by pair.

    Attributes:
        surveys: of each network, those of the true labels first.
        true: how many of them were trained on the true labels.
        pairs: for each pair of networks and each kind of similarity, (n,) matched and (n,) mismatched.
    """

    surveys: tuple[Survey, ...]
    true: int
    pairs: Mapping[Pair, Similarities]

    @property
    def crossed(self) -> bool:
        """Whether there are enough networks for a statement that is random over them."""
        return self.true >= CROSSED and len(self.surveys) == 2 * self.true

    @property
    def usable(self) -> np.ndarray:
        """(n,) whether no network of the true labels has a constant map of the image."""
        constant = np.any([_constant(found) for found in self.surveys[: self.true]], axis=0)
        return np.asarray(np.logical_not(constant))

    @property
    def constant_share(self) -> float:
        """The share of constant maps on the networks of the permuted labels."""
        return float(np.mean([_constant(found) for found in self.surveys[self.true :]]))

    def sample(self, kind: str = RANK) -> Sample:
        """S_perm, X, and S_true in their columns.

        With five networks of each kind or more, a column is the jackknife's pseudo-value of one seed (a network
        of the true and one of the permuted labels), so that the spread of the columns is that of networks. With
        fewer, the one column is the mean over these networks, and only images are random.
        """
        means = self._of_seeds(kind, range(self.true))[..., None]
        if self.crossed:
            means = pseudo_values(lambda seeds: self._of_seeds(kind, seeds), self.true)
        true, any_true, permuted, any_permuted = means[:, self.usable]
        return Sample(permuted, any_permuted, true - any_true + any_permuted)

    def table(self, kind: str = RANK) -> dict[str, float]:
        """Mean similarity of the maps of two networks, by their labels, and of different images."""
        true, any_true, permuted, any_permuted = self._means(kind, range(len(self.surveys)))[:, self.usable]
        others = [pair for pair in self.pairs if pair[0] >= self.true]
        among = (
            np.mean([of_kind(self.pairs[pair], kind)[0][self.usable] for pair in others])
            if others
            else np.nan
        )
        return {
            "true–true": float(true.mean()),
            "true–permuted": float(permuted.mean()),
            "permuted–permuted": float(among),
            "different images": float((any_true.mean() + any_permuted.mean()) / 2),
        }

    def figure(self, name: str) -> dict[str, float]:
        """One of the paper's figures of the first chunk's maps, by the labels of the two networks."""
        found: dict[str, list[float]] = {}
        for a, b in self.pairs:
            maps = (self.surveys[index].originals[0].maps for index in (a, b))
            found.setdefault(_labels(a, b, self.true), []).append(paper_figure(name, *maps))
        return {labels: float(np.mean(values)) for labels, values in found.items()}

    def _of_seeds(self, kind: str, seeds: Sequence[int]) -> np.ndarray:
        """The means over the networks of some seeds, of either kind of labels; all of them for all seeds."""
        if len(seeds) == self.true:
            return self._means(kind, range(len(self.surveys)))
        return self._means(kind, [*seeds, *(self.true + seed for seed in seeds)])

    def _means(self, kind: str, networks: Sequence[int]) -> np.ndarray:
        """(4, n): S_true, its X, S_perm, its X, as means over the pairs among `networks`."""
        chosen = set(networks)
        kinds: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"true–true": [], "true–permuted": []}
        for (a, b), values in self.pairs.items():
            if {a, b} <= chosen and _labels(a, b, self.true) in kinds:
                kinds[_labels(a, b, self.true)].append(of_kind(values, kind))
        return np.concatenate([np.mean(kinds[labels], axis=0) for labels in ("true–true", "true–permuted")])


def agreement(
    subject: Subject,
    meter: Meter,
    networks: Sequence[torch.nn.Module],
    true: int,
    first: Examination,
    similarities: tuple[str, ...] = (),
) -> Agreement:
    """Explain all images by every network, and compare their maps pair by pair.

    Args:
        networks: those of the true labels first; the first one is the subject's own model.
        true: how many were trained on the true labels.
        first: how the explainer behaved on the first network.
        similarities: names of the paper's figures that will be asked for.
    """
    surveys: list[Survey] = []
    for network in networks:
        with held(replace(subject, model=network, snapshot=None)) as kept:
            begun = _again(surveys[0]) if surveys else survey(kept, first, similarities)
            explain_originals(kept, meter, begun, len(begun.chunks))
        if surveys:
            place = _place(len(surveys), true)
            observation.some_maps(kept, begun.chunks[0], place, begun.originals[0].maps)
        surveys.append(begun)
    pairs = {(a, b): _compared(surveys[a], surveys[b]) for a, b in combinations(range(len(surveys)), 2)}
    return Agreement(tuple(surveys), true, pairs)


def _place(network: int, true: int) -> str:
    """Of its maps among the pictures; the first network's are the original."""
    labels, number = ("true", network) if network < true else ("permuted", network - true)
    return f"{labels} labels, {number + 1}"


def _again(begun: Survey) -> Survey:
    """An empty survey of the same images, compared in the same way."""
    return Survey(begun.chunks, begun.one_sided, begun.replay, begun.similarities)


def _compared(left: Survey, right: Survey) -> Similarities:
    """Of each image; what different images share is taken both ways."""
    chunks = [
        (compared(a.ranks, b.ranks), compared(b.ranks, a.ranks))
        for a, b in zip(left.originals, right.originals, strict=True)
    ]
    return {kind: _joined([(there[kind], back[kind]) for there, back in chunks]) for kind in chunks[0][0]}


def _joined(
    chunks: Sequence[tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]],
) -> tuple[np.ndarray, np.ndarray]:
    matched = np.concatenate([there[0] for there, _ in chunks])
    return matched, np.concatenate([(there[1] + back[1]) / 2 for there, back in chunks])


def _labels(a: int, b: int, true: int) -> str:
    return "–".join("true" if index < true else "permuted" for index in (a, b))


def _constant(found: Survey) -> np.ndarray:
    return np.concatenate([original.constant for original in found.originals])
