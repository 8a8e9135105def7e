"""Sanity checks for saliency maps, as pytest assertions.

Public names are loaded when they are first used (PEP 562): importing this package, and with it the pytest
plugin, imports no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from pytest_saliency_sanity.checks.registry import ASSERTED, CHECKS

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
    **{check.function: check.home for check in CHECKS},
    **{name: check.home for name, check in ASSERTED.items()},
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
