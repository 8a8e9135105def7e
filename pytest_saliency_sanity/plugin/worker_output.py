"""What a worker of xdist leaves for the controller at its end, and what ends a run before its first test."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from pytest_saliency_sanity.plugin.encoding import sendable

_OUTPUT = "saliency_sanity"
_REFUSED = "refused"


def say(config: pytest.Config, **words: Any) -> None:
    """On a worker: add to what the controller finds when the worker has ended; elsewhere nothing."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = {**output.get(_OUTPUT, {}), **sendable(words)}


def told(node: Any) -> dict[str, Any]:
    """What a worker said at its end; empty for one that crashed, and for another version's."""
    output = getattr(node, "workeroutput", None)
    said = output.get(_OUTPUT) if isinstance(output, dict) else None
    return said if isinstance(said, dict) else {}


def refuse_run(config: pytest.Config, sentence: str) -> NoReturn:
    """End the run before its first test, in a worker as in one process.

    Raises:
        pytest.UsageError: always.
    """
    say(config, **{_REFUSED: sentence})
    raise pytest.UsageError(sentence)


def pass_on_refusal(node: Any) -> None:
    """On the controller: what a worker refused ends the run as it does without workers.

    Raises:
        pytest.UsageError: that of the worker.
    """
    if sentence := told(node).get(_REFUSED):
        raise pytest.UsageError(sentence)
