"""The faults that are planted: each is a right explainer of `tests.mutation.right` with one thing wrong.

The list was committed before any check was run on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.mutation.planted_faults import batches, images, maps, methods, states, targets
from tests.mutation.planted_faults.fault import Fault

FAULTS: Mapping[str, Fault] = {
    fault.name: fault for room in (targets, maps, images, batches, states, methods) for fault in room.FAULTS
}

__all__ = ["FAULTS", "Fault"]
