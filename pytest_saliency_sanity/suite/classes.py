"""The same tests as a class, for those who like classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.suite.choices import ALL, Reasons, unknown
from pytest_saliency_sanity.suite.claims import Axioms
from pytest_saliency_sanity.suite.parametrization import SanityCheck, parametrize_with_sanity_checks

_SETTABLE = ("explainers", "checks", "expected_failed_checks", "options", "axioms")


class SaliencySanitySuite:
    """One test for each explainer and check, as methods of a class; name yours `Test…`.

    Attributes:
        explainers: names to explainers.
        checks: "all", or names of checks.
        expected_failed_checks: for explainers the checks that they are known to fail, with the reason.
        options: for checks their keyword options.
        axioms: for explainers the axioms that they claim.
    """

    explainers: ClassVar[Mapping[str, Any]]
    checks: ClassVar[str | Iterable[str]] = ALL
    expected_failed_checks: ClassVar[Reasons | None] = None
    options: ClassVar[Mapping[str, Mapping[str, Any]] | None] = None
    axioms: ClassVar[Axioms | None] = None

    def __init_subclass__(cls, **given: Any) -> None:
        """Make the tests of a subclass.

        Raises:
            TypeError: for a subclass that replaces the test, or that sets what is nearly the name of an attribute.
            TypeError, ValueError: as `parametrize_with_sanity_checks`.
        """
        super().__init_subclass__(**given)
        for name in vars(cls):
            _check_name(cls.__name__, name)
        if not hasattr(cls, "explainers"):
            return  # a base of others

        def test_explainer(self: Any, explainer: Any, sanity_check: SanityCheck, saliency_case: Case) -> None:
            __tracebackhide__ = True
            sanity_check(explainer, saliency_case)

        decorated = parametrize_with_sanity_checks(
            cls.explainers,
            cls.checks,
            expected_failed_checks=cls.expected_failed_checks,
            options=cls.options,
            axioms=cls.axioms,
        )
        test_explainer.__qualname__ = f"{cls.__qualname__}.test_explainer"
        test_explainer.__module__ = cls.__module__
        cls.test_explainer = decorated(test_explainer)  # type: ignore[attr-defined]


def _check_name(owner: str, name: str) -> None:
    """Raise TypeError for what would silently replace a test, or set nothing."""
    if name == "test_explainer":
        raise TypeError(
            f"{owner} replaces test_explainer, so that nothing would be checked; give the test another name"
        )
    if name.startswith("_") or name.startswith("test") or name in _SETTABLE:
        return
    sentence = unknown("attribute", name, list(_SETTABLE))
    if "did you mean" in sentence:
        raise TypeError(f"{owner}: {sentence}")
