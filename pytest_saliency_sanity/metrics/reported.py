"""The figures that can be asked for by `metrics=`, and what becomes evidence of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_saliency_sanity.examination.meter import OutOfBudget, Stopped
from pytest_saliency_sanity.metrics.emprt import emprt
from pytest_saliency_sanity.metrics.infidelity import infidelity
from pytest_saliency_sanity.metrics.max_sensitivity import max_sensitivity
from pytest_saliency_sanity.metrics.request import Figure, Request
from pytest_saliency_sanity.metrics.road import road
from pytest_saliency_sanity.metrics.smprt import smprt
from pytest_saliency_sanity.metrics.sparseness import sparseness
from pytest_saliency_sanity.metrics.srg import srg
from pytest_saliency_sanity.perturbations import preserved
from pytest_saliency_sanity.signals import is_interruption
from pytest_saliency_sanity.text import shown


@dataclass(frozen=True)
class Metric:
    """A figure of the field.

    Attributes:
        title: its name in the field.
        source: who defined it, and when.
        better: "higher" or "lower", or "" where neither is.
        compute: the figure of what is asked.
        checks: the checks that offer it.
    """

    title: str
    source: str
    better: str
    compute: Callable[[Request], Figure]
    checks: tuple[str, ...]


MODEL, RUNS, PIXELS = "model_sensitivity", "consistency", "insertion_deletion"
METRICS: Mapping[str, Metric] = {
    "smprt": Metric("sMPRT", "Hedström et al. 2024", "lower", smprt, (MODEL,)),
    "emprt": Metric("eMPRT", "Hedström et al. 2024", "higher", emprt, (MODEL,)),
    "infidelity": Metric("infidelity", "Yeh et al. 2019", "lower", infidelity, (MODEL, PIXELS)),
    "max_sensitivity": Metric("max-sensitivity", "Yeh et al. 2019", "lower", max_sensitivity, (MODEL, RUNS)),
    "sparseness": Metric("sparseness", "Chalasani et al. 2020", "higher", sparseness, (MODEL, RUNS, PIXELS)),
    "road": Metric("ROAD", "Rong et al. 2022", "lower", road, (PIXELS,)),
    "srg": Metric("SRG", "Blücher et al. 2024", "higher", srg, (PIXELS,)),
}


def metric_names(metrics: Sequence[str] | str, check: str) -> tuple[str, ...]:
    """The figures that were asked for, one name or several.

    Raises:
        ValueError: for one that the check does not offer, listing those that it does.
    """
    several = isinstance(metrics, Iterable) and not isinstance(metrics, (str, bytes))
    names: tuple[Any, ...] = tuple(metrics) if several else (metrics,)
    choices = [name for name, one in METRICS.items() if check in one.checks]
    for name in names:
        if not isinstance(name, str) or name not in choices:
            raise ValueError(f"{_wrong(name)}; {check} offers {', '.join(choices)}")
    return tuple(dict.fromkeys(names))


def reported(asked: Request, names: Sequence[str]) -> dict[str, Any]:
    """What becomes evidence of the figures: "metrics", and "metrics_cost"; nothing where none is asked for.

    A figure that cannot be computed says why. Nothing that happens here can change a verdict, which stands by then.
    """
    if not names:
        return {}
    began = time.monotonic()
    found = {name: _evidence(METRICS[name], asked) for name in names}
    return {"metrics": found, "metrics_cost": asked.meter.evidence(time.monotonic() - began)}


def _wrong(name: Any) -> str:
    if isinstance(name, str) and name in METRICS:
        return f"the metric {name!r} belongs to {' and '.join(METRICS[name].checks)}"
    return f"unknown metric {shown(name)}"


def _evidence(metric: Metric, asked: Request) -> dict[str, Any]:
    stated = {"title": metric.title, "source": metric.source, "better": metric.better}
    try:
        asked.meter.check_deadline()
        with preserved(asked.subject.model, asked.subject.snapshot):
            figure = metric.compute(asked)
    except Exception as error:
        if is_interruption(error):
            raise
        return {**stated, "value": None, "not_computed": _reason(error)}
    values = figure.values[np.isfinite(figure.values)]
    if not len(values):
        return {**stated, "value": None, "not_computed": "no image has a value"}
    numbers = {"value": values.mean(), "images": len(values), "by_image": figure.values}
    return {**stated, **numbers, **figure.details}


def _reason(error: Exception) -> str:
    if isinstance(error, OutOfBudget):
        return "the budget was used up; raise max_seconds"
    if isinstance(error, Stopped):
        return error.finding.sentence
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
