"""What a figure is computed from, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.single_analysis import explained
from pytest_saliency_sanity.perturbations import Block


@dataclass(frozen=True)
class Request:
    """What a figure is computed from.

    Attributes:
        subject: explainer, model and images; the model is held.
        meter: the explainer's calls for figures.
        blocks: the blocks to re-initialize, in a check that has them.
        steps, infill, absolute: of the curves, in a check that has them.
    """

    subject: Subject
    meter: Meter
    blocks: Sequence[Block] = ()
    steps: int | None = None
    infill: Any = "zero"
    absolute: bool = False

    @property
    def images(self) -> int:
        """How many images it is computed on: the profile's number."""
        return min(self.subject.amounts.images, self.subject.images)


@dataclass(frozen=True)
class Figure:
    """A figure of each image.

    Attributes:
        values: (n,); NaN for an image that has none.
        details: with what it was computed, and what helps to read it.
    """

    values: np.ndarray
    details: Mapping[str, Any] = field(default_factory=dict)


def maps_of(
    asked: Request, inputs: Sequence[Tensor] | None = None, run: tuple[int | str, ...] = ("images",)
) -> Maps:
    """The maps of the images, or of others in their place, by the model as it is.

    Args:
        run: names the random streams: maps of equal runs draw equal numbers.

    Raises:
        NotApplicable: for others in the place of token ids.
    """
    if inputs is not None and asked.subject.embed is not None:
        raise NotApplicable("it moves inputs a little, which token ids cannot be")
    subject = asked.subject if inputs is None else replace(asked.subject, inputs=tuple(inputs))
    chunks = explained(subject, asked.meter, asked.images, run)
    return tuple(torch.cat(parts) for parts in zip(*chunks, strict=True))


def mean_of(values: Sequence[Tensor]) -> np.ndarray:
    """(n,) the mean over the inputs of the model."""
    found: np.ndarray = torch.stack([one.double().cpu() for one in values]).mean(0).numpy()
    return found


def one_input(asked: Request) -> Tensor:
    """(n, C, *S) the images.

    Raises:
        NotApplicable: for several inputs, for tables and for channels on another axis.
    """
    images, axis = asked.subject.inputs[0][: asked.images], asked.subject.channel_axis
    if len(asked.subject.inputs) > 1 or images.ndim < 3 or axis not in (None, 1):
        raise NotApplicable("it needs one tensor of inputs (N, C, *S)")
    return images


def extent(images: Tensor) -> Tensor:
    """(n, 1, …) the range of the values of each image."""
    flat = images.flatten(1)
    return (flat.amax(1) - flat.amin(1)).view(-1, *[1] * (images.ndim - 1))
