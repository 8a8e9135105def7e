"""Signals with a known answer: the form of one short wave decides the label, among plateaus that stand out more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pytest_saliency_sanity.planted.checked import check_count, check_several, check_share, check_whole

_Values = npt.NDArray[np.float64]
_SHORTEST = 32
_HEIGHT = (0.35, 0.45)
_NOISE = 0.03
_PLATEAUS = (3, 5)


@dataclass(frozen=True)
class PlantedSignals:
    """Signals and where the wave is in each.

    Attributes:
        signals: (N, C, L) float32.
        labels: (N,) int64, the index of the wave among the waves asked for.
        masks: (N, L) bool, the wave's samples. It is in the first channel.
        spans: (N, 2) int64, the wave's first sample and the one behind its last.
    """

    signals: Tensor
    labels: Tensor
    masks: Tensor
    spans: Tensor


def planted_signals(
    count: int, seed: int = 0, *, length: int = 96, channels: int = 1, waves: Sequence[str] | None = None,
    contrast: float = 0.8,
) -> PlantedSignals:  # fmt: skip
    """`count` signals with a short wave among plateaus. The same arguments always give the same signals.

    The wave is in the first channel, at a random place; plateaus are in all. Their steps are higher than the wave, so
    that an edge detector points at them. The waves are as frequent as one another, give or take one signal. No global
    random state is read or changed.

    Args:
        count: how many signals.
        seed: seed of the signals; other seeds give other signals.
        length: L, the number of samples, 32 or more. The wave is about an eighth to a sixth of it.
        channels: C, 1 or more.
        waves: the possible waves, in the order of the classes: "peak", "wave" (up, then down), "ripple" (three periods)
            and "ramp"; None means all.
        contrast: how high the plateaus are, 0 (none) to 2. The wave is .35 to .45 high.

    Raises:
        ValueError: for an option outside its choices or range, with the value.
    """
    waves = WAVES if waves is None else waves
    check_count(count)
    check_whole("length", length, _SHORTEST, " samples")
    check_whole("channels", channels, 1)
    check_several("waves", waves, WAVES)
    check_share("contrast", contrast, 0, 2)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % len(waves))
    drawn = [_drawn(random, waves[label], length, channels, contrast) for label in map(int, labels)]
    signals = torch.from_numpy(np.stack([signal for signal, _ in drawn]))
    spans = torch.tensor([span for _, span in drawn])
    at = torch.arange(length)
    masks = (at >= spans[:, :1]) & (at < spans[:, 1:])
    return PlantedSignals(signals, torch.from_numpy(labels), masks, spans)


def _drawn(
    random: np.random.Generator, wave: str, length: int, channels: int, contrast: float
) -> tuple[npt.NDArray[np.float32], tuple[int, int]]:
    """A signal (C, L) float32, and the wave's span."""
    samples = int(random.integers(length // 8, length // 6, endpoint=True))
    start = int(random.integers(0, length - samples, endpoint=True))
    signal = random.normal(0, _NOISE, (channels, length))
    signal[0, start : start + samples] += random.uniform(*_HEIGHT) * _FORMS[wave](np.linspace(-1, 1, samples))
    for channel in range(channels):
        _add_plateaus(random, signal[channel], (start, start + samples), contrast)
    return signal.astype(np.float32), (start, start + samples)


def _add_plateaus(
    random: np.random.Generator, signal: _Values, span: tuple[int, int], contrast: float
) -> None:
    """Raises parts of a channel, beside the wave."""
    for _ in range(random.integers(*_PLATEAUS, endpoint=True)):
        samples = int(random.integers(len(signal) // 24, len(signal) // 12, endpoint=True))
        starts = np.arange(len(signal) - samples + 1)
        free = starts[(starts + samples < span[0]) | (starts > span[1])]
        start = int(random.choice(free))
        signal[start : start + samples] = contrast + random.normal(0, _NOISE, samples)


def _peak(at: _Values) -> _Values:
    return 1 - abs(at)


def _wave(at: _Values) -> _Values:
    return -np.sin(np.pi * at)


def _ripple(at: _Values) -> _Values:
    return np.sin(3 * np.pi * at)


def _ramp(at: _Values) -> _Values:
    return (at + 1) / 2


_FORMS: Mapping[str, Callable[[_Values], _Values]] = MappingProxyType(
    {"peak": _peak, "wave": _wave, "ripple": _ripple, "ramp": _ramp}
)
WAVES = tuple(_FORMS)
