"""What an audit asks, explainer by explainer and check by check, and what it found out about each."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.examination.conclusion import concluded
from pytest_saliency_sanity.report import matrix, numbers
from pytest_saliency_sanity.suite import evaluation
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Verdict

Pair = tuple[str, Check]  # an explainer's name, and what is asked of it


@dataclass(frozen=True)
class Result:
    """What one check found out about one explainer.

    Attributes:
        explainer: the explainer's name.
        check: the check's name.
        verdict: None where the check was not asked.
        skipped: why it was not.
        seconds: what it took.
    """

    explainer: str
    check: str
    verdict: Verdict | None
    skipped: str = ""
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """pass, fail, inconclusive or error; refused where the method does not exist for the model; skipped."""
        if self.verdict is None:
            return "skipped"
        return "refused" if self.verdict.reason == NOT_APPLICABLE else self.verdict.outcome

    def to_json(self) -> dict[str, Any]:
        """The result as builtin types."""
        verdict = None if self.verdict is None else self.verdict.to_json()
        return {
            "explainer": self.explainer,
            "check": self.check,
            "outcome": self.outcome,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "verdict": verdict,
        }

    def cell(self) -> matrix.Cell:
        """As a table shows it."""
        if self.verdict is None:
            return matrix.Cell(self.outcome, "", "", self.skipped)
        return matrix.Cell(self.outcome, *numbers.of_verdict(self.verdict), self.verdict.summary)


@dataclass(frozen=True)
class Questions:
    """All that an audit asks.

    Attributes:
        explainers: by their names.
        case: the model and the data.
        options: of the checks, by their names.
        pairs: what is asked, in its order.
    """

    explainers: Mapping[str, Any]
    case: Case
    options: Mapping[str, Mapping[str, Any]]
    pairs: tuple[Pair, ...]

    def contract_of(self, name: str) -> Verdict | None:
        """See `evaluation.contract_of`."""
        return evaluation.contract_of(self.explainers[name], name, self.case)

    def by_contract(self, pair: Pair, contract: Verdict) -> bool:
        """Whether the contract is the answer: it is what is asked, or it is broken."""
        return self._is_contract(pair) or evaluation.broken(contract)

    def answered(self, pair: Pair) -> Result:
        """The result, once the contract is known."""
        began = time.monotonic()
        verdict, skipped = self._asked(pair, self.contract_of(pair[0]))
        return Result(pair[0], pair[1].name, verdict, skipped, time.monotonic() - began)

    def asked(self, pair: Pair) -> tuple[Verdict | None, str]:
        """The verdict of an explainer that keeps its contract; or why the check cannot be asked."""
        name, check = pair
        options = self.options.get(check.name, {})
        try:
            return evaluation.evaluated(check, self.explainers[name], name, self.case, options), ""
        except NotApplicable as error:
            return None, str(error)

    def _asked(self, pair: Pair, contract: Verdict | None) -> tuple[Verdict | None, str]:
        if contract is None or not self.by_contract(pair, contract):
            return self.asked(pair)
        if self._is_contract(pair):
            return concluded(contract), ""
        return None, f"its contract is broken: {contract.summary}"

    def _is_contract(self, pair: Pair) -> bool:
        return pair[1].name == evaluation.CONTRACT and not self.options.get(pair[1].name)
