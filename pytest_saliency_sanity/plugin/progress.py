"""Progress of training on the terminal of a run whose tests' output is captured."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TextIO

import pytest


def stream(config: pytest.Config) -> TextIO | None:
    """Where progress is shown: the terminal, if standard error is one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    return _Terminal(config)  # type: ignore[return-value]  # pyright: ignore  # tqdm asks no more of a TextIO


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
