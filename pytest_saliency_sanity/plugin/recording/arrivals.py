"""What an xdist worker says at its end: its verdicts, which must all have arrived, torch's threads, and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import threads
from pytest_saliency_sanity.plugin.encoding import sendable
from pytest_saliency_sanity.plugin.recording import records

_OUTPUT = "saliency_sanity"


@dataclass(frozen=True)
class Lost:
    """Verdicts of one test that a worker has recorded and that are on no report that arrived."""

    nodeid: str
    worker: str
    missing: int
    recorded: int

    def __str__(self) -> str:
        verdicts = "verdict" if self.recorded == 1 else "verdicts"
        return (
            f"{self.nodeid}: {self.missing} of {self.recorded} {verdicts} did not arrive from {self.worker}"
        )


def tell(config: pytest.Config) -> None:
    """On a worker: put what its tests have recorded where the controller finds it when the worker has ended."""
    recorded = records.counts(config)
    say(config, recorded=recorded, threads=threads.of_torch() if recorded else 0)


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


def missing(said: dict[str, Any], worker: str, arrived: dict[str, int]) -> list[Lost]:
    """What of it has not arrived.

    Args:
        said: what the worker said.
        worker: its name.
        arrived: how many verdicts of each test are on reports that arrived from it, by node id.
    """
    return [
        Lost(nodeid, worker, recorded - arrived.get(nodeid, 0), recorded)
        for nodeid, recorded in sorted(said.get("recorded", {}).items())
        if arrived.get(nodeid, 0) < recorded
    ]
