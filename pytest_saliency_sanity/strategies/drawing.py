"""The strategies: what comes first in each is what a failure shrinks to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor

from pytest_saliency_sanity.strategies.inputs import MAP_FORMS, MAP_KINDS, Maps, Planted
from pytest_saliency_sanity.strategies.networks import KINDS, Network, Plan

SHAPES = ((1, 6, 6), (1, 8, 8), (3, 8, 8), (2, 6, 9))
_SEEDS = st.integers(0, 2**16)
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Example:
    """A network, images for it and targets of these: what a check takes.

    Attributes:
        model: the network.
        planted: the images, as they were made.
        targets: (N,) int64.
    """

    model: Network
    planted: Planted
    targets: Tensor

    @property
    def inputs(self) -> Tensor:
        """(N, C, H, W) float32."""
        return self.planted.images

    def __repr__(self) -> str:
        """What was built, as it is typed again."""
        return f"Example({self.model!r}, {self.planted!r}, torch.tensor({self.targets.tolist()}))"


def networks(
    shapes: Sequence[Shape] = SHAPES, kinds: Sequence[str] = KINDS, bias: bool | None = None
) -> st.SearchStrategy[Network]:
    """Small classifiers in evaluation mode: perceptrons, convolutions, skip connections, attention.

    With and without BatchNorm, with ReLU as a module or a function. A ReLU network may be flat at an image: see
    `examples`.

    Args:
        shapes: (C, H, W) of inputs, the plainest first.
        kinds: some of `KINDS`.
        bias: whether layers have one; None means either.
    """
    plans = st.builds(
        Plan, kind=st.sampled_from(list(kinds)), shape=st.sampled_from(list(shapes)), classes=st.integers(2, 4),
        depth=st.integers(1, 2), width=st.integers(4, 8), batch_norm=st.booleans(), functional=st.booleans(),
        bias=st.booleans() if bias is None else st.just(bias), seed=_SEEDS,
    )  # fmt: skip
    return st.builds(Network, plans)


def planted(shapes: Sequence[Shape] = SHAPES, count: int | None = None) -> st.SearchStrategy[Planted]:
    """Images with a planted signal.

    Args:
        shapes: (C, H, W), the plainest first.
        count: how many images; None means 2 to 8.
    """
    return st.builds(
        Planted, shape=st.sampled_from(list(shapes)), count=st.integers(2, 8) if count is None else st.just(count),
        side=st.integers(1, 3), contrast=st.sampled_from([1.0, 0.5, 2.0]), seed=_SEEDS,
    )  # fmt: skip


def targets(count: int, classes: int, weights: bool = False) -> st.SearchStrategy[Tensor]:
    """(N,) int64, or with `weights` (N, K) float32 of which no row is 0."""
    if not weights:
        return st.lists(st.integers(0, classes - 1), min_size=count, max_size=count).map(torch.tensor)
    row = st.lists(st.sampled_from([1.0, 0.0, -1.0, 0.5]), min_size=classes, max_size=classes).filter(any)
    return st.lists(row, min_size=count, max_size=count).map(torch.tensor)


def maps(of: st.SearchStrategy[Planted] | None = None) -> st.SearchStrategy[Maps]:
    """Attribution maps of planted images: of either sign, of one, sparse, constant, on the signal, alike."""
    return st.builds(
        Maps, of=planted() if of is None else of, kind=st.sampled_from(MAP_KINDS), form=st.sampled_from(MAP_FORMS),
        seed=_SEEDS,
    )  # fmt: skip


@st.composite
def examples(draw: st.DrawFn, /, count: int = 4, **options: Any) -> Example:
    """A network, planted images of its shape, and targets, on which a check can show something.

    That is: the network's logits differ between the images, and no gradient is 0.

    Args:
        draw: hypothesis passes it.
        count: how many images.
        **options: those of `networks`.
    """
    model = draw(networks(**options))
    images = draw(planted((model.plan.shape,), count))
    found = Example(model, images, draw(targets(count, model.plan.classes)))
    assume(_shows(found))
    return found


def _shows(example: Example) -> bool:
    inputs = example.inputs.requires_grad_()
    with torch.enable_grad():
        logits = example.model(inputs)
        scores = logits.gather(1, example.targets[:, None])
        (gradients,) = torch.autograd.grad(scores.sum(), inputs)
    varies = bool((logits.detach().std(0) > 1e-3).all())
    return varies and bool((gradients.flatten(1).abs().amax(1) > 1e-4).all())
