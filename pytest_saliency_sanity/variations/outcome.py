"""Variants of images, how the model reads them, and the table of both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HEADER = (
    "image",
    "class",
    "before",
    "mean after",
    "lowest … highest",
    "class kept",
    "confidence kept",
    "lost to",
)


@dataclass(frozen=True, eq=False, repr=False)
class Variations:
    """S variants of each of N images, and how the model reads them.

    Attributes:
        images: (S, N, C, H, W) X′ = X ⊙ (1 − B) + B ⊙ G(z′), bit for bit X outside the region.
        masks: (N, H, W) bool, the region B.
        ring: (N, H, W) R, the weights of the contextual loss.
        generated: (S, N, C, H, W) G(z′), whole.
        latents: (S, N, *latent) z′.
        contextual: (S, N) how far G(z′) is from X on the ring, Σ R (X − G(z′))².
        realism: (S, N) the critic's value, or half the mean square of z′; lower is more realistic.
        targets: (N,) int64, the class that is to be kept; of a single logit 1 where it is positive, else 0.
        predicted_before, confidence_before: (N,) the class of X, and the target's probability.
        predicted, confidence: (S, N) the same of X′.
        tolerance: how far a confidence may move and count as kept.
    """

    images: Tensor
    masks: Tensor
    ring: Tensor
    generated: Tensor
    latents: Tensor
    contextual: Tensor
    realism: Tensor
    targets: Tensor
    predicted_before: Tensor
    confidence_before: Tensor
    predicted: Tensor
    confidence: Tensor
    tolerance: float

    @property
    def keeps(self) -> Tensor:
        """(S, N) bool, the variant is read as the target."""
        return self.predicted == self.targets

    @property
    def confidence_change(self) -> Tensor:
        """(S, N) the target's probability, less what it was before."""
        return self.confidence - self.confidence_before

    @property
    def keeps_confidence(self) -> Tensor:
        """(S, N) bool, the class is kept and its probability is within `tolerance` of what it was."""
        return self.keeps & (self.confidence_change.abs() <= self.tolerance)

    @property
    def kept(self) -> Tensor:
        """(N,) int64, how many variants of each image keep the class."""
        return self.keeps.sum(0)

    @property
    def kept_confidence(self) -> Tensor:
        """(N,) int64, how many keep the class and its confidence."""
        return self.keeps_confidence.sum(0)

    def summary(self) -> str:
        """A table with a line for each image, and one sentence for all."""
        return _summary(self)

    def __str__(self) -> str:
        return self.summary()


def _summary(found: Variations) -> str:
    rows = [HEADER, *(_row(found, image) for image in range(len(found.targets)))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, _sentence(found)])


def _row(found: Variations, image: int) -> tuple[str, ...]:
    after = found.confidence[:, image]
    return (
        str(image),
        _class(found, image),
        f"{found.confidence_before[image]:.2f}",
        f"{after.mean():.2f}",
        f"{after.min():.2f} … {after.max():.2f}",
        f"{found.kept[image]} of {len(after)}",
        f"{found.kept_confidence[image]} of {len(after)}",
        _lost_to(found, image),
    )


def _class(found: Variations, image: int) -> str:
    target, read = int(found.targets[image]), int(found.predicted_before[image])
    return str(target) if target == read else f"{target} (read as {read})"


def _lost_to(found: Variations, image: int) -> str:
    """The classes that variants were read as instead, the most frequent first."""
    lost = found.predicted[~found.keeps[:, image], image]
    classes, counts = torch.unique(lost, return_counts=True)
    order = counts.argsort(descending=True, stable=True).tolist()
    return ", ".join(f"{classes[i]} ×{counts[i]}" for i in order) or "–"


def _sentence(found: Variations) -> str:
    return (
        f"{int(found.kept.sum())} of {found.keeps.numel()} variants keep the class, "
        f"{int(found.kept_confidence.sum())} of them with a confidence within {found.tolerance:g} of the image's own."
    )
