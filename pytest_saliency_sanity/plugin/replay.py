"""The command that repeats a test, as a message shows it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pytest_saliency_sanity.settings import Settings


def replay_command(item: pytest.Item, base: Settings) -> str:
    """The command that repeats this test with these settings; a check adds its seed."""
    return " ".join(["pytest", _quoted(_address(item)), *_selection(item.config), *_flags(base)])


def _address(item: pytest.Item) -> str:
    """The node id as it must be typed where pytest was started; `item.nodeid` is relative to the rootdir."""
    try:
        path = os.path.relpath(item.path, item.config.invocation_params.dir)
    except ValueError:  # another drive
        path = str(item.path)
    _, separator, name = item.nodeid.partition("::")
    return path + separator + name


def _quoted(text: str) -> str:
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _selection(config: pytest.Config) -> Iterator[str]:
    """What makes pytest find this test again: the rootdir and options in force, no deselection."""
    if config.getoption("rootdir"):
        yield f"--rootdir {_quoted(str(config.getoption('rootdir')))}"
    if config.getoption("inifilename"):
        yield f"-c {_quoted(str(config.getoption('inifilename')))}"
    if any(option.startswith("-m") for option in config.getini("addopts")):
        yield '-m ""'


def _flags(base: Settings) -> Iterator[str]:
    given: Mapping[str, Any] = {
        "profile": base.profile,
        "inconclusive": base.inconclusive,
        "max-seconds": base.max_seconds,
    }
    for name, value in given.items():
        if value is not None:
            yield f"--saliency-{name} {value}"
