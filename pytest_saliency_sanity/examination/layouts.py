"""Inputs of three dimensions: signals (N, C, L), or embeddings (N, L, D)?"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from pytest_saliency_sanity.audited.subject import Subject
from pytest_saliency_sanity.examination.maps import Maps

_OF_SIGNALS = (nn.Conv1d, nn.ConvTranspose1d, nn.LazyConv1d)


def shown_by(audited: Subject, maps: Maps) -> Subject:
    """The subject with the axis of the channels that its maps show: those of (N, L) are of embeddings (N, L, D)."""
    if audited.channel_axis is not None or any(part.ndim != 3 for part in audited.inputs):
        return audited
    pairs = list(zip(maps, audited.inputs, strict=True))
    if all(made.shape[1] == part.shape[1] != part.shape[2] for made, part in pairs):
        return replace(audited, channel_axis=-1)
    return audited


def doubtful(audited: Subject) -> tuple[int, ...] | None:
    """The shape of inputs that were not said to be signals, and whose model has no convolution over them."""
    if audited.channel_axis is not None or any(isinstance(m, _OF_SIGNALS) for m in audited.model.modules()):
        return None
    return next((tuple(part.shape[1:]) for part in audited.inputs if part.ndim == 3), None)


def note(signals: tuple[int, ...] | None) -> tuple[str, ...]:
    """What a reader has to know of inputs that may have been read in the wrong way."""
    if signals is None:
        return ()
    sizes = ", ".join(map(str, signals))
    return (
        f"inputs of shape (N, {sizes}) were read as signals (N, C, L), and their maps were summed over axis 1; "
        f"pass channel_axis=-1 for embeddings (N, L, D), or channel_axis=1 if they are signals",
    )
