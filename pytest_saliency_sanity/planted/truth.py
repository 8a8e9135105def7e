"""Networks with hand-made weights, so that it is known what each feature contributes: AND, OR, a gate, a conflict.

A network looks for three features wherever they are, by a matched filter, and combines three numbers, which are 1 where
a feature is present and 0 where it is not. What is attributed follows from that, by calculation. The idea is that of
XAI-Units; the networks and the data are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.planted.checked import check_choice, check_count
from pytest_saliency_sanity.planted.motifs import MOTIFS, detector, drawn_with

FORMS = tuple(MOTIFS)
FEATURES = ("A", "B", "C")  # and a fourth, which no network reads


@dataclass(frozen=True)
class Behavior:
    """How a network combines its features, and what its inputs show.

    Attributes:
        hidden: a row for each hidden ReLU: the weights of A, B and C, and the bias.
        head: a row for each class: the weights of the hidden ones, and the bias.
        scenes: features that are present together, in the inputs of each kind.
    """

    hidden: Sequence[Sequence[float]]
    head: Sequence[Sequence[float]]
    scenes: Sequence[str]


_EACH = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))
_BEHAVIORS: Mapping[str, Behavior] = MappingProxyType(
    {
        "and": Behavior(((1, 1, 0, -1), (0, 0, 1, 0)), ((1, 0, 0), (0, 0.5, 0)), ("AB", "AC", "BC")),
        "or": Behavior((*_EACH, (1, 1, 0, -1)), ((1, 1, 0, -1, 0), (0, 0, 0.5, 0, 0)), ("A", "B", "AB", "C")),
        "gate": Behavior(((1, -1, 0, 0), (1, 1, 0, -1)), ((1, 0, 0), (0, 1, 0)), ("A", "AB")),
        "conflict": Behavior(_EACH, ((1, -0.5, 0, 0), (0, -0.5, 1, 0)), ("AB", "BC")),
        "shared": Behavior(_EACH, ((1, 1, 0, 0), (0, 1, 1, 0)), ("AB", "BC")),
        "dead_class": Behavior(_EACH, ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, -1)), ("A", "C")),
    }
)
BEHAVIORS = tuple(_BEHAVIORS)


@dataclass(frozen=True)
class KnownTruth:
    """A network, inputs for it, and what each feature contributes to the class that it names.

    Attributes:
        model: the network, in evaluation mode.
        inputs: (N, C, H, W), (N, C, L) or (N, F) float32.
        labels: (N,) int64, the class with the highest logit.
        present: (N, 3) bool, which of the features A, B and C are there.
        windows: (N, 3, *S) bool, what the network reads where it has found a feature; empty where it has not.
        credits: (N, 3) float32, what each feature contributes to the label's logit, against an input of 0.
        contributions: (N, C, *S) float32, the same for each value: the credit, shared equally by the feature's ink.
    """

    model: nn.Sequential
    inputs: Tensor
    labels: Tensor
    present: Tensor
    windows: Tensor
    credits: Tensor
    contributions: Tensor

    @property
    def masks(self) -> Tensor:
        """(N, *S) bool: the windows of the features that contribute to the label's logit."""
        counted = (self.credits != 0).view(*self.credits.shape, *[1] * (self.windows.dim() - 2))
        return (self.windows & counted).any(1)


def known_truth(behavior: str, form: str = "images", count: int = 32, seed: int = 0) -> KnownTruth:
    """A network with hand-made weights, inputs, and the right attribution.

    The features are patterns at random places, or columns of a table; a fourth that no weight reads is always there.
    What a feature contributes is the integral of the gradient along the straight line from 0, the value of Aumann and
    Shapley. By symmetry it is the only attribution that gives equal shares to values with equal effects, nothing to
    values without effect, and sums to the logit's difference.

    The behaviors, for the class that the network names:

    - "and": class 0 if A and B are there, and half of each does it; else class 1 by C alone.
    - "or": class 0 if A or B is there; where both are, each has half of it. Else class 1 by C.
    - "gate": A speaks for class 0 unless B is there; then both speak for class 1.
    - "conflict": A speaks for class 0, C for class 1, and B against both, half as much.
    - "shared": A speaks for class 0, C for class 1, and B for both.
    - "dead_class": A speaks for class 0, C for class 1, and class 2 has no weights and never wins.

    Args:
        behavior: one of `BEHAVIORS`.
        form: "images" (N, 1, 24, 24), "signals" (N, 1, 72) or "tables" (N, 12).
        count: N.
        seed: of the places and of what is not read. No global random state is read or changed.

    Raises:
        ValueError: for an option outside its choices or range, with the value.

    Source: Lee et al., XAI-Units, 2025, section 3 (networks with known mechanisms); Sundararajan, Taly and Yan 2017,
    section 3, and Aumann and Shapley 1974 for the attribution.
    """
    check_choice("behavior", behavior, BEHAVIORS)
    check_choice("form", form, FORMS)
    check_count(count)
    random = np.random.default_rng(seed)
    known, scenes = _BEHAVIORS[behavior], _scenes(random, _BEHAVIORS[behavior], count)
    present = torch.tensor([[name in scene for name in FEATURES] for scene in scenes])
    inputs, windows, ink = drawn_with(random, form, present)
    model = _network(known, form)
    with torch.no_grad():
        labels = model(inputs).argmax(1)
    credits = _credits(known, present, labels)
    shares = credits / ink.flatten(2).sum(2).clamp_min(1)
    values = torch.einsum("nm,nm...->n...", shares, ink.float())
    contributions = values if inputs.dim() == 2 else values[:, None]
    return KnownTruth(model, inputs, labels, present, windows, credits, contributions)


def _scenes(random: np.random.Generator, behavior: Behavior, count: int) -> list[str]:
    """Which features each input shows: the scenes are as frequent as one another."""
    order = random.permutation(np.arange(count) % len(behavior.scenes))
    return [behavior.scenes[index] for index in map(int, order)]


def _network(behavior: Behavior, form: str) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):  # new layers draw weights
        hidden, head = _linear(behavior.hidden), _linear(behavior.head)
        return nn.Sequential(*detector(form, len(FEATURES)), hidden, nn.ReLU(), head).eval()


def _linear(rows: Sequence[Sequence[float]]) -> nn.Linear:
    values = torch.tensor(rows, dtype=torch.float32)
    layer = nn.Linear(values.shape[1] - 1, len(values))
    with torch.no_grad():
        layer.weight.copy_(values[:, :-1])
        layer.bias.copy_(values[:, -1])
    return layer


def _credits(behavior: Behavior, present: Tensor, labels: Tensor) -> Tensor:
    """(N, 3) the integral of the gradient of the label's logit along the line from 0, feature by feature.

    On that line all features that are present grow from 0 to 1 together. A hidden ReLU with sum n of their weights and
    bias b <= 0 is open from -b / n on, if n + b > 0.
    """
    weights, bias = _parts(behavior.hidden)
    head, _ = _parts(behavior.head)
    sums = present.float() @ weights.T
    opens = -bias / sums.clamp_min(torch.finfo(sums.dtype).tiny)
    share = torch.where(sums + bias > 0, 1 - opens, 0.0)
    return torch.einsum("nh,nh,hm->nm", head[labels], share, weights) * present + 0.0  # no -0


def _parts(rows: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor]:
    values = torch.tensor(rows, dtype=torch.float32)
    return values[:, :-1], values[:, -1]
