"""Conditions on the networks before their maps are compared: labels memorized, accuracy at or above chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_saliency_sanity.audited.subject import Subject, scored
from pytest_saliency_sanity.examination.accuracy import accuracy_findings, answers
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.trained_networks.networks import Network
from pytest_saliency_sanity.verdict import Finding

MEMORIZED = 0.95  # accuracy on the training set from which labels count as learned
DEVIATIONS = 3  # standard errors above chance that a network of permuted labels may have on other images
_WHY = {
    "epochs": "after {epochs} epochs",
    "seconds": "when the budget of {budget:g} s was used up, in epoch {epochs}",
    "not finite": "because its loss was not finite at any of four learning rates",
    "trainer": "with train=",
}


def memorization_findings(network: Network, budget: float) -> tuple[Finding, ...]:
    """Inconclusive when a network has not learned its labels; it says how far it got."""
    if network.accuracy is None or network.accuracy >= MEMORIZED:
        return ()
    how = _WHY.get(network.ended, "").format(epochs=network.epochs, budget=budget)
    reason = "gate.memorization" if network.labels == "permuted" else "gate.training"
    advice = {
        "seconds": "raise max_seconds",
        "not finite": "normalize the inputs, or pass train=",
        "trainer": "does it train on the dataset that it is given?",
        "epochs": "the network may be too small to memorize so many samples: use fewer samples or a larger "
        "network, or raise max_epochs",
    }.get(network.ended, "")
    sentence = (
        f"the network of seed {network.seed} reached an accuracy of {network.accuracy:.2f} on its {network.labels} "
        f"training labels {how} ({MEMORIZED:g} is needed){f'; {advice}' if advice else ''}"
    )
    return (Finding(reason, "inconclusive", sentence),)


def read_by(subject: Subject, networks: Sequence[Network]) -> tuple[Subject, ...]:
    """The same images as each of the networks reads them."""
    return tuple(
        replace(subject, model=network.model, scores=scored(subject, network.model)) for network in networks
    )


def accuracy_on_inputs(audited: Subject) -> float | None:
    """The network's accuracy on the explained images; None without their labels."""
    found = answers(audited)
    return None if found is None else float(found.hits.mean())


def generalization_findings(subjects: Sequence[Subject], networks: Sequence[Network]) -> tuple[Finding, ...]:
    """With labels of the explained images: true networks beat chance, those of permuted labels do not."""
    for audited, network in zip(subjects, networks, strict=True):
        found = accuracy_findings(audited) if network.labels == "true" else _leak_findings(audited, network)
        if found:
            return found
    return ()


def _leak_findings(audited: Subject, network: Network) -> tuple[Finding, ...]:
    found = answers(audited)
    if found is None:
        return ()
    reached, chance = float(found.hits.mean()), found.chance
    most = chance + DEVIATIONS * found.spread
    if reached <= most:
        return ()
    sentence = (
        f"the network of seed {network.seed}, trained on permuted labels, predicts {reached:.2f} of the labels of "
        f"these images, more than chance ({chance:.2f}; at most {most:.2f} is allowed in {audited.images} "
        f"images): it has learned something about the true labels"
    )
    return (Finding("gate.permutation", "inconclusive", sentence),)


def distinct(networks: Sequence[torch.nn.Module], name: str) -> None:
    """Check networks that were passed in already trained.

    Raises:
        TypeError, ValueError: when they are no networks, too few, or the same object twice.
    """
    for network in networks:
        if not isinstance(network, torch.nn.Module):
            raise TypeError(
                f"models.{name} must hold torch.nn.Modules, not {type(network).__name__}: {shown(network)}"
            )
    if len(networks) < 2:
        raise ValueError(f"models.{name} holds {len(networks)} networks; at least 2 are needed")
    if len({id(network) for network in networks}) < len(networks):
        raise ValueError(f"models.{name} holds the same network twice; two different seeds are needed")
