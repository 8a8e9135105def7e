"""How many of the labels a model predicts, beside the best constant answer; one label per image, or several."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.predictions import predicted_classes, predicted_labels
from pytest_saliency_sanity.verdict import Finding

CHANCE_LEVEL = 0.05  # the model must beat chance at this level


@dataclass(frozen=True)
class Answers:
    """What a model says of images, and what is true.

    Attributes:
        scores: (N, K) logits.
        labels: (N,) int64, or (N, K) of 0 and 1.
    """

    scores: Tensor
    labels: Tensor

    @property
    def hits(self) -> Tensor:
        """(N,) the share of its labels, from 0 to 1, that the model predicts for each image."""
        if self.labels.ndim == 1:
            return predicted_classes(self.scores).eq(self.labels).double()
        return predicted_labels(self.scores).eq(self.labels.bool()).double().mean(1)

    @property
    def constant_hits(self) -> Tensor:
        """(N,) the same of the best constant answer: for each of several labels what most images have."""
        usual = self.labels.double().mean(0) > 0.5
        return usual.eq(self.labels.bool()).double().mean(1)

    @property
    def chance(self) -> float:
        """The accuracy of the best constant answer; of one label per image at least 1 / classes."""
        if self.labels.ndim == 2:
            return float(self.constant_hits.mean())
        share = self.labels.bincount().max().item() / len(self.labels)
        return min(max(share, 1 / max(self.scores.shape[1], 2)), 0.9999)

    @property
    def p_value(self) -> float:
        """That of the model's accuracy against `chance`, one-sided.

        One label per image: the binomial test. Several: the sign test over the images on which the model and the
        constant answer differ in how many labels they get right, since the labels of one image go together.
        """
        if self.labels.ndim == 1:
            right, images = int(self.hits.sum()), len(self.labels)
            return float(binomtest(right, images, self.chance, alternative="greater").pvalue)
        gained = torch.sign((self.hits - self.constant_hits).round(decimals=9))
        better, worse = int((gained > 0).sum()), int((gained < 0).sum())
        return (
            float(binomtest(better, better + worse, alternative="greater").pvalue) if better + worse else 1.0
        )

    @property
    def spread(self) -> float:
        """The standard error of the accuracy of an answer that is no better than `chance`."""
        if self.labels.ndim == 1:
            return float((self.chance * (1 - self.chance) / len(self.labels)) ** 0.5)
        return float((self.hits - self.constant_hits).std() / len(self.labels) ** 0.5)

    @property
    def are_the_same(self) -> bool:
        """Whether all images have the same labels."""
        return bool(self.labels.eq(self.labels[:1]).all())


def answers(subject: Subject) -> Answers | None:
    """Of a subject whose images have labels; None without them."""
    return None if subject.labels is None else Answers(subject.scores, subject.labels)


def accuracy_findings(subject: Subject) -> tuple[Finding, ...]:
    """With labels: inconclusive unless the model predicts them better than chance, see `Answers.p_value`."""
    found = answers(subject)
    if found is None or found.p_value < CHANCE_LEVEL:
        return ()
    total = found.labels.numel()
    right = round(float(found.hits.mean()) * total)
    if found.are_the_same:
        sentence = (
            f"all {subject.images} labels are {found.labels[0].tolist()}: a constant answer is at least as "
            f"accurate as the model ({right} of {total}); add images of other classes"
        )
        return (Finding("gate.accuracy", "inconclusive", sentence),)
    sentence = (
        f"the model predicts {right} of {total} labels correctly, no better than chance "
        f"({found.chance:.2f}, the accuracy of the best constant answer); its maps cannot show whether they "
        f"depend on what it learned"
    )
    return (Finding("gate.accuracy", "inconclusive", sentence),)
