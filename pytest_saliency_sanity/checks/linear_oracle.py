"""Is the map of a linear network what it has to be?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import Unpack

from pytest_saliency_sanity.audited.conditions import OfAxioms, takes
from pytest_saliency_sanity.audited.options import check_demands
from pytest_saliency_sanity.audited.subject import Subject, subject
from pytest_saliency_sanity.axioms import linear
from pytest_saliency_sanity.axioms.baselines import less_baseline, read_baseline
from pytest_saliency_sanity.axioms.changed import unbound
from pytest_saliency_sanity.axioms.deviations import TOLERANCE, again, distances, exchanged, largest
from pytest_saliency_sanity.errors import asserting
from pytest_saliency_sanity.examination.caveats import image_caveats
from pytest_saliency_sanity.examination.first_maps import FIRST, Examination
from pytest_saliency_sanity.examination.maps import Maps
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.examination.planning import Load
from pytest_saliency_sanity.examination.single_analysis import Measured, verdict_by
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.verdict import Claim, Stage, Verdict

CLAIM = Claim(
    fails="gives another map than a linear network has",
    measures="is",
    columns=("known map", "compared", "distance"),
    code="off_oracle",
    passed="on_oracle",
)
NETWORKS = 3
_CLASSES = 5  # at most: with a thousand, the weights of photographs would take a gigabyte
EXPECTED = {"gradient": linear.GRADIENT, "contribution": linear.CONTRIBUTION}
Deviations = Mapping[tuple[str, str], np.ndarray]


@takes(OfAxioms)
def check_linear_oracle(
    explainer: Callable[..., Any], model: torch.nn.Module, inputs: Any = None, targets: Any = None,
    *, expects: str | None = None, baseline: Any = None, tolerance: float = TOLERANCE, **conditions: Unpack[OfAxioms],
) -> Verdict:  # fmt: skip
    """Whether an explainer's maps of linear networks are the only right ones, on the user's inputs.

    Of f(x) = w x + b, every gradient is w (SmoothGrad's too), and what a value contributes is (x - baseline) w
    (integrated gradients, input x gradient, DeepLIFT, LRP-0, Shapley values). Three networks are drawn that take inputs
    of the same shape. A map that has channels is compared channel by channel. At most 8 images are used, and the worst
    counts.

    Args:
        explainer: callable (model, inputs, targets) -> map of shape (N, C, *S), (N, 1, *S) or (N, *S). It is called
            with linear networks, so it must not be bound to a model.
        model: the network; the contract is examined on it, and it is restored afterwards.
        inputs: (N, C, *S) floating point, or a tuple of such tensors, N >= 2; None means scikit-image's photographs.
        targets: (N,) int64 or (N, K) weights of the model, for the contract. The linear networks have their own.
        expects: "gradient" for w, "contribution" for (x - baseline) w; None means whichever is nearer.
        baseline: the explainer's: None for zero, a number, a tensor that broadcasts to one image, or a tuple of these.
        tolerance: the distance, relative to the map's length, that is allowed, from 0 to 1.
        **conditions: see `OfAxioms`.

    Returns:
        The verdict. The nearer of the known maps decides, the other one is shown.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.

    Source: Sundararajan, Taly and Yan, ICML 2017, section 4 (linearity, completeness); Smilkov et al. 2017, section 2.
    """
    check_demands(tolerance=tolerance)
    wanted = _expected(expects)
    began = time.monotonic()
    audited = subject(
        unbound(explainer, "the linear oracle"), model, inputs, targets, limit=FIRST, **conditions
    )
    base = read_baseline(baseline, audited)

    def measure(kept: Subject, meter: Meter, first: Examination) -> Measured:
        found = [_deviations(kept, meter, first, base, number) for number in range(NETWORKS)]
        joined = {key: np.concatenate([one[key] for one in found]) for key in found[0] if key[0] in wanted}
        return Measured(_stages(joined, tolerance))

    return verdict_by(
        "linear_oracle",
        CLAIM,
        audited,
        began,
        measure,
        caveats=image_caveats(audited),
        load=Load(NETWORKS * audited.images),
    )


assert_linear_oracle = asserting(check_linear_oracle, "assert_linear_oracle")


def _expected(expects: Any) -> tuple[str, ...]:
    if expects is None:
        return tuple(EXPECTED.values())
    if not isinstance(expects, str) or expects not in EXPECTED:
        raise ValueError(f"expects must be one of {', '.join(EXPECTED)}, or None, not {shown(expects)}")
    return (EXPECTED[expects],)


def _deviations(
    kept: Subject, meter: Meter, first: Examination, baseline: tuple[Tensor, ...], number: int
) -> Deviations:
    """(n,) for each known map, and whether the explainer's has channels, its distance from the explainer's."""
    generator = np.random.default_rng([kept.seed, 17, number])
    classes = min(kept.classes, _CLASSES)
    network = linear.Linear(kept.inputs, classes, generator)
    targets = _targets(kept, classes, generator)
    weights = linear.channel_weights(kept.inputs, kept.channel_axis, generator)
    weighted = linear.Weighted(kept.explainer, weights, kept.name)
    asked = exchanged(kept, network, targets).by(weighted, kept.name)
    maps = again(asked, meter, first)
    gradients = linear.gradients(network, kept.inputs, targets)
    pairs = zip(gradients, less_baseline(kept.inputs, baseline), strict=True)
    known = {linear.GRADIENT: gradients, linear.CONTRIBUTION: tuple(w * x for w, x in pairs)}
    return {
        (name, channels): distances(maps, _chosen(kept, first, parts, by))
        for name, parts in known.items()
        for channels, by in {"by channel": weights, "summed": None}.items()
    }


def _targets(kept: Subject, classes: int, generator: np.random.Generator) -> Tensor:
    if kept.targets.ndim == 2:
        return torch.from_numpy(generator.uniform(0.5, 1.5, (kept.images, classes))).to(kept.targets)
    return torch.arange(kept.images, device=kept.targets.device) % classes


def _chosen(
    kept: Subject, first: Examination, parts: tuple[Tensor, ...], weights: tuple[Tensor, ...] | None
) -> Maps:
    weighted = parts if weights is None else tuple(a * b for a, b in zip(parts, weights, strict=True))
    rows = tuple(part[first.index.to(part.device)] for part in weighted)
    return linear.without_channels(rows, kept.channel_axis)


def _stages(found: Deviations, tolerance: float) -> tuple[Stage, ...]:
    """A stage for each known map, the nearest first; whether the map has channels is told by which is nearer."""
    nearest: dict[str, np.ndarray] = {}
    for (name, _), values in sorted(found.items(), key=lambda item: float(item[1].max())):
        nearest.setdefault(name, values)
    return tuple(
        largest(
            name, f"{NETWORKS} linear networks", f"the largest distance from {name}, on {NETWORKS} linear networks",
            values, tolerance, judged=place == 0, draws=NETWORKS,
        )
        for place, (name, values) in enumerate(nearest.items())
    )  # fmt: skip
