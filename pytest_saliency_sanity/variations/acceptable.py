"""Variations of the region that a map calls relevant: how they are made, and what the model predicts for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity import settings
from pytest_saliency_sanity.loans import loan
from pytest_saliency_sanity.outputs import Forward, current_forward
from pytest_saliency_sanity.perturbations.inpainting import (
    BOX,
    Critic,
    Descent,
    Generator,
    inpainted,
    module_of,
    published_weight,
    soft_ring,
    variants_per_call,
)
from pytest_saliency_sanity.perturbations.restoring.modes import in_evaluation_mode
from pytest_saliency_sanity.perturbations.restoring.preservation import preserved
from pytest_saliency_sanity.perturbations.restoring.streams import replayed
from pytest_saliency_sanity.text import shown
from pytest_saliency_sanity.variations.outcome import Variations
from pytest_saliency_sanity.variations.reading import (
    are_probabilities,
    classes,
    kept_classes,
    probabilities,
    scores,
)
from pytest_saliency_sanity.variations.region import regions
from pytest_saliency_sanity.variations.starts import check_generated, starting_latents

STEPS, LEARNING_RATE = 300, 0.1
TOLERANCE = 0.1


def acceptable_variations(
    model: Any,
    generator: Generator,
    inputs: Tensor,
    map: Tensor,
    targets: Any = None,
    *,
    share: float | None = None,
    fraction: float | None = None,
    hull: bool = True,
    latent: int | tuple[int, ...] | None = None,
    starts: int | Tensor | Callable[[Tensor], Tensor] = 8,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    box: int = BOX,
    critic: Critic | None = None,
    realism_weight: float | None = None,
    tolerance: float = TOLERANCE,
    value_range: tuple[float, float] | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    forward: Forward | None = None,
) -> Variations:
    """Fill the region that a map calls relevant anew, several times, and read which variants keep the class.

    Thakur and Fischmeister, problem 2: semantic inpainting (Yeh et al. 2017) with the mask of an explanation.
    From each start, z′ descends (Adam, with a learning rate that falls to 0) on

        L = Σ R (X − G(z′))² + λ · realism,    R = (1 − B) ⊙ (B ∗ box)

    and X′ = X ⊙ (1 − B) + B ⊙ G(z′). The poster calls the first term L_Reconstruction and the second L_Contextual.

    The region of a float map is, by default, the convex hull of its most important pixels without the isolated ones.
    The pixels themselves are often scattered, with holes between them. What shows through the holes ties the generator
    to the original inside the region as well as around it, and all variants then repeat the image.

    Args:
        model: the network, run in evaluation mode; it is restored afterwards, like the generator and the critic. All
            three have to accept the dtype of `inputs`: nothing is cast.
        generator: any differentiable callable, latents (K, *latent) -> images (K, C, H, W) in the units of `inputs`.
            A module, or a method of one, runs in evaluation mode; the modules in any other function as they are.
        inputs: (N, C, H, W) floating point, finite.
        map: boolean masks (N, H, W) or (N, 1, H, W), which are B; or an explainer's maps (N, C, H, W), (N, 1, H, W)
            or (N, H, W), of which channels are summed. Pass `map.abs()` where the sign does not matter.
        targets: (N,) int64, the class to keep; None means the model's own prediction. For a single logit the only
            target is 0: what has to be kept is the side of 0 that the logit is on, and its probability is the sigmoid,
            or 1 minus the sigmoid. If a model ends in a sigmoid or a softmax, its outputs are the probabilities, and
            the threshold is .5.
        share, fraction: how much of a float map is important, at most one of both: a share of the pixels (by default
            .05), or those of at least this fraction of the maximum.
        hull: take the hull of the important pixels; False takes them as they are.
        latent: the size or shape of one latent; needed unless `starts` gives latents.
        starts: the number of starts, drawn from a standard normal; or latents (S, *latent); or a function inputs ->
            latents (S, N, *latent), such as an encoder with noise. All but the function's are the same for every image.
        steps: steps of the descent.
        learning_rate: Adam's, at the first step.
        box: side of the window in pixels, odd; the ring is half as wide.
        critic: callable, images (K, C, H, W) -> (K,), lower is more realistic, such as −log D(G(z)). None means the
            standard normal prior on the latents, half the mean of their squares: right for a generator trained with
            that prior (VAE, GAN, flow), mere shrinkage for any other. Its gradient may be 0, as where a hinge loss is
            satisfied, but has to reach the images unless `realism_weight` is 0.
        realism_weight: λ. The default depends on the image's shorter side: the published values .1 up to 64 pixels
            and .005 from 224, and a power law between them. The larger it is, the more similar the variants.
        tolerance: how far the probability of the class may move and still count as kept.
        value_range: the lowest and highest value that an image can have, if `inputs` use only a part of that range.
        seed: seed of the starts; None means the run's.
        batch_size: most images in one call of a network; changes nothing but rounding.
        forward: function (model, inputs) -> logits, for models that return something else.

    Returns:
        The `Variations`; print it for a table.

    Raises:
        TypeError, ValueError: for bad arguments, in one sentence; for a region that is empty or leaves nothing around
            it; for a network that fails on the shape or dtype it is given; for generated images of another shape or
            in other units than the inputs; for a critic or generator that lets no gradient pass; for a loss or logits
            that are not finite.
    """
    _check_inputs(inputs)
    _check_functions(model, generator, critic, forward)
    _check_options(hull, steps, learning_rate, box, realism_weight, tolerance, batch_size)
    seed = settings.overridden(settings.current(), seed=seed).seed
    inputs, masks = inputs.detach(), regions(map, inputs, share, fraction, hull)
    weight = published_weight(min(inputs.shape[2:])) if realism_weight is None else float(realism_weight)
    per_call = variants_per_call(inputs, batch_size)
    descent = Descent(generator, critic, steps, learning_rate, weight, per_call)
    with _as_they_were(model, generator, critic), replayed(seed):
        before = scores(model, inputs, forward, per_call)
        ready = are_probabilities(model, inputs, forward, before)
        kept = kept_classes(targets, before, ready)
        began = starting_latents(starts, latent, inputs, seed)
        check_generated(descent, began, inputs, value_range)
        ring = soft_ring(masks, box, torch.promote_types(inputs.dtype, torch.float32))
        found = inpainted(inputs, ring, began, descent)
        images = torch.where(masks[:, None], found.generated, inputs)
        after = scores(model, images, forward, per_call)
    return Variations(
        images, masks, ring, found.generated, found.latents, found.contextual, found.realism,
        targets=kept, tolerance=float(tolerance),
        predicted_before=classes(before, ready), confidence_before=probabilities(before, kept, ready),
        predicted=classes(after, ready), confidence=probabilities(after, kept, ready),
    )  # fmt: skip


@loan
def _as_they_were(*parts: Any) -> Iterator[None]:
    """Within this context the modules among or behind `parts` are in evaluation mode; afterwards as before."""
    modules = {id(module): module for module in map(module_of, parts) if module is not None}
    with _all_preserved(list(modules.values())):
        for module in modules.values():
            in_evaluation_mode(module)
        yield


@loan
def _all_preserved(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    if not modules:
        yield
        return
    with preserved(modules[0]), _all_preserved(modules[1:]):
        yield


def _check_inputs(inputs: Any) -> None:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        kind = inputs.dtype if isinstance(inputs, Tensor) else type(inputs).__name__
        raise TypeError(f"inputs must be one floating-point tensor (N, C, H, W), got {kind}.")
    if inputs.ndim != 4 or not inputs.numel():
        raise ValueError(f"inputs must be images (N, C, H, W), at least one, got {tuple(inputs.shape)}.")
    broken = ~inputs.isfinite()
    if broken.any():
        image = int(broken.nonzero()[0, 0])
        raise ValueError(f"inputs must be finite, got {inputs[broken][0].item()} in image {image}.")


def _check_functions(model: Any, generator: Any, critic: Any, forward: Any) -> None:
    if forward is not None and not callable(forward):
        raise TypeError(
            f"forward must be a function (model, inputs) -> logits, or None, got {shown(forward)}."
        )
    if not callable(model) and forward is None and current_forward() is None:
        raise TypeError(
            f"model must be a function images -> logits, or be called by forward=, got {shown(model)}."
        )
    if not callable(generator):
        raise TypeError(f"generator must be a function latents -> images, got {shown(generator)}.")
    if critic is not None and not callable(critic):
        raise TypeError(f"critic must be a function images -> (K,), or None, got {shown(critic)}.")


def _check_options(
    hull: Any, steps: Any, learning_rate: Any, box: Any, realism_weight: Any, tolerance: Any, batch_size: Any
) -> None:
    if not isinstance(hull, bool):
        raise ValueError(f"hull must be True or False, got {shown(hull)}.")
    _check_whole("steps", steps, 0)
    _check_whole("batch_size", 1 if batch_size is None else batch_size, 1)
    _check_number("learning_rate", learning_rate, above=True)
    _check_number("realism_weight", 0 if realism_weight is None else realism_weight)
    _check_number("tolerance", tolerance)
    if isinstance(box, bool) or not isinstance(box, int) or box < 3 or box % 2 == 0:
        raise ValueError(f"box must be an odd number of pixels, at least 3, got {shown(box)}.")


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {shown(value)}.")


def _check_number(name: str, value: Any, above: bool = False) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0 or (above and value == 0):
        raise ValueError(
            f"{name} must be a number {'above 0' if above else 'of 0 or more'}, got {shown(value)}."
        )
