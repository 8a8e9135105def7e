"""What a network says of its samples while it is trained: scores, the loss, the share of labels that it has learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, like_model, logits
from pytest_saliency_sanity.perturbations.restoring.modes import evaluating
from pytest_saliency_sanity.predictions import ends_in_probabilities, predicted_classes

_EVALUATED = 256  # samples a batch


@dataclass(frozen=True)
class Task:
    """A network, its samples (a CPU tensor for each of its inputs), their labels, and how it is called."""

    model: nn.Module
    inputs: tuple[Tensor, ...]
    labels: Tensor
    packed: bool
    forward: Forward | None


def learned_share(task: Task) -> float:
    """The share of samples that the network assigns to their label in evaluation mode."""
    with evaluating(task.model), entered(torch.no_grad()):
        batches = torch.split(torch.arange(len(task.labels)), _EVALUATED)
        scores = torch.cat([scores_of(task, batch) for batch in batches])
    hits = predicted_classes(scores) == task.labels.to(scores.device)
    return int(hits.sum()) / len(task.labels)


def scores_of(task: Task, batch: Tensor) -> Tensor:
    """The logits (B, K) of the samples with these numbers (B,)."""
    parts = tuple(like_model(part[batch], task.model) for part in task.inputs)
    return logits(task.model, parts if task.packed else parts[0], task.forward)


def loss_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, in at least single precision."""
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if scores.shape[1] > 1:
        return F.cross_entropy(scores, labels)
    if ends_in_probabilities(
        scores
    ):  # their range says nothing here: so small are logits before the training
        scores = scores.logit(torch.finfo(scores.dtype).eps)
    return F.binary_cross_entropy_with_logits(scores[:, 0], labels.to(scores.dtype))


def loss_at_chance(labels: Tensor) -> float:
    """The loss of who knows only how often each label occurs."""
    shares = torch.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * shares.log()).sum())
