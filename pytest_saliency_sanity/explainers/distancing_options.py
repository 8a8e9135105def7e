"""What `gad` and `largest_alpha` may be given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from torch import Tensor, nn

from pytest_saliency_sanity.errors import NotApplicable
from pytest_saliency_sanity.explainers.inputs import whole_number
from pytest_saliency_sanity.outputs import as_targets
from pytest_saliency_sanity.text import shown

if TYPE_CHECKING:
    from pytest_saliency_sanity.trained_networks.logit_regression import Regression
    from pytest_saliency_sanity.trained_networks.pairs import Pair


def check_model(model: Any) -> None:
    """TypeError for what is not a network."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"gad trains copies of a torch.nn.Module; the model is {type(model).__name__}.")


def check_images(inputs: Any) -> None:
    """ValueError for what is not (N, C, H, W)."""
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise NotApplicable(f"gad explains images: inputs must be a tensor (N, C, H, W), got {found}.")


def checked_data(data: Any, classes: Any) -> Pair:
    """The images of the two classes, or a ValueError or TypeError, see `trained_networks.pairs.pair`."""
    from pytest_saliency_sanity.trained_networks.pairs import pair

    images = pair(data, checked_classes(classes))
    if images.inputs.dim() != 4:
        raise ValueError(
            f"gad's data must be images (N, C, H, W), got inputs of shape {tuple(images.inputs.shape)}."
        )
    return images


def checked_cache(cache: Any) -> Path | None:
    """A directory or None, or a TypeError that shows the value."""
    if cache is not None and not isinstance(cache, (str, Path)):
        raise TypeError(
            f"cache must be a directory, a str or a Path, or None for the run's, got {shown(cache)}."
        )
    return None if cache is None else Path(cache)


def of_the_classes(targets: Any, count: int, classes: tuple[int, int]) -> Tensor:
    """`targets` (N,) int64, or a ValueError that shows the one that is not of the two classes."""
    found = as_targets(targets, count)
    first, second = classes
    if found.dim() != 1:
        raise ValueError(
            f"gad moves the classes {first} and {second} apart: targets must be ({count},) of these classes, got "
            f"weights of shape {tuple(found.shape)}."
        )
    others = found[(found != first) & (found != second)]
    if len(others):
        raise ValueError(
            f"gad moves the classes {first} and {second} apart: targets must be one of these two, got "
            f"{int(others[0])}."
        )
    return found


def checked_classes(classes: Any) -> tuple[int, int]:
    """Two different classes, or a ValueError that shows them."""
    pair = tuple(classes) if isinstance(classes, Sequence) and not isinstance(classes, str) else ()
    whole = [number for number in pair if isinstance(number, Integral) and not isinstance(number, bool)]
    if len(pair) != 2 or len(whole) != 2 or min(pair) < 0 or pair[0] == pair[1]:
        raise ValueError(f"classes must be two different class indices (a, b), got {shown(classes)}.")
    return int(pair[0]), int(pair[1])


def checked_alphas(alphas: Any) -> tuple[float, ...]:
    """Different numbers above 0, at least one, or a ValueError that shows them."""
    given = tuple(alphas) if isinstance(alphas, Sequence) and not isinstance(alphas, str) else ()
    if not given or not all(map(is_positive, given)) or len(set(given)) < len(given):
        raise ValueError(
            f"alphas must be different numbers of logits above 0, at least one, got {shown(alphas)}."
        )
    return tuple(map(float, given))


def checked_regression(epochs: Any, learning_rate: Any, batch_size: Any) -> Regression:
    """The options as one value, or a ValueError that shows the wrong one."""
    from pytest_saliency_sanity.trained_networks.logit_regression import Regression

    if not is_positive(learning_rate):
        raise ValueError(f"learning_rate must be a number above 0, got {shown(learning_rate)}.")
    return Regression(
        whole_number("epochs", epochs), float(learning_rate), whole_number("batch_size", batch_size)
    )


def checked_agreement(value: Any) -> float:
    """A number from 0 to 1, or a ValueError that shows it."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= float(value) <= 1:
        raise ValueError(f"min_agreement must be a number from 0 to 1, got {shown(value)}.")
    return float(value)


def is_positive(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number above 0."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf


def check_threshold(share: Any, fraction: Any) -> None:
    """ValueError unless one of them is given, above 0 and at most 1."""
    if share is not None and fraction is not None:
        raise ValueError(
            f"give share (of the pixels) or fraction (of the maximum), not both, got share={share!r} and "
            f"fraction={fraction!r}."
        )
    name, value = ("share", share) if fraction is None else ("fraction", fraction)
    if not is_positive(value) or value > 1:
        raise ValueError(f"{name} must be above 0 and at most 1, got {shown(value)}.")
