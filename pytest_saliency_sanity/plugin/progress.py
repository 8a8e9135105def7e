"""Signs of life on the terminal of a run whose tests' output is captured; in a log, a line now and then."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import TYPE_CHECKING, TextIO

import pytest

if TYPE_CHECKING:
    from pytest_saliency_sanity.trained_networks.progress import Bar

EVERY_SECONDS = 30.0  # between two lines in a log
_BEGIN_SECONDS = 1.0  # before a bar is shown
_BAR = "{desc}: {n_fmt} maps, {elapsed}"


def stream(config: pytest.Config) -> TextIO | None:
    """Where progress is shown: the terminal, if standard error is one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    return _Terminal(config)  # type: ignore[return-value]  # pyright: ignore  # tqdm asks no more of a TextIO


class Watch:
    """Tells how far the running test's explainers are: a bar on a terminal, a line every 30 s elsewhere."""

    def __init__(self, config: pytest.Config, nodeid: str) -> None:
        self._out = _Terminal(config)
        self._nodeid = nodeid
        self._on_terminal = stream(config) is not None
        self._began = self._told = time.monotonic()
        self._maps = 0
        self._bar: Bar | None = None

    def explained(self, maps: int) -> None:
        """So many more maps were made."""
        self._maps += maps
        now = time.monotonic()
        if self._on_terminal:
            self._draw(now)
        elif now - self._told >= EVERY_SECONDS:
            self._told = now
            self.tell(f"{self._nodeid}: {self._maps} maps in {now - self._began:.0f} s")

    def tell(self, sentence: str) -> None:
        """Show a sentence now, on a line of its own."""
        if sys.stderr is not None:
            self._out.write(f"\nsaliency sanity: {sentence}\n")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, now: float) -> None:
        if self._bar is None and now - self._began >= _BEGIN_SECONDS:
            from pytest_saliency_sanity.trained_networks.progress import Bar

            self._bar = Bar(
                desc=self._nodeid, file=self._out, bar_format=_BAR, leave=False, initial=self._maps,
                mininterval=_BEGIN_SECONDS, miniters=1,
            )  # fmt: skip
        elif self._bar is not None:
            self._bar.update(self._maps - self._bar.n)


class _Terminal(io.TextIOBase):
    """Standard error as it is while capturing is suspended."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def write(self, text: str) -> int:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        with getattr(capture, "global_and_fixture_disabled", contextlib.nullcontext)():
            sys.stderr.write(text)
            sys.stderr.flush()
        return len(text)

    def isatty(self) -> bool:
        return True
