"""Which cases of a parametrized test run by default: enough for each value of each parameter to occur.

The marker `covering` (of a test function) leaves the other cases to `pytest -m extended`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations

import pytest

Case = Mapping[str, Hashable]


def leave_the_rest_to_extended(items: Iterable[pytest.Item]) -> None:
    """Mark as `extended` what is not needed to cover the values, or with `covering(2)` all pairs of values."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("covering") and hasattr(item, "callspec") and not _is_extended(item):
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in groups.values():
        (strength,) = cases[0].get_closest_marker("covering").args or (1,)
        needed = cover([_values(case) for case in cases], strength)
        for number, case in enumerate(cases):
            if number not in needed:
                case.add_marker("extended")


def _is_extended(item: pytest.Item) -> bool:
    return item.get_closest_marker("extended") is not None


def _values(case: pytest.Item) -> Case:
    """By identity: they are the same objects in every case, and not all can be compared."""
    return {name: id(value) for name, value in case.callspec.params.items()}


def cover(cases: Sequence[Case], strength: int) -> frozenset[int]:
    """The numbers of few cases in which each combination of `strength` values occurs that occurs in any."""
    open_ = {number: frozenset(_combined(case, strength)) for number, case in enumerate(cases)}
    missing = frozenset().union(*open_.values())
    chosen: set[int] = set()
    while missing:
        best = max(open_, key=lambda number: (len(open_[number] & missing), -number))
        missing -= open_[best]
        chosen.add(best)
    return frozenset(chosen)


def _combined(case: Case, strength: int) -> Iterable[tuple[tuple[str, Hashable], ...]]:
    return combinations(sorted(case.items(), key=lambda item: item[0]), min(strength, len(case)))
