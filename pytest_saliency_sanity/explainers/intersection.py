"""What is important in the map of a network and in those of all its support networks (GAD)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pytest_saliency_sanity.explainers.inputs import wide

if TYPE_CHECKING:
    from pytest_saliency_sanity.trained_networks.support import Support


def intersection(
    base: Callable[..., Any],
    model: Any,
    networks: Sequence[Support],
    inputs: Tensor,
    targets: Tensor,
    threshold: tuple[float | None, float | None],
) -> Tensor:
    """The map of `base`, with its values where they are important in every network, else 0.

    Values that are not finite stay, so that checks of the map find them. Every network's map draws the same random
    numbers.

    Args:
        base: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W).
        model: the network itself.
        networks: its support networks; what `base` does to them is undone.
        inputs: (N, C, H, W).
        targets: (N,).
        threshold: share and fraction, as `statistics.hulls.important` takes them.

    Raises:
        ValueError: for something that is no map, and for a support network's map that is not finite where that of
            the network is.
    """
    from pytest_saliency_sanity.perturbations import preserved
    from pytest_saliency_sanity.perturbations.restoring.streams import random_state, restoring

    before, images = random_state(), inputs.detach().clone()
    original = _map(base(model, inputs, targets.clone()), inputs)
    kept = _important(original, threshold)
    with restoring(random_state()):
        for network in networks:
            before.restore()
            with preserved(network.model):
                found = _map(base(network.model, images.clone(), targets.clone()), inputs)
            _check_finite(found, original, network.alpha)
            kept &= _important(found, threshold)
    keep = kept if original.dim() == 3 else kept.unsqueeze(1)
    return torch.where(keep | ~original.isfinite(), original, torch.zeros_like(original))


def _important(map: Tensor, threshold: tuple[float | None, float | None]) -> Tensor:
    """(N, H, W) bool."""
    from pytest_saliency_sanity.statistics.hulls import important

    flat = wide(map) if map.dim() == 3 else wide(map).sum(1)
    return important(flat.abs(), share=threshold[0], fraction=threshold[1])


def _check_finite(map: Tensor, original: Tensor, alpha: float) -> None:
    broken = ~map.isfinite().flatten(1).all(1) & original.isfinite().flatten(1).all(1)
    if broken.any():
        raise ValueError(
            f"base returned NaN or infinite values in {int(broken.sum())} of {len(map)} maps of the support network "
            f"of α = {alpha:g}; the network's own are finite."
        )


def _map(returned: Any, inputs: Tensor) -> Tensor:
    count, _, *sides = inputs.shape
    found, shapes = _real(returned), (tuple(inputs.shape), (count, 1, *sides), (count, *sides))
    if found is None:
        kind = returned.dtype if hasattr(returned, "dtype") else type(returned).__name__
        raise ValueError(
            f"gad intersects maps that are tensors or arrays of real numbers; base returned {kind}."
        )
    if tuple(found.shape) not in shapes:
        raise ValueError(
            f"gad intersects maps of shape {' or '.join(map(str, dict.fromkeys(shapes)))}; base returned "
            f"{tuple(found.shape)}."
        )
    return found


def _real(returned: Any) -> Tensor | None:
    """A floating-point tensor of it; None for what is neither a tensor nor an array of real numbers."""
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "fiub":
        single = returned.dtype.kind == "f" and returned.dtype.itemsize <= 4
        returned = torch.from_numpy(np.ascontiguousarray(returned, np.float32 if single else np.float64))
    if not isinstance(returned, Tensor) or returned.is_complex():
        return None
    return returned.detach() if returned.is_floating_point() else returned.float()
