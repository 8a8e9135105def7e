"""Sanity checks for saliency maps, as pytest assertions.

Public names are loaded when they are first used (PEP 562): importing this package, and with it the pytest
plugin, imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_saliency_sanity.checks.registry import ASSERTED, CHECKS

if TYPE_CHECKING:
    # What `__getattr__` loads, for type checkers; tests/test_imports.py holds it against the registry.
    from pytest_saliency_sanity import explainers as explainers
    from pytest_saliency_sanity import perturbations as perturbations
    from pytest_saliency_sanity import settings as settings
    from pytest_saliency_sanity import statistics as statistics
    from pytest_saliency_sanity.case import Case as Case
    from pytest_saliency_sanity.checks.completeness import assert_complete as assert_complete
    from pytest_saliency_sanity.checks.completeness import check_completeness as check_completeness
    from pytest_saliency_sanity.checks.consistency import assert_consistent as assert_consistent
    from pytest_saliency_sanity.checks.consistency import check_consistency as check_consistency
    from pytest_saliency_sanity.checks.contract import assert_contract as assert_contract
    from pytest_saliency_sanity.checks.contract import check_contract as check_contract
    from pytest_saliency_sanity.checks.data_sensitivity import assert_data_sensitive as assert_data_sensitive
    from pytest_saliency_sanity.checks.data_sensitivity import (
        check_data_sensitivity as check_data_sensitivity,
    )
    from pytest_saliency_sanity.checks.distancing import check_distancing as check_distancing
    from pytest_saliency_sanity.checks.ignored_input import assert_ignored_input as assert_ignored_input
    from pytest_saliency_sanity.checks.ignored_input import check_ignored_input as check_ignored_input
    from pytest_saliency_sanity.checks.implementation_invariance import (
        assert_implementation_invariant as assert_implementation_invariant,
    )
    from pytest_saliency_sanity.checks.implementation_invariance import (
        check_implementation_invariance as check_implementation_invariance,
    )
    from pytest_saliency_sanity.checks.input_shift import (
        assert_input_shift_invariant as assert_input_shift_invariant,
    )
    from pytest_saliency_sanity.checks.input_shift import check_input_shift as check_input_shift
    from pytest_saliency_sanity.checks.insertion_deletion import (
        assert_insertion_deletion as assert_insertion_deletion,
    )
    from pytest_saliency_sanity.checks.insertion_deletion import (
        check_insertion_deletion as check_insertion_deletion,
    )
    from pytest_saliency_sanity.checks.linear_oracle import assert_linear_oracle as assert_linear_oracle
    from pytest_saliency_sanity.checks.linear_oracle import check_linear_oracle as check_linear_oracle
    from pytest_saliency_sanity.checks.localization import assert_localized as assert_localized
    from pytest_saliency_sanity.checks.localization import check_localization as check_localization
    from pytest_saliency_sanity.checks.model_sensitivity import (
        assert_model_sensitive as assert_model_sensitive,
    )
    from pytest_saliency_sanity.checks.model_sensitivity import (
        check_model_sensitivity as check_model_sensitivity,
    )
    from pytest_saliency_sanity.checks.occlusion_sensitivity import (
        assert_occlusion_sensitive as assert_occlusion_sensitive,
    )
    from pytest_saliency_sanity.checks.occlusion_sensitivity import (
        check_occlusion_sensitivity as check_occlusion_sensitivity,
    )
    from pytest_saliency_sanity.checks.parity import assert_parity as assert_parity
    from pytest_saliency_sanity.checks.parity import check_parity as check_parity
    from pytest_saliency_sanity.checks.registration import register_check as register_check
    from pytest_saliency_sanity.checks.registry import Check as Check
    from pytest_saliency_sanity.checks.target_sensitivity import (
        assert_target_sensitive as assert_target_sensitive,
    )
    from pytest_saliency_sanity.checks.target_sensitivity import (
        check_target_sensitivity as check_target_sensitivity,
    )
    from pytest_saliency_sanity.errors import ExplainerContractError as ExplainerContractError
    from pytest_saliency_sanity.errors import NotApplicable as NotApplicable
    from pytest_saliency_sanity.errors import SanityCheckFailed as SanityCheckFailed
    from pytest_saliency_sanity.errors import SanityCheckInconclusive as SanityCheckInconclusive
    from pytest_saliency_sanity.settings import SettingsError as SettingsError
    from pytest_saliency_sanity.suite.auditing import Audit as Audit
    from pytest_saliency_sanity.suite.auditing import audit as audit
    from pytest_saliency_sanity.suite.classes import SaliencySanitySuite as SaliencySanitySuite
    from pytest_saliency_sanity.suite.parametrization import (
        parametrize_with_sanity_checks as parametrize_with_sanity_checks,
    )
    from pytest_saliency_sanity.trained_networks.networks import TrueAndPermuted as TrueAndPermuted
    from pytest_saliency_sanity.variations import Variations as Variations
    from pytest_saliency_sanity.variations import acceptable_variations as acceptable_variations
    from pytest_saliency_sanity.verdict import Stage as Stage
    from pytest_saliency_sanity.verdict import Verdict as Verdict

_HOMES = {
    "Audit": "suite.auditing",
    "Case": "case",
    "Check": "checks.registry",
    "ExplainerContractError": "errors",
    "NotApplicable": "errors",
    "SanityCheckFailed": "errors",
    "SanityCheckInconclusive": "errors",
    "SettingsError": "settings",
    "SaliencySanitySuite": "suite.classes",
    "Stage": "verdict",
    "Variations": "variations",
    "Verdict": "verdict",
    "TrueAndPermuted": "trained_networks.networks",
    "acceptable_variations": "variations",
    "audit": "suite.auditing",
    "parametrize_with_sanity_checks": "suite.parametrization",
    "register_check": "checks.registration",
    **{check.function: check.home for check in CHECKS},
    **{name: check.home for name, check in ASSERTED.items()},
}
_MODULES = ("explainers", "perturbations", "settings", "statistics")
__all__ = sorted([*_HOMES, *_MODULES])  # pyright: ignore  # from the registry


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
