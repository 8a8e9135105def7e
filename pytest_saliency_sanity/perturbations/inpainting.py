"""Semantic inpainting: a generator fills a region; its latents descend until the image fits the surroundings.

Yeh et al. 2017 ("Semantic image inpainting with deep generative models", section 3), which Thakur and Fischmeister
use to vary the region that a mask calls relevant. Nothing is judged here; `pytest_saliency_sanity.variations` does
that.

Ours, as scikit-image's inpaint_biharmonic knows no generator: it has one fill for an image, with .32 of the detail that
was there (`python -m tests.benchmarks.libraries inpainting`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.perturbations.noise import wide
from pytest_saliency_sanity.perturbations.weights.gradients import depends_on
from pytest_saliency_sanity.signals import is_interruption

Generator: TypeAlias = Callable[[Tensor], Tensor]
Critic: TypeAlias = Callable[[Tensor], Tensor]

BOX = 7  # pixels; the window in which Yeh et al. count the missing pixels, at 64×64
PUBLISHED_WEIGHTS = ((64, 0.1), (224, 0.005))  # pixels per side, λ: Thakur and Fischmeister
VALUES_PER_CALL = 2**22  # about 28 images of 3×224×224


@dataclass(frozen=True, eq=False)
class Inpainting:
    """What S starts came to for each of N images.

    Attributes:
        generated: (S, N, C, H, W) the generator's images, in the images' dtype; the region is cut out of them.
        latents: (S, N, *latent) in at least single precision.
        contextual: (S, N) `contextual_loss` at these latents.
        realism: (S, N) the critic's value of `generated`, or `prior_loss` without one.
    """

    generated: Tensor
    latents: Tensor
    contextual: Tensor
    realism: Tensor


@dataclass(frozen=True, eq=False)
class Descent:
    """How latents descend: Adam, at a rate that falls linearly from `learning_rate` to 0 over `steps`.

    Attributes:
        generator: latents (K, *latent) -> images (K, C, H, W), differentiable.
        critic: images (K, C, H, W) -> (K,), lower is more realistic, differentiable; None for `prior_loss`.
        realism_weight: λ, of the critic's value beside the contextual loss.
        per_call: most variants in one call of the generator.
    """

    generator: Generator
    critic: Critic | None
    steps: int
    learning_rate: float
    realism_weight: float
    per_call: int


def inpainted(images: Tensor, ring: Tensor, starts: Tensor, descent: Descent) -> Inpainting:
    """Latents that minimize contextual + λ realism, from each of S starts for each of N images.

    All variants descend side by side in calls of `per_call`; none sees another.

    Args:
        images: (N, C, H, W).
        ring: (N, H, W) weights of the contextual loss.
        starts: (S, N, *latent).
        descent: the generator and its options.

    Raises:
        TypeError, ValueError: for a generator or critic that cannot read what it is given, returns something else
            than is asked for, lets no gradient through (a critic of weight 0 may), or whose loss leaves the finite
            numbers.
    """
    count, n = starts.shape[:2]
    with entered(torch.inference_mode(False)), entered(torch.enable_grad()):
        images, ring = images.detach().clone(), ring.detach().clone()
        jobs = torch.split(torch.arange(count * n, device=images.device), descent.per_call)
        flat = starts.detach().clone().flatten(0, 1)
        results = [_descended(flat[job], images[job % n], ring[job % n], descent) for job in jobs]
    return Inpainting(
        *(torch.unflatten(torch.cat(parts), 0, (count, n)) for parts in zip(*results, strict=True))
    )


def soft_ring(masks: Tensor, box: int = BOX, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, H, W) R = (1 − B) ⊙ (B ∗ box): 0 inside the region, and outside the share of the box that lies inside.

    Yeh et al., equation 3: pixels near the region count by how much of it is in the window around them, those
    further off than half a window not at all. Beyond the image's border nothing is inside.

    Args:
        masks: (N, H, W) bool.
        box: pixels per side, odd.
        dtype: of the ring.
    """
    inside = masks.to(dtype)
    near = torch.nn.functional.avg_pool2d(inside[:, None], box, stride=1, padding=box // 2)[:, 0]
    return torch.where(masks, 0, near)


def contextual_loss(generated: Tensor, images: Tensor, ring: Tensor) -> Tensor:
    """(K,) Σ R (X − G(z))², the sum over channels and pixels, in at least single precision.

    Yeh et al., equation 4, with squares in place of absolute values. A sum, as there, for which λ was chosen: beside
    a mean the realism term outweighs the ring, and all starts end in one picture.

    Args:
        generated, images: (K, C, H, W).
        ring: (K, H, W) weights.
    """
    squares = (wide(generated) - wide(images)).square().sum(1)
    return (ring.to(squares.dtype) * squares).flatten(1).sum(1)


def prior_loss(latents: Tensor) -> Tensor:
    """(K,) half the mean square of latents (K, *latent): −log of the standard normal density, for each number."""
    return latents.flatten(1).square().mean(1) / 2


def published_weight(side: int) -> float:
    """λ for images of so many pixels per side: .1 up to 64, .005 from 224, between them on a straight line of logs."""
    (small, high), (large, low) = PUBLISHED_WEIGHTS
    share = math.log(min(max(side, small), large) / small) / math.log(large / small)
    return float(high * (low / high) ** share)


def variants_per_call(images: Tensor, batch_size: int | None) -> int:
    """How many variants of images (N, C, H, W) go through a network at a time: `batch_size`, or what fits."""
    return batch_size or max(1, VALUES_PER_CALL // images[0].numel())


def generated_images(generator: Generator, latents: Tensor, images: Tensor) -> Tensor:
    """What the generator makes of latents (K, *latent): of the shape of `images` (K, C, H, W), or an error."""
    latents = latents.to(images.dtype)
    with named_failures("generator", generator, "the latents of latent= or starts=,", latents):
        made = generator(latents)
    if not isinstance(made, Tensor) or not made.is_floating_point():
        kind = made.dtype if isinstance(made, Tensor) else type(made).__name__
        raise TypeError(f"generator must return a tensor of floating-point images, got {kind}.")
    if made.shape != images.shape:
        raise ValueError(
            f"generator must make images {tuple(images.shape)} of latents {tuple(latents.shape)}, the shape of the "
            f"inputs, got {tuple(made.shape)}."
        )
    return made


@contextlib.contextmanager
def named_failures(name: str, part: Any, what: str, given: Tensor) -> Iterator[None]:
    """Within this context a RuntimeError or IndexError of torch becomes a ValueError that names part and tensor.

    Not running out of memory, which says so itself.

    Args:
        name: of the part, as the user knows it.
        part: what is called; if it is a module or a method of one, dtypes that clash are named.
        what: `given` is, in the plural.
        given: what the part is called with.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, IndexError) as error:
        if is_interruption(error):
            raise
        raise ValueError(_failure(name, part, what, given, error)) from error


def module_of(part: Any) -> nn.Module | None:
    """A module itself, or the one whose method is given."""
    owner = getattr(part, "__self__", part)
    return owner if isinstance(owner, nn.Module) else None


def _failure(name: str, part: Any, what: str, given: Tensor, error: Exception) -> str:
    held = _dtypes(module_of(part))
    told = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '').rstrip('.')}"
    if held and given.dtype not in held:
        return (
            f"{name} is of {' and '.join(sorted(map(str, held)))}, but is given {given.dtype}, and nothing is "
            f"cast automatically: convert {name} and inputs to one dtype ({told})."
        )
    return f"{name} fails on {what} of shape {tuple(given.shape)} and {given.dtype} ({told})."


def _dtypes(module: nn.Module | None) -> set[torch.dtype]:
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def _descended(start: Tensor, images: Tensor, ring: Tensor, descent: Descent) -> tuple[Tensor, ...]:
    """The generated images, latents, contextual losses and realism of K variants at the end."""
    latents = wide(start).requires_grad_()
    optimizer = torch.optim.Adam([latents], descent.learning_rate)
    for step in range(descent.steps):
        optimizer.param_groups[0]["lr"] = descent.learning_rate * (1 - step / descent.steps)
        _, contextual, realism = _losses(latents, images, ring, descent, step)
        if step == 0:
            _check_reached(latents, contextual, realism, descent)
        # Of the latents alone: nothing is left on the parameters of the generator and the critic.
        (latents.grad,) = torch.autograd.grad(_total(contextual, realism, descent), [latents])
        optimizer.step()
    latents = latents.detach()
    with entered(torch.no_grad()):
        made, contextual, realism = _losses(latents, images, ring, descent, descent.steps)
    return made.to(images.dtype), latents, contextual, realism


def _losses(
    latents: Tensor, images: Tensor, ring: Tensor, descent: Descent, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    made = generated_images(descent.generator, latents, images)
    contextual = contextual_loss(made, images, ring)
    realism = prior_loss(latents) if descent.critic is None else _judged(descent.critic, made)
    _check_finite(contextual, realism, descent, step)
    return made, contextual, realism


def _judged(critic: Critic, made: Tensor) -> Tensor:
    """(K,) the critic's values; one number per image in any shape will do."""
    with named_failures("critic", critic, "images", made):
        values: Any = critic(made)
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise TypeError(f"critic must return a tensor of floating-point numbers, got {kind}.")
    if values.dim() == 0 or len(values) != len(made) or values.numel() != len(made):
        raise ValueError(
            f"critic must return one number per image, ({len(made)},) for images {tuple(made.shape)}, "
            f"got {tuple(values.shape)}."
        )
    return wide(values.flatten())


def _total(contextual: Tensor, realism: Tensor, descent: Descent) -> Tensor:
    # A sum over variants: the gradient of each is its own.
    return (contextual + descent.realism_weight * realism).sum()


def _check_finite(contextual: Tensor, realism: Tensor, descent: Descent, step: int) -> None:
    for name, values in (("contextual loss", contextual), ("realism", realism)):
        if not values.isfinite().all():
            rate = f"during the descent: lower learning_rate, which is {descent.learning_rate!r}, or"
            raise ValueError(
                f"The {name} became {values[~values.isfinite()][0].item()} {rate if step else 'at the starts:'} look "
                "at what the generator and the critic return."
            )


def _check_reached(latents: Tensor, contextual: Tensor, realism: Tensor, descent: Descent) -> None:
    if not depends_on(contextual, latents):
        raise ValueError(
            "No gradient reaches the latents: the generator detaches them, runs under torch.no_grad() or leaves torch."
        )
    if descent.realism_weight and not depends_on(realism, latents):
        raise ValueError(
            "No gradient passes the critic, which detaches the images, runs under torch.no_grad() or leaves torch, so "
            f"that a realism_weight of {descent.realism_weight!r} would have no effect: fix the critic, or pass "
            "realism_weight=0 to only measure realism."
        )
