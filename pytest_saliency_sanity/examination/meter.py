"""What an explainer's calls cost, and why a measurement ends early."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Finding


class Stopped(Exception):
    """The measurement cannot go on: carries the finding that says why, the explainer's exception, and numbers."""

    def __init__(
        self,
        finding: Finding,
        cause: BaseException | None = None,
        evidence: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(finding.sentence)
        self.finding, self.cause, self.evidence = finding, cause, evidence

    @property
    def raised(self) -> bool:
        """Whether the explainer raised an exception of its own."""
        return self.finding.reason in ("contract.exception", NOT_APPLICABLE)


class Breach(Stopped):
    """The explainer broke its contract."""

    def __init__(
        self,
        reason: str,
        sentence: str,
        cause: BaseException | None = None,
        evidence: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(Finding(reason, "error", sentence), cause, evidence)


class Refusal(Stopped):
    """The explainer says that its method does not exist for this model, which is no fault."""

    def __init__(self, sentence: str, cause: BaseException | None = None) -> None:
        super().__init__(Finding(NOT_APPLICABLE, "inconclusive", sentence), cause)


class OutOfBudget(Exception):
    """The check's seconds are used up."""


@dataclass
class Meter:
    """What the explainer's calls cost, and when they have to end.

    Attributes:
        deadline: `time.monotonic()` at which no further call is begun.
        held: (maps made, bytes held) before each of the first calls, where somebody wants to know.
    """

    deadline: float = float("inf")
    calls: int = 0
    images: int = 0
    seconds: float = 0.0
    held: list[tuple[int, int]] = field(default_factory=list)

    def timed(self, call: Callable[[], Any], images: int) -> Any:
        """The call's result; its cost is added up."""
        if self.calls:
            self.check_deadline()
        start = time.perf_counter()
        try:
            return call()
        finally:
            self.calls += 1
            self.images += images
            self.seconds += time.perf_counter() - start
            if (explained := settings.current().explained) is not None:
                explained(images)

    def check_deadline(self) -> None:
        """Raise OutOfBudget when the deadline has passed: for what takes long between the explainer's calls."""
        if time.monotonic() > self.deadline:
            raise OutOfBudget

    def evidence(self, total_seconds: float) -> dict[str, Any]:
        """calls, images and seconds of the explainer alone, beside the seconds of everything done around them."""
        return {
            "calls": self.calls,
            "images": self.images,
            "seconds": self.seconds,
            "total_seconds": total_seconds,
        }
