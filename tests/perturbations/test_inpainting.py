"""Inpainting, beside a slow reference: one pixel and one pixel of its window at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.perturbations.inpainting import (
    Descent,
    contextual_loss,
    inpainted,
    prior_loss,
    published_weight,
    soft_ring,
    variants_per_call,
)

LATENT, SHAPE = 5, (2, 9, 8)
close = torch.testing.assert_close


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear_generator(seed: int = 0) -> tuple[Tensor, Tensor, Any]:
    """A (C·H·W, d), b (C·H·W,), and z → A z + b as images."""
    matrix, bias = drawn(math.prod(SHAPE), LATENT, seed=seed), drawn(math.prod(SHAPE), seed=seed + 1)
    return matrix, bias, lambda z: (z @ matrix.T + bias).view(-1, *SHAPE)


def masks_of(n: int = 3) -> Tensor:
    """A block inside the frame, one at its corner, one pixel."""
    masks = torch.zeros(n, *SHAPE[1:], dtype=torch.bool)
    masks[0, 3:6, 2:5] = masks[1, 6:, 5:] = masks[2, 4, 4] = True
    return masks


def setting(**options: Any) -> tuple[Tensor, Tensor, Tensor, Descent]:
    """Images, their rings, four starts for each, and how they descend with a linear generator."""
    images, starts = drawn(3, *SHAPE, seed=3), drawn(4, 3, LATENT, seed=4)
    descent = Descent(linear_generator()[2], None, 400, 0.1, 0.0, 100)
    return images, soft_ring(masks_of(), 5, torch.float64), starts, replace(descent, **options)


# The reference, from the formula.


def slow_ring(mask: Tensor, box: int) -> Tensor:
    ring = torch.zeros(mask.shape, dtype=torch.float64)
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            window = [
                bool(mask[k, m])
                for k in range(i - box // 2, i + box // 2 + 1)
                for m in range(j - box // 2, j + box // 2 + 1)
                if 0 <= k < mask.shape[0] and 0 <= m < mask.shape[1]
            ]
            ring[i, j] = 0 if mask[i, j] else sum(window) / box**2
    return ring


def slow_contextual(generated: Tensor, image: Tensor, ring: Tensor) -> float:
    channels, height, width = image.shape
    return sum(
        float(ring[i, j]) * (float(image[c, i, j]) - float(generated[c, i, j])) ** 2
        for c in range(channels)
        for i in range(height)
        for j in range(width)
    )


@pytest.mark.parametrize("box", [3, 5, 7, 11])
def test_the_ring_equals_the_reference(box: int) -> None:
    for mask, ring in zip(masks_of(), soft_ring(masks_of(), box, torch.float64), strict=True):
        close(ring, slow_ring(mask, box))


@pytest.mark.parametrize("seed", range(4))
def test_the_contextual_loss_equals_the_reference(seed: int) -> None:
    generated, images = drawn(3, *SHAPE, seed=seed), drawn(3, *SHAPE, seed=seed + 10)
    ring = soft_ring(masks_of(), 5, torch.float64)
    expected = [slow_contextual(*one) for one in zip(generated, images, ring, strict=True)]
    close(contextual_loss(generated, images, ring).tolist(), expected)


def test_the_prior_is_half_the_mean_square() -> None:
    latents = drawn(3, 4, 1, 2)
    expected = [sum(float(value) ** 2 for value in one.flatten()) / 8 / 2 for one in latents]
    close(prior_loss(latents).tolist(), expected)


@pytest.mark.parametrize("weight", [0.0, 0.1, 3.0])
def test_a_linear_generator_reaches_the_least_squares_on_the_ring(weight: float) -> None:
    # Σ R (A z + b − x)² + λ/2 mean z² is least where (2 Aᵀ R A + λ/d) z = 2 Aᵀ R (x − b).
    images, ring, starts, descent = setting(realism_weight=weight, steps=800)
    matrix, bias, _ = linear_generator()
    found = inpainted(images, ring, starts, descent)
    for i in range(len(images)):
        rings = ring[i].expand(SHAPE).flatten()
        normal = 2 * matrix.T @ (rings[:, None] * matrix) + weight / LATENT * torch.eye(LATENT)
        right = 2 * matrix.T @ (rings * (images[i].flatten() - bias))
        expected = torch.linalg.solve(normal, right)
        # A convex loss: all starts end at its one minimum.
        close(found.latents[:, i], expected.expand(4, -1), atol=1e-4, rtol=1e-4)


def slow_descent(
    start: Tensor, image: Tensor, ring: Tensor, weight: float, steps: int, rate: float
) -> Tensor:
    """Adam (Kingma and Ba 2015, algorithm 1) on one latent of the linear generator, its rate on a line to 0."""
    matrix, bias, _ = linear_generator()
    rings, z = ring.expand(SHAPE).flatten(), start.clone()
    first, second = torch.zeros_like(z), torch.zeros_like(z)
    for t in range(1, steps + 1):
        gradient = 2 * matrix.T @ (rings * (matrix @ z + bias - image.flatten())) + weight * z / LATENT
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        falling = rate * (steps - (t - 1)) / steps
        z = z - falling * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
    return z


@pytest.mark.parametrize("steps", [1, 2, 9, 40])
@pytest.mark.parametrize("rate, weight", [(0.1, 0.0), (0.03, 5.0)])
def test_the_descent_equals_the_reference_whose_rate_falls_to_0(
    steps: int, rate: float, weight: float
) -> None:
    images, ring, starts, descent = setting(steps=steps, learning_rate=rate, realism_weight=weight)
    found = inpainted(images, ring, starts, descent)
    for start in range(4):
        for i in range(len(images)):
            expected = slow_descent(starts[start, i], images[i], ring[i], weight, steps, rate)
            close(found.latents[start, i], expected)


def test_what_comes_back_is_of_the_last_latents() -> None:
    images, ring, starts, descent = setting(steps=3, realism_weight=0.5)
    found = inpainted(images, ring, starts, descent)
    for start in range(4):
        close(found.generated[start], descent.generator(found.latents[start]))
        close(found.contextual[start], contextual_loss(found.generated[start], images, ring))
        close(found.realism[start], prior_loss(found.latents[start]))


def test_without_a_step_the_starts_come_back() -> None:
    images, ring, starts, descent = setting(steps=0)
    close(inpainted(images, ring, starts, descent).latents, starts)


@pytest.mark.parametrize("weight", [1.0, 30.0])
def test_a_critic_pulls_by_its_weight(weight: float) -> None:
    # A critic that wants gray images of 2: Σ R (A z + b − x)² + λ mean (A z + b − 2)².
    images, ring, starts, descent = setting(
        critic=lambda made: (made - 2).square().mean((1, 2, 3)), realism_weight=weight, steps=800
    )
    matrix, bias, _ = linear_generator()
    found = inpainted(images, ring, starts, descent)
    for i in range(len(images)):
        rings = ring[i].expand(SHAPE).flatten()
        pixels = rings + weight / len(bias)
        right = matrix.T @ (rings * (images[i].flatten() - bias) + weight / len(bias) * (2 - bias))
        expected = torch.linalg.solve(matrix.T @ (pixels[:, None] * matrix), right)
        close(found.latents[:, i], expected.expand(4, -1), atol=1e-4, rtol=1e-4)


def test_a_critic_may_return_a_column() -> None:
    images, ring, starts, descent = setting(steps=3, realism_weight=1.0)
    flat, column = (
        inpainted(images, ring, starts, replace(descent, critic=critic))
        for critic in (lambda made: made.mean((1, 2, 3)), lambda made: made.mean((1, 2, 3))[:, None])
    )
    assert torch.equal(flat.latents, column.latents)


@pytest.mark.parametrize("per_call", [1, 5, 12])
def test_the_size_of_a_call_changes_nothing_but_rounding(per_call: int) -> None:
    sizes = []
    images, ring, starts, descent = setting(steps=40)
    one = inpainted(images, ring, starts, descent)

    def counted(z: Tensor) -> Tensor:
        sizes.append(len(z))
        return descent.generator(z)

    other = inpainted(images, ring, starts, replace(descent, generator=counted, per_call=per_call))
    close(other.generated, one.generated)
    assert max(sizes) == per_call


def test_no_gradient_is_left_and_gradients_may_be_off() -> None:
    generator = nn.Sequential(nn.Linear(LATENT, math.prod(SHAPE)), nn.Unflatten(1, SHAPE)).double()
    images, ring, starts, descent = setting(generator=generator, steps=4)
    with torch.no_grad():
        off = inpainted(images, ring, starts, descent)
    with torch.inference_mode():
        inference = inpainted(images, ring, starts, descent)
    assert torch.equal(off.latents, inference.latents) and not torch.equal(off.latents, starts)
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert not off.latents.requires_grad and not off.generated.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_generator_runs_in_the_dtype_of_the_images(dtype: torch.dtype) -> None:
    matrix = linear_generator()[0].to(dtype)
    images, ring, starts, descent = setting(generator=lambda z: (z @ matrix.T).view(-1, *SHAPE), steps=5)
    found = inpainted(images.to(dtype), ring.float(), starts.to(dtype), descent)
    assert found.generated.dtype == dtype and found.latents.dtype == found.contextual.dtype == torch.float32


@pytest.mark.parametrize("side, weight", [(28, 0.1), (64, 0.1), (224, 0.005), (512, 0.005)])
def test_the_published_weights(side: int, weight: float) -> None:
    assert published_weight(side) == pytest.approx(weight)


def test_between_them_the_weight_follows_a_power_law() -> None:
    middle = math.sqrt(64 * 224)
    assert published_weight(round(middle)) == pytest.approx(math.sqrt(0.1 * 0.005), rel=0.01)


def test_about_28_photographs_a_call() -> None:
    assert variants_per_call(torch.zeros(1, 3, 224, 224), None) == 27
    assert variants_per_call(torch.zeros(1, 3, 224, 224), 4) == 4


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"generator": lambda z: [z]}, TypeError, "generator must return a tensor of floating-point images, got list"),
        ({"generator": lambda z: z.long()}, TypeError, "floating-point images, got torch.int64"),
        ({"generator": lambda z: z}, ValueError,
         r"generator must make images \(12, 2, 9, 8\) of latents \(12, 5\), .* got \(12, 5\)\."),
        ({"generator": lambda z: linear_generator()[2](z.detach())}, ValueError, "No gradient reaches the latents: "),
        ({"critic": lambda made: 0.5}, TypeError, "critic must return a tensor of floating-point numbers, got float"),
        ({"critic": lambda made: made.mean()}, ValueError,
         r"critic must return one number per image, \(12,\) for images \(12, 2, 9, 8\), got \(\)\."),
        ({"critic": lambda made: made.mean((2, 3))}, ValueError, r"got \(12, 2\)\."),
        ({"critic": lambda made: made.mean((1, 2, 3)) / 0}, ValueError,
         "The realism became -?inf at the starts: look at what the generator and the critic return"),
        ({"generator": lambda z: linear_generator()[2](z) / 0}, ValueError,
         "The contextual loss became (inf|nan) at the starts: look at"),
        ({"generator": lambda z: linear_generator()[2](z).exp(), "learning_rate": 1e4}, ValueError,
         r"The contextual loss became (inf|nan) during the descent: lower learning_rate, which is 10000.0, or "
         r"look at"),
    ],
)  # fmt: skip
def test_a_generator_or_critic_that_cannot_be_used(options: Any, error: type, message: str) -> None:
    images, ring, starts, descent = setting(**options)
    with pytest.raises(error, match=message):
        inpainted(images, ring, starts, descent)
