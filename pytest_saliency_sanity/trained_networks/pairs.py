"""Images of two classes, and what a network would say of them if the classes were further apart (GAD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.trained_networks.datasets import labeled, unlabeled
from pytest_saliency_sanity.trained_networks.fingerprints import combined, tensor_fingerprint


@dataclass(frozen=True)
class Pair:
    """Images of two classes.

    Attributes:
        inputs: (N, C, *S), on the CPU.
        classes: the two.
        labels: (N,) int64, the class of each image; None means whichever of the two the network ranks higher.
        fingerprint: a hash of it all.
    """

    inputs: Tensor
    classes: tuple[int, int]
    labels: Tensor | None
    fingerprint: str


def pair(given: Any, classes: tuple[int, int]) -> Pair:
    """Read and check the images of two classes.

    Args:
        given: a tensor (N, C, *S), a pair (inputs, labels), or a map-style dataset of (input, label); images of
            other classes are left out where there are labels.
        classes: the two.

    Raises:
        TypeError, ValueError: one sentence with the value and the choices.
    """
    inputs, labels = _read(given, classes)
    if len(inputs) < 2:
        raise ValueError(
            f"there are {len(inputs)} images of the classes {_words(classes)}; at least 2 are needed"
        )
    marks = (tensor_fingerprint(part) for part in (inputs, labels) if part is not None)
    return Pair(inputs, classes, labels, combined(*classes, *marks))


def shifted(logits: Tensor, images: Pair, alpha: float) -> Tensor:
    """The logits (N, K) of the images, alpha subtracted from each one's logit of the other class."""
    first, second = images.classes
    ours = _ours(logits, images).to(logits.device)
    others = torch.where(ours == first, second, first)
    return logits.scatter_add(1, others[:, None], logits.new_full((len(logits), 1), -alpha))


def _ours(logits: Tensor, images: Pair) -> Tensor:
    """(N,) the class of each image, of the two."""
    first, second = images.classes
    if max(images.classes) >= logits.shape[1]:
        raise ValueError(
            f"class {max(images.classes)} is out of range: the model has {logits.shape[1]} logits, and GAD needs one "
            f"for each of the classes {_words(images.classes)}"
        )
    if not logits.isfinite().all():
        wrong = int((~logits.isfinite()).any(1).sum())
        raise ValueError(
            f"the model's logits are not finite on {wrong} of the {len(logits)} images of the data"
        )
    if images.labels is not None:
        return images.labels
    ranked = torch.where(logits[:, first] >= logits[:, second], first, second)
    if len(torch.unique(ranked)) < 2:
        raise ValueError(
            f"the model ranks class {int(ranked[0])} higher on all {len(ranked)} images of the data, so no image "
            f"is left for the other one of {_words(images.classes)}; pass data=(images, labels)"
        )
    return ranked


def _read(given: Any, classes: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    if isinstance(given, (Tensor, np.ndarray)):
        return unlabeled(given), None
    read = labeled(given)
    if read.packed:
        raise ValueError(
            f"support networks take one image each; the data has tuples of {len(read.inputs)} inputs"
        )
    missing = [number for number in classes if not (read.labels == number).any()]
    if missing:
        present = ", ".join(map(str, torch.unique(read.labels).tolist()[:12]))
        raise ValueError(f"the data has no image of the class {missing[0]}; its labels are {present}")
    chosen = torch.isin(read.labels, torch.tensor(classes))
    return read.inputs[0][chosen], read.labels[chosen]


def _words(classes: tuple[int, int]) -> str:
    return " and ".join(map(str, classes))
