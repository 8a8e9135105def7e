"""What a project gives to the checks, as one frozen value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def _absent() -> None:
    return None


@dataclass(frozen=True)
class Case:
    """A model and the data that its explanations are audited on; None means missing.

    Attributes:
        model: the torch module.
        inputs: (N, C, *S), or a tuple of such tensors.
        targets: (N,) int64, or (N, K) weights; None means the model's own prediction.
        labels: (N,) int64, the true classes; with them, accuracy is checked.
        train_set: a pair of tensors or a map-style dataset.
        make_model: builds an untrained model.
        regions: what the explanation should point at: boxes or boolean masks.
        channel_axis: where the channels of the inputs are; None means 1.
        embed: for models of token ids, the name of the layer whose output is explained.
        reference: where maps of the last release are kept, a file or a folder.
    """

    # Factories instead of plain defaults: a field without a class attribute can be looked up on first use,
    # which is how the fixture skips what no check needs.
    model: Any = field(default_factory=_absent)
    inputs: Any = field(default_factory=_absent)
    targets: Any = field(default_factory=_absent)
    labels: Any = field(default_factory=_absent)
    train_set: Any = field(default_factory=_absent)
    make_model: Callable[[], Any] | None = field(default_factory=_absent)
    regions: Any = field(default_factory=_absent)
    channel_axis: int | None = field(default_factory=_absent)
    embed: str | None = field(default_factory=_absent)
    reference: Any = field(default_factory=_absent)
