"""Whether the model itself gives an image other logits in another batch, for which no explainer is responsible."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.outputs import Forward, like_model, read_logits
from pytest_saliency_sanity.perturbations import replayed
from pytest_saliency_sanity.signals import is_interruption

BATCH = 8  # images that the model is called with at once
_EXACT = 1e-5  # of the largest logit: no more than single precision loses in a deep network
_ON_A_GPU = 0.01
_NOISY = 3  # a model that draws moves about as far on another stream as in another batch
_STREAMS = 2  # a model that draws is another one on another stream


def depends_by(
    model: nn.Module,
    images: tuple[Tensor, ...],
    packed: bool,
    forward: Forward | None,
    seed: int,
    first: Tensor,
) -> float:
    """How far an image's logits move in another batch, relative to the spread of all; 0 where that is rounding.

    Dynamically quantized layers and BatchNorm without running statistics depend on their batch. A model that draws
    random numbers does not count: its logits differ as much in the same batch, too.

    Args:
        model: in evaluation mode, and without a graph.
        images: one (N, C, *S) for each input of the model.
        first: (n, K) logits of the first batch, from the stream `seed`.

    Returns:
        Infinity for a model that does not take a single image.
    """

    def scores(rows: list[int], stream: int = seed) -> Tensor:
        parts = tuple(part[rows] for part in images)
        with replayed(stream):
            return read_logits(model, parts if packed else parts[0], forward).double().cpu()

    every = list(range(min(BATCH, len(images[0]))))
    before = first.double()
    moved = 0.0
    for rows in ([0], [every[-1], every[1 % len(every)]]):  # no image is in both: one may set a range for all
        try:
            after = scores(rows)
        except ValueError as error:
            if is_interruption(error):
                raise
            moved = math.inf
            break
        moved = max(moved, _apart(before[rows], after, before))
    # Token ids have no precision; the model has.
    known = images[0] if images[0].is_floating_point() else like_model(torch.zeros(()), model)
    if moved <= _rounding(known):
        return 0.0
    drawn = max(_apart(before, scores(every, seed + 1 + k), before) for k in range(_STREAMS))
    return 0.0 if drawn >= moved / _NOISY else moved


def note(moved: float) -> tuple[str, ...]:
    """What a reader of the verdict has to know of it."""
    if not moved:
        return ()
    how = (
        "it fails on a batch of one image"
        if math.isinf(moved)
        else f"in another batch an image's logits move by {moved:.1%} of their spread"
    )
    return (
        f"the model's own logits depend on the batch: {how}; each image was explained in the same batch every time",
    )


def caveat(moved: float) -> tuple[str, ...]:
    """What the summary has to say of it."""
    return ("the model depends on its batch",) if moved else ()


def _apart(before: Tensor, after: Tensor, every: Tensor) -> float:
    largest = float(every.abs().max()) or 1.0
    gap = float((before - after).abs().max())
    return 0.0 if gap <= _EXACT * largest else gap / (float(every.std(correction=0)) or largest)


def _rounding(like: Tensor) -> float:
    """What the arithmetic of another batch size explains: .001 in single precision, .01 on a GPU (TF32)."""
    line = float(min(3 * torch.finfo(like.dtype).eps ** 0.5, 0.3))
    return line if like.device.type == "cpu" else max(line, _ON_A_GPU)
