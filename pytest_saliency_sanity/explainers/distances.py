"""How far two classes can be moved apart before the support networks of GAD no longer follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.explainers.distancing_options import (
    check_model,
    checked_agreement,
    checked_cache,
    checked_data,
    checked_regression,
    is_positive,
)
from pytest_saliency_sanity.explainers.gad import MIN_AGREEMENT, directory
from pytest_saliency_sanity.explainers.inputs import whole_number
from pytest_saliency_sanity.text import shown


@dataclass(frozen=True)
class LargestAlpha:
    """The result of the search.

    Attributes:
        alpha: the largest alpha whose regression converged, like that of every smaller one tried; 0 if there is none.
        capped: whether this is the cap, so that larger ones might converge as well.
        agreements: the agreement of each regression that was tried, by alpha, in the order of the search.
        epochs: the epochs of each regression.
    """

    alpha: float
    capped: bool
    agreements: dict[float, float]
    epochs: int


def largest_alpha(
    model: Any,
    data: Any,
    *,
    classes: tuple[int, int],
    epochs: int = 10,
    learning_rate: float = 4e-5,
    batch_size: int = 32,
    min_agreement: float = MIN_AGREEMENT,
    first: float = 1.0,
    cap: float = 64.0,
    resolution: float = 1.0,
    seed: int = 0,
    cache: str | Path | None = None,
) -> LargestAlpha:
    """The largest alpha that a support network still learns, the range that Rodrigues, Boutry and Najman leave open.

    `first` is doubled until a regression does not converge, or until the cap converges. Then the last interval is
    halved until it is no wider than `resolution`. One regression is trained for each alpha tried.

    Args:
        model: the network; it is not changed.
        data, classes, epochs, learning_rate, batch_size, min_agreement, seed, cache: as in `gad`, which takes the
            networks that were trained here from the same cache.
        first: the first alpha, in logits.
        cap: the largest alpha that is tried.
        resolution: how precisely the largest alpha is searched for, in logits.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    from pytest_saliency_sanity.trained_networks.support import supports

    check_model(model)
    _check_range(first, cap, resolution)
    images, floor = checked_data(data, classes), checked_agreement(min_agreement)
    chosen = directory(checked_cache(cache))
    regression = checked_regression(epochs, learning_rate, batch_size)
    whole_number("seed", seed, least=0)
    agreements: dict[float, float] = {}

    def converges(alpha: float) -> bool:
        (found,) = supports(
            model, images, (alpha,), regression,
            seed=seed, cache=chosen, stream=settings.current().progress,
        )  # fmt: skip
        agreements[alpha] = found.agreement
        return found.agreement >= floor

    alpha = _largest(converges, float(first), float(cap), float(resolution))
    return LargestAlpha(alpha, alpha == cap, agreements, regression.epochs)


def _largest(converges: Callable[[float], bool], first: float, cap: float, resolution: float) -> float:
    good, tried = 0.0, first
    while converges(tried):
        good = tried
        if good == cap:
            return good
        tried = min(2 * tried, cap)
    bad = tried
    while bad - good > resolution:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if converges(middle) else (good, middle)
    return good


def _check_range(first: Any, cap: Any, resolution: Any) -> None:
    for name, value in (("first", first), ("cap", cap), ("resolution", resolution)):
        if not is_positive(value):
            raise ValueError(f"{name} must be a number of logits above 0, got {shown(value)}.")
    if first > cap:
        raise ValueError(f"first must be at most the cap, got first={first!r} and cap={cap!r}.")
