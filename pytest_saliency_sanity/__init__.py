"""Sanity checks for saliency maps, as pytest assertions.

Public names are loaded when they are first used (PEP 562): importing this package, and with it the pytest
plugin, imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Case": "case",
    "ExplainerContractError": "errors",
    "NotApplicable": "errors",
    "SanityCheckFailed": "errors",
    "SanityCheckInconclusive": "errors",
    "SettingsError": "settings",
    "Stage": "verdict",
    "Variations": "variations",
    "Verdict": "verdict",
    "TrueAndPermuted": "trained_networks.networks",
    "acceptable_variations": "variations",
    "assert_consistent": "checks.consistency",
    "assert_contract": "checks.contract",
    "assert_data_sensitive": "checks.data_sensitivity",
    "assert_insertion_deletion": "checks.insertion_deletion",
    "assert_localized": "checks.localization",
    "assert_model_sensitive": "checks.model_sensitivity",
    "assert_occlusion_sensitive": "checks.occlusion_sensitivity",
    "assert_target_sensitive": "checks.target_sensitivity",
    "check_consistency": "checks.consistency",
    "check_contract": "checks.contract",
    "check_data_sensitivity": "checks.data_sensitivity",
    "check_distancing": "checks.distancing",
    "check_insertion_deletion": "checks.insertion_deletion",
    "check_localization": "checks.localization",
    "check_model_sensitivity": "checks.model_sensitivity",
    "check_occlusion_sensitivity": "checks.occlusion_sensitivity",
    "check_target_sensitivity": "checks.target_sensitivity",
}
_MODULES = ("explainers", "perturbations", "settings", "statistics")
__all__ = sorted([*_HOMES, *_MODULES])


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
