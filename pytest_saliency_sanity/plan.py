"""What a check would take, told without running it: explanations, networks, seconds, memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

PLANNED = "planned"  # reason code of what stands for a verdict where checks only plan


@dataclass(frozen=True)
class Plan:
    """What one check of one explainer takes up to the first look at which it may pass.

    Attributes:
        check, explainer, model: as in `Verdict`.
        explanations: maps that the explainer makes; None where the check cannot tell.
        controls: maps that control explainers make for this check; those that a check before it has made are shared.
        networks: that are trained for it, and are not in the cache.
        seconds: all that the check does, training apart; None where that is not known.
        memory: bytes that the process, or the GPU, holds at most; None where nobody says.
        problem: why the explainer cannot explain two images; "" where it can.
    """

    check: str
    explainer: str
    model: str
    explanations: int | None = None
    controls: int = 0
    networks: int = 0
    seconds: float | None = None
    memory: int | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """The plan as builtin types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """What `to_json` gave."""
        return cls(**data)


@dataclass(frozen=True)
class Plans:
    """The plans of several checks, and what they come to."""

    plans: tuple[Plan, ...]

    def __iter__(self) -> Iterator[Plan]:
        """The plans, in their order."""
        return iter(self.plans)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.plans)

    @property
    def explanations(self) -> int:
        """All maps, those of the controls included."""
        return sum((one.explanations or 0) + one.controls for one in self.plans)

    @property
    def networks(self) -> int:
        """Networks that are trained."""
        return sum(one.networks for one in self.plans)

    @property
    def seconds(self) -> float:
        """In one process, training apart."""
        return sum(one.seconds or 0.0 for one in self.plans)

    @property
    def memory(self) -> int | None:
        """Bytes, the most that any check takes; None where nobody says."""
        return max((one.memory for one in self.plans if one.memory is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """All plans and the sums as builtin types."""
        sums = ("explanations", "networks", "seconds", "memory")
        return {
            "plans": [one.to_json() for one in self.plans],
            **{name: getattr(self, name) for name in sums},
        }

    def __str__(self) -> str:
        """The table, and below it the sums."""
        from pytest_saliency_sanity.report.plan import lines

        return "\n".join(lines(self))


@dataclass(frozen=True)
class Planning:
    """That checks only plan, and what they have planned so far.

    Attributes:
        told: called with each plan.
        made: keys of what several checks share, which is counted for the first of them. It fills.
    """

    told: Callable[[Plan], None]
    made: set[Hashable] = field(default_factory=set)

    def is_first(self, key: Hashable) -> bool:
        """Whether no check before has planned what `key` names."""
        known = key in self.made
        self.made.add(key)
        return not known


class Planned(Exception):
    """Ends a check that only plans."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.check)
        self.plan = plan
