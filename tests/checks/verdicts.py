"""Verdicts on the digit networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_saliency_sanity import Verdict, check_model_sensitivity, explainers
from pytest_saliency_sanity.explainers import CONTROLS
from tests.digits import held_out_digits
from tests.networks import train


def named(name: str) -> Callable[..., Any]:
    """A fresh explainer or control of that name."""
    return CONTROLS[name]() if name in CONTROLS else getattr(explainers, name)


def checked(
    explainer: Callable[..., Any], network: str = "plain_cnn", seed: int | None = 0, **options: Any
) -> Verdict:
    """Model sensitivity on 32 held-out digits, with their labels."""
    digits = held_out_digits()
    labels = digits.labels[:32]
    return check_model_sensitivity(
        explainer,
        train(network, seed or 0),
        digits.images[:32],
        **{"labels": labels, "seed": seed, **options},
    )
