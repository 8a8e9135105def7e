"""How many of the labels a model predicts, beside the best constant answer; one label an image, or several."""

from __future__ import annotations

import torch
from scipy.stats import binomtest
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.predictions import predicted_classes, predicted_labels
from pytest_saliency_sanity.verdict import Finding

CHANCE_LEVEL = 0.05  # the model must beat chance at this level


def hits(subject: Subject) -> Tensor:
    """(N,) the share of its labels, from 0 to 1, that the model predicts for each image."""
    if subject.labels.ndim == 1:
        return (predicted_classes(subject.scores) == subject.labels).double()
    return (predicted_labels(subject.scores) == subject.labels.bool()).double().mean(1)


def constant_hits(subject: Subject) -> Tensor:
    """(N,) the same of the best constant answer: for each of several labels what most images have."""
    usual = subject.labels.double().mean(0) > 0.5
    return (usual == subject.labels.bool()).double().mean(1)


def chance(subject: Subject) -> float:
    """The accuracy of the best constant answer; of one label an image at least 1 / classes."""
    if subject.labels.ndim == 2:
        return float(constant_hits(subject).mean())
    share = subject.labels.bincount().max().item() / len(subject.labels)
    return min(max(share, 1 / max(subject.classes, 2)), 0.9999)


def p_value(subject: Subject) -> float:
    """That of the model's accuracy against `chance`, one-sided.

    One label an image: the binomial test. Several: the sign test over the images on which the model and the constant
    answer differ in how many labels they get right, since the labels of one image go together.
    """
    if subject.labels.ndim == 1:
        return binomtest(
            int(hits(subject).sum()), subject.images, chance(subject), alternative="greater"
        ).pvalue
    gained = torch.sign((hits(subject) - constant_hits(subject)).round(decimals=9))
    better, worse = int((gained > 0).sum()), int((gained < 0).sum())
    return binomtest(better, better + worse, alternative="greater").pvalue if better + worse else 1.0


def spread(subject: Subject) -> float:
    """The standard error of the accuracy of an answer that is no better than `chance`."""
    if subject.labels.ndim == 1:
        return (chance(subject) * (1 - chance(subject)) / subject.images) ** 0.5
    return float((hits(subject) - constant_hits(subject)).std() / subject.images**0.5)


def is_one_answer(subject: Subject) -> bool:
    """Whether all images have the same labels."""
    return bool((subject.labels == subject.labels[:1]).all())


def accuracy_findings(subject: Subject) -> tuple[Finding, ...]:
    """With labels: inconclusive unless the model predicts them better than chance, see `accuracy.p_value`."""
    if subject.labels is None or p_value(subject) < CHANCE_LEVEL:
        return ()
    total = subject.labels.numel()
    correct = round(float(hits(subject).mean()) * total)
    if is_one_answer(subject):
        sentence = (
            f"all {subject.images} labels are {subject.labels[0].tolist()}: whoever always answers so is as accurate "
            f"as the model ({correct} of {total}); add images of other classes"
        )
        return (Finding("gate.accuracy", "inconclusive", sentence),)
    sentence = (
        f"the model predicts {correct} of {total} labels correctly, no better than chance "
        f"({chance(subject):.2f}, that of a constant answer); its maps cannot show whether they depend on "
        f"what it learned"
    )
    return (Finding("gate.accuracy", "inconclusive", sentence),)
