"""Gradient artificial distancing (Rodrigues, Boutry and Najman): what stays important as two classes move apart."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.explainers.distancing_options import (
    check_images,
    check_model,
    check_threshold,
    checked_agreement,
    checked_alphas,
    checked_cache,
    checked_data,
    checked_regression,
    of_the_classes,
)
from pytest_saliency_sanity.explainers.inputs import whole_number
from pytest_saliency_sanity.explainers.intersection import intersection
from pytest_saliency_sanity.text import shown

# What trains and stores networks is imported where it is used: most who import explainers never do.
if TYPE_CHECKING:
    from pytest_saliency_sanity.trained_networks.logit_regression import Regression
    from pytest_saliency_sanity.trained_networks.pairs import Pair
    from pytest_saliency_sanity.trained_networks.support import Support

ALPHAS = (2.0, 4.0, 6.0, 8.0)
SHARE = 0.5  # of the pixels, the paper's experiments; its figure 4 takes a tenth of the maximum
# On four networks of digits, agreements from .90 to .92 went with a mean distance of .86 to .90 of alpha, and those
# below .8 with at most .73: such a network of alpha = 8 is nearer than the one of 6 ought to be.
MIN_AGREEMENT = 0.9


class DistancingWarning(UserWarning):
    """A support network did not learn its distance and is left out."""


class NotDistanced(RuntimeError):
    """No support network has learned its distance."""


@dataclass(frozen=True, repr=False)
class ArtificialDistancing:
    """An explainer that keeps the parts of another explainer's map that are important in every support network.

    Attributes:
        base: the explainer whose maps are intersected.
        images: what the support networks are trained on.
        alphas: the distances, above 0.
        regression: how they are trained.
        share, fraction: what `statistics.hulls.important` takes; one is None.
        min_agreement: below which a support network is left out.
        seed: of the training.
        cache: the directory of trained networks; None means the run's.
    """

    base: Callable[..., Any]
    images: Pair
    alphas: tuple[float, ...]
    regression: Regression
    share: float | None
    fraction: float | None
    min_agreement: float
    seed: int
    cache: Path | None = field(default=None)

    def __call__(self, model: Any, inputs: Tensor, targets: Any) -> Tensor:
        """The map of `base`, of its shape and with its values where they stay, else 0; what is not finite stays.

        Args:
            model: its support networks are trained unless they are cached.
            inputs: (N, C, H, W).
            targets: (N,) of the two classes.

        Raises:
            TypeError, ValueError: for other inputs, targets and maps, and for maps of a support network that are not
                finite where the model's is; in one sentence.
            NotDistanced: when every regression has an agreement below `min_agreement`.
        """
        check_images(inputs)
        targets = of_the_classes(targets, len(inputs), self.images.classes)
        networks = _distanced(self.supports(model), self)
        return intersection(self.base, model, networks, inputs, targets, (self.share, self.fraction))

    def supports(self, model: Any, deadline: float = math.inf) -> tuple[Support, ...]:
        """The support networks of `model`, one for each alpha, with those that did not learn their distance.

        Args:
            deadline: `time.monotonic()` at which training ends; an explainer that is called has none.

        Raises:
            ValueError: for a model that cannot be copied or trained, or does not take the data.
            trained_networks.logit_regression.Unfinished, trained_networks.store.Busy: when the deadline has passed.
        """
        from pytest_saliency_sanity.trained_networks.support import supports

        check_model(model)
        return supports(
            model, self.images, self.alphas, self.regression,
            seed=self.seed, cache=directory(self.cache), stream=settings.current().progress,
            deadline=deadline,
        )  # fmt: skip

    def agreements(self, model: Any) -> dict[float, float]:
        """The agreement of each support network of `model` with its targets, by alpha.

        It is 1 - sum (out - target)² / sum (f - target)² over the data: 0 for an untouched copy, 1 for a perfect one.
        """
        return {found.alpha: found.agreement for found in self.supports(model)}

    @property
    def __name__(self) -> str:
        return f"gad({_name(self.base)})"

    def __repr__(self) -> str:
        threshold = f"share={self.share}" if self.fraction is None else f"fraction={self.fraction}"
        return (
            f"gad({_name(self.base)}, classes={self.images.classes}, alphas={self.alphas}, "
            f"epochs={self.regression.epochs}, {threshold})"
        )


def gad(
    base: Callable[..., Any],
    data: Any,
    *,
    classes: tuple[int, int],
    alphas: Sequence[float] = ALPHAS,
    epochs: int = 10,
    learning_rate: float = 4e-5,
    batch_size: int = 32,
    share: float | None = None,
    fraction: float | None = None,
    min_agreement: float = MIN_AGREEMENT,
    seed: int = 0,
    cache: str | Path | None = None,
) -> ArtificialDistancing:
    """An explainer: the pixels of the map of `base` that are important in the network and in all support networks.

    Rodrigues, Boutry and Najman. A support network starts at the network's weights and regresses its logits with
    alpha subtracted from the other class's. The map is A · prod over alpha of 1[|A_alpha| important], where A is the
    network's map of `base` (alpha = 0 counts as one of the alphas), and important are the pixels that
    `statistics.hulls.important` chooses from the map summed over its channels, whatever the sign. The paper does not
    say what "present in all maps" means; with this reading no new pixel can appear.

    The support networks are trained for the network that the explainer is called with, in evaluation mode, and cached
    by its weights. A map of a stochastic `base` draws the same numbers for every network, and moves the global
    generators as far as `base` alone does.

    Args:
        base: callable (model, inputs, targets) -> map of shape (N, C, H, W), (N, 1, H, W) or (N, H, W), a tensor or
            an array of real numbers.
        data: images (N, C, H, W) of the two classes; or a pair (images, labels) or a map-style dataset of (image,
            label), of which other classes are left out. Without labels an image is of the class that the network
            ranks higher of the two.
        classes: the two that are moved apart; targets must be one of them.
        alphas: distances in logits, above 0; the network itself is alpha = 0, and needs no training.
        epochs, learning_rate, batch_size: options of Adam. The defaults are the paper's, for large networks: small ones
            need more epochs.
        share: the share of the pixels that are important; half by default, as in the paper's experiments.
        fraction: instead of `share`, the fraction of the maximum from which pixels are important; a tenth in the
            paper's figure 4.
        min_agreement: a support network with a smaller agreement is left out, with a `DistancingWarning`.
        seed: seed of the training.
        cache: directory of trained networks; None means the run's (in pytest, its cache directory).

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence.
    """
    if not callable(base):
        raise TypeError(f"base must be an explainer (model, inputs, targets) -> map, got {shown(base)}.")
    if share is None and fraction is None:
        share = SHARE
    check_threshold(share, fraction)
    return ArtificialDistancing(
        base=base,
        images=checked_data(data, classes),
        alphas=checked_alphas(alphas),
        regression=checked_regression(epochs, learning_rate, batch_size),
        share=share,
        fraction=fraction,
        min_agreement=checked_agreement(min_agreement),
        seed=whole_number("seed", seed, least=0),
        cache=checked_cache(cache),
    )


# The support networks.


def _distanced(found: tuple[Support, ...], explainer: ArtificialDistancing) -> list[Support]:
    """Those that have learned their distance; the others are warned of."""
    good = [network for network in found if network.agreement >= explainer.min_agreement]
    left_out = [network for network in found if network.agreement < explainer.min_agreement]
    if not good:
        raise NotDistanced(
            f"no support network has learned its distance: {'; '.join(map(_fit, left_out))}, where "
            f"{explainer.min_agreement:g} is needed; {advice(left_out)}"
        )
    for network in left_out:
        warnings.warn(
            f"gad leaves out the support network of {_fit(network)}, where {explainer.min_agreement:g} is needed; "
            f"{network.advice}",
            DistancingWarning,
            stacklevel=3,
        )
    return good


def _fit(network: Support) -> str:
    return f"α = {network.alpha:g}, agreement {network.shown} after {network.epochs} epochs"


def advice(lost: Sequence[Support]) -> str:
    """Advice on how support networks may reach their distances: that of the worst of them."""
    return min(lost, key=lambda network: network.agreement).advice


def directory(cache: str | Path | None) -> Path | None:
    """Where networks are cached: the directory that is given, or the run's."""
    from pytest_saliency_sanity.trained_networks import store

    chosen = settings.current().cache if cache is None else cache
    return None if chosen is None else store.folder(chosen)


def _name(base: Any) -> str:
    if isinstance(base, functools.partial):
        return _name(base.func)
    return getattr(base, "__name__", None) or type(base).__name__
