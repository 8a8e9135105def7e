"""One test for each explainer and check, as scikit-learn's `parametrize_with_checks` makes them for estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.checks.registry import Check
from pytest_saliency_sanity.errors import NotApplicable, SanityCheckFailed, raise_unless_passed
from pytest_saliency_sanity.suite.choices import (
    ALL,
    Reasons,
    checked_options,
    checked_reasons,
    chosen_explainers,
)
from pytest_saliency_sanity.suite.claims import Axioms, all_of, asked_of
from pytest_saliency_sanity.verdict import NOT_APPLICABLE, Verdict

ARGUMENTS = ("explainer", "sanity_check")


@dataclass(frozen=True)
class SanityCheck:
    """One check, to be called with an explainer and a case; what `parametrize_with_sanity_checks` passes to a test.

    Attributes:
        check: the registry's entry.
        explainer: the explainer's name.
        options: keyword options of the check.
    """

    check: Check
    explainer: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        """The two names; pytest prints it beside each failure."""
        return f"SanityCheck({self.name!r}, explainer={self.explainer!r})"

    @property
    def name(self) -> str:
        """The check's name."""
        return self.check.name

    def __call__(self, explainer: Any, saliency_case: Case) -> Verdict:
        """The verdict of a pass.

        Raises:
            SanityCheckFailed, SanityCheckInconclusive, ExplainerContractError: for any other; the last also where the
                explainer breaks its contract and this run does not report that in a test of its own.
            pytest.skip.Exception: where the check does not apply, or another test of this run reports the broken
                contract.
        """
        __tracebackhide__ = True
        from pytest_saliency_sanity.suite import evaluation

        try:
            if self.name != evaluation.CONTRACT:
                _skip_or_fail_if_broken(evaluation.contract_of(explainer, self.explainer, saliency_case))
            verdict = evaluation.evaluated(self.check, explainer, self.explainer, saliency_case, self.options)
        except NotApplicable as error:
            pytest.skip(f"{self.name} does not apply: {error}")
        if verdict.reason == NOT_APPLICABLE:
            pytest.skip(verdict.summary)
        return raise_unless_passed(verdict)


def parametrize_with_sanity_checks(
    explainers: Mapping[str, Any],
    checks: str | Iterable[str] = ALL,
    *,
    expected_failed_checks: Reasons | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    axioms: Axioms | None = None,
) -> Callable[[Any], Any]:
    """Decorator of a test `(explainer, sanity_check, saliency_case)`: one test for each explainer and each check.

    The test calls `sanity_check(explainer, saliency_case)`. Its id is `NAME-CHECK`. Each test first asks whether the
    explainer keeps its contract (once in a process); where it does not, the test is skipped if this run has selected
    the explainer's contract test, and fails with ExplainerContractError if not.

    Args:
        explainers: names to explainers: anything that the checks take, or a text such as "captum:Saliency".
        checks: "all", every check that has an assertion, or names of checks. "all" asks for an axiom only where it is
            claimed.
        expected_failed_checks: for explainers the checks that they are known to fail, with the reason. Each is a
            strict expected failure of SanityCheckFailed: an error, an inconclusive verdict and a pass fail the test.
        options: for checks their keyword options, such as {"consistency": {"min_agreement": 0.8}}.
        axioms: for explainers the axioms that they claim, such as {"ig": {"completeness"}}; of those that are not
            there, what is known of the method holds.

    Raises:
        TypeError, ValueError: for an unknown explainer, check or axiom, with the choices.
    """
    named = chosen_explainers(explainers)
    asked = asked_of(named, checks, axioms)
    reasons = checked_reasons(expected_failed_checks, asked)
    given = checked_options(options, all_of(asked))
    parameters = [
        pytest.param(
            explainer,
            SanityCheck(check, name, given.get(check.name, {})),
            id=f"{name}-{check.name}",
            marks=marks_of(check, reasons.get(name, {}).get(check.name)),
        )
        for name, explainer in named.items()
        for check in asked[name]
    ]
    return pytest.mark.parametrize(ARGUMENTS, parameters)


def marks_of(check: Check, reason: str | None = None) -> list[pytest.MarkDecorator]:
    """The markers of a check's tests; with a reason, a strict expected failure."""
    marks = [pytest.mark.saliency, *([pytest.mark.saliency_training] if check.trains else [])]
    if reason is not None:
        marks.append(pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason=reason))
    return marks


def _skip_or_fail_if_broken(contract: Verdict | None) -> None:
    __tracebackhide__ = True
    from pytest_saliency_sanity.examination.conclusion import concluded
    from pytest_saliency_sanity.suite import evaluation

    if contract is None or not evaluation.broken(contract):
        return
    present = settings.current()
    if present.reports_contract is not None and present.reports_contract(contract.explainer):
        pytest.skip(f"the contract is broken, see the test of {evaluation.CONTRACT}: {contract.summary}")
    raise_unless_passed(concluded(contract))
