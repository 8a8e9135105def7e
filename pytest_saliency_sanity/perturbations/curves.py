"""Curves of a score along rankings of pixels, and the areas under and between them. Numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Curves:
    """The target's score along R rankings of n images.

    Attributes:
        scores: mode -> (R, n, steps + 1), in at least single precision. Insertion begins at the infilled image
            and ends at the image, deletion the other way round.
        fractions: (steps + 1,) share of the pixels that are inserted, or deleted, at each score: from 0 to 1.
    """

    scores: Mapping[str, Tensor]
    fractions: Tensor

    @property
    def aucs(self) -> dict[str, Tensor]:
        """mode -> (R, n) area under the curves; see `auc`."""
        return {mode: auc(scores) for mode, scores in self.scores.items()}

    @property
    def normalized_aucs(self) -> dict[str, Tensor]:
        """mode -> (R, n) area under the normalized curves; see `normalized`."""
        return {mode: auc(normalized(scores)) for mode, scores in self.scores.items()}


def auc(scores: Tensor) -> Tensor:
    """(…) the area under curves (…, N + 1): (Σs − s₀/2 − s_N/2) / N, as in RISE's program: trapezoids of one width."""
    return (scores.sum(-1) - scores[..., 0] / 2 - scores[..., -1] / 2) / (scores.shape[-1] - 1)


def normalized(scores: Tensor) -> Tensor:
    """Curves (…, N + 1) with their lower end at 0 and their higher end at 1: (s − min end) / (max end − min end).

    After Schulz et al. 2020 (information bottleneck attribution, "image degradation"), with the ends of each image
    in place of their means over images. Scores beyond the ends leave [0, 1]. Of one image's rankings it changes
    no order, for all of them share their ends. Where the ends are equal the curve is NaN: nothing was lost or
    won that a ranking could have a share in. Nearly equal ends give very large numbers.
    """
    ends = torch.stack((scores[..., 0], scores[..., -1]), -1)
    low, high = ends.amin(-1, keepdim=True), ends.amax(-1, keepdim=True)
    undefined = torch.full_like(scores, float("nan"))
    return torch.where(high > low, (scores - low) / (high - low), undefined)


def area_between(least_first: Tensor, most_first: Tensor) -> Tensor:
    """(…) area between deletion curves (…, N + 1), least relevant first less most relevant first.

    Schulz et al. 2020, "image degradation"; the orders are Ancona et al. 2018's LeRF and MoRF. Positive when the
    score outlasts the loss of what the map calls irrelevant. A random ranking is as likely as its reverse, and so
    its expectation is exactly 0. For insertion curves swap the arguments.
    """
    return auc(least_first) - auc(most_first)
