"""The sanity checks, one file each: the only place where explainers, perturbations and statistics meet."""

from __future__ import annotations

from pytest_saliency_sanity.checks.contract import assert_contract, check_contract
from pytest_saliency_sanity.checks.model_sensitivity import assert_model_sensitive, check_model_sensitivity
from pytest_saliency_sanity.checks.target_sensitivity import assert_target_sensitive, check_target_sensitivity

__all__ = [
    "assert_contract",
    "assert_model_sensitive",
    "assert_target_sensitive",
    "check_contract",
    "check_model_sensitivity",
    "check_target_sensitivity",
]
