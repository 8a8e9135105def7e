"""pytest-forked is refused for tests of ours: torch's threads can hang after a fork, and its verdicts get lost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pytest_saliency_sanity.plugin.recording import arrivals

_FLAG = "forked"  # of pytest-forked, and its marker
_SAID = "refused"
_MOST = 3  # tests that the sentence names


def refuse(session: pytest.Session) -> None:
    """End the run before its first test, where one with our fixtures would run in a fork.

    Raises:
        pytest.UsageError: it names the tests, and says what to do.
    """
    refused = [
        item.nodeid for item in session.items if item.get_closest_marker("saliency") and _would_fork(item)
    ]
    if refused and not session.config.option.collectonly:
        sentence = (
            f"pytest-forked cannot run tests with fixtures of pytest-saliency-sanity: torch's threads can hang after a "
            f"fork, and verdicts do not come back from it. Leave out --forked, or these tests "
            f'(-m "not saliency"): {_named(refused)}'
        )
        arrivals.say(session.config, **{_SAID: sentence})
        raise pytest.UsageError(sentence)


def pass_on(node: Any) -> None:
    """On the controller: what a worker refused ends the run as it does without workers.

    Raises:
        pytest.UsageError: that of the worker.
    """
    sentence = arrivals.told(node).get(_SAID)
    if sentence:
        raise pytest.UsageError(sentence)


def _would_fork(item: pytest.Item) -> bool:
    everywhere = item.config.getoption(
        _FLAG, None
    )  # None: pytest-forked is not there, whoever has such a marker
    return everywhere is not None and bool(everywhere or item.get_closest_marker(_FLAG))


def _named(nodeids: Collection[str]) -> str:
    more = len(nodeids) - _MOST
    return ", ".join([*list(nodeids)[:_MOST], *([f"and {more} more"] if more > 0 else [])])
