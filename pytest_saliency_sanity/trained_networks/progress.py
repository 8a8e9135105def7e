"""A bar that shows how far a training is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TextIO

from tqdm import tqdm

REFRESH_SECONDS = 1.0
_BAR = "{desc}: {bar:20} epoch {n_fmt} of at most {total_fmt}, {elapsed}{postfix}"


class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """Without tqdm's monitor thread, as Python warns of threads at a fork; it checks the clock each epoch instead."""

    monitor_interval = 0


@contextlib.contextmanager
def progress(epochs: int, title: str, stream: TextIO | None) -> Iterator[Bar]:
    """A bar of `epochs`, written to `stream`, or nowhere where that is None; removed on leaving."""
    with Bar(
        total=epochs, desc=title, file=stream, disable=stream is None,
        miniters=1, mininterval=REFRESH_SECONDS, bar_format=_BAR, leave=False,
    ) as bar:  # fmt: skip
        yield bar
