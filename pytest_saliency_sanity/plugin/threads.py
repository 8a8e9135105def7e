"""Whether the processes of a run compete for the cores: torch starts one thread per core in each of them.

Nothing is set here, since a project may have reasons for its number of threads; a line at the end of the run says so.
"""

from __future__ import annotations

import os
import sys


def of_torch() -> int:
    """How many threads torch computes with in this process; 0 if it has not been imported."""
    torch = sys.modules.get("torch")
    count = getattr(torch, "get_num_threads", None)
    return int(count()) if count else 0


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def line(threads: list[int], available: int) -> str:
    """The line that says that there are too many; "" where there are not.

    Args:
        threads: of torch, in each worker that has audited something.
        available: cores.
    """
    if len(threads) < 2 or sum(threads) <= available:
        return ""
    return (
        f"{len(threads)} workers computed with {sum(threads)} threads on {available} cores, which slows all of them "
        f"down; set OMP_NUM_THREADS={max(available // len(threads), 1)} in the environment of the run"
    )
