"""What tests of `audit(executor=)` ask, and whether two audits have the same verdicts."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from pytest_saliency_sanity import Audit, explainers
from tests.suite import elsewhere

CHECKS = ["contract", "target_sensitivity", "localization"]
MORE = [*CHECKS, "model_sensitivity", "consistency", "insertion_deletion"]
EXPLAINERS: Mapping[str, Any] = {
    "grad": explainers.gradient,
    "sobel": explainers.sobel,
    "noisy": functools.partial(explainers.smoothgrad, samples=2),
    "nan": elsewhere.nan,
    "refuses": elsewhere.refuses,
    "raises": elsewhere.raises,
    "three": 3,
    "by name": "explainers:input_x_gradient",
}


def without_costs(value: Any) -> Any:
    """JSON without seconds, and without what is counted of calls."""
    if isinstance(value, Mapping):
        costs = ("cost", "control_cost", "seconds", "cached")  # the last: whether another check trained it
        return {key: without_costs(one) for key, one in value.items() if key not in costs}
    return [without_costs(one) for one in value] if isinstance(value, (list, tuple)) else value


def same(one: Audit, other: Audit) -> bool:
    """Whether both have the same verdicts in the same order, to the last bit, times and costs apart."""
    return bool(without_costs(one.to_json()) == without_costs(other.to_json()))
