"""sMPRT: what survives of a smoothed map when all weights are re-initialized (Hedström et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.metrics.request import Figure, Request, extent, maps_of, mean_of
from pytest_saliency_sanity.perturbations import randomized
from pytest_saliency_sanity.perturbations.noise import white_noise
from pytest_saliency_sanity.statistics import figure

SAMPLES = 50
NOISE = 0.1  # standard deviation, in units of the range of an image's values


def smprt(asked: Request) -> Figure:
    """Spearman's correlation of each image's smoothed maps on the trained and on the re-initialized network.

    With their signs, as in the check; the same of their absolute values, which Quantus takes by default, is a detail.
    """
    kept = asked.subject
    trained = smoothed(asked)
    with randomized(kept.model, asked.blocks, seed=kept.seed):
        other = smoothed(asked)
    pairs = list(zip(trained, other, strict=True))
    signed, absolute = (
        mean_of([figure(name, a, b) for a, b in pairs]) for name in ("spearman", "abs_spearman")
    )
    details = {"samples": SAMPLES, "noise": NOISE, "draws": 1, "of_absolute_values": absolute.mean()}
    return Figure(signed, details)


def smoothed(asked: Request) -> Maps:
    """The mean of the maps of noisy copies of the images, the last without noise; the noise is that of the seed."""
    total: Maps = ()
    for sample, inputs in enumerate(noisy_inputs(asked.subject.inputs, asked.subject.seed)):
        maps = maps_of(asked, inputs, ("smoothing", sample))
        total = tuple(a + b for a, b in zip(total, maps, strict=True)) if total else maps
    return tuple(part / SAMPLES for part in total)


def noisy_inputs(inputs: Sequence[Tensor], seed: int) -> Iterator[list[Tensor]]:
    """The samples' inputs: all but the last with normal noise of `NOISE` of the range of each image."""
    for sample in range(SAMPLES - 1):
        purpose = f"smoothing {sample}"
        yield [part + NOISE * extent(part) * white_noise(part, seed, purpose) for part in inputs]
    yield list(inputs)
