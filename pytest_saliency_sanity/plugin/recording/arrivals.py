"""What an xdist worker says at its end: its verdicts, which must all have arrived, torch's threads, and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import threads
from pytest_saliency_sanity.plugin.recording import records
from pytest_saliency_sanity.plugin.worker_output import say


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
