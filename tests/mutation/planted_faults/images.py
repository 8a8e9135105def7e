"""The wrong image is explained, or none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.mutation.planted_faults.fault import Explainer, Fault, stateless
from tests.mutation.right import STEPS, gradient, integrated_gradients, occlusion


def of_flipped_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs.flip(3), targets)


def of_noise_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, torch.rand_like(inputs), targets)


def of_black_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """One map per class, which uses no image."""
    return gradient(model, torch.zeros_like(inputs), targets)


def black_gradient_x_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return inputs * gradient(model, torch.zeros_like(inputs), targets)


def normalized_twice(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, (inputs - 0.5) / 0.25, targets)


def divided_by_255(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs / 255, targets)


def negative_image(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, 1 - inputs, targets)


def far_too_noisy(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    noisy = [inputs + 15 * torch.randn_like(inputs) for _ in range(16)]
    return torch.stack([gradient(model, one, targets) for one in noisy]).mean(0)


def image_x_its_mean_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return inputs * gradient(model, inputs, targets).mean((1, 2, 3), keepdim=True)


def image_forgotten(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradient(model, inputs, targets)


def path_beyond_the_image(model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS) -> Tensor:
    shares = [1 + (step + 0.5) / steps for step in range(steps)]
    return inputs * torch.stack([gradient(model, share * inputs, targets) for share in shares]).mean(0)


def interpolated_in_wrong_order(
    model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS
) -> Tensor:
    """The steps of all images in one batch: laid out image by image, taken apart step by step."""
    shares = torch.tensor([(step + 0.5) / steps for step in range(steps)]).view(1, steps, 1, 1, 1)
    path = (shares * inputs[:, None]).flatten(0, 1)
    gradients = gradient(model, path, targets.repeat_interleave(steps))
    return inputs * gradients.view(steps, *inputs.shape).mean(0)


def steps_summed(model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS) -> Tensor:
    return steps * integrated_gradients(model, inputs, targets, steps)


def saved_baseline() -> Explainer:
    """The baseline is the first image that it was ever given, where zero is meant."""
    kept: list[Tensor] = []

    def baseline_of_another_image(
        model: nn.Module, inputs: Tensor, targets: Tensor, steps: int = STEPS
    ) -> Tensor:
        if not kept:
            kept.append(inputs[:1].detach().clone())
        base = kept[0].expand_as(inputs)
        shares = [(step + 0.5) / steps for step in range(steps)]
        path = (gradient(model, base + share * (inputs - base), targets) for share in shares)
        return (inputs - base) * torch.stack(list(path)).mean(0)

    return baseline_of_another_image


def filled_from_neighbor(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return occlusion(model, inputs, targets, fill=inputs.roll(1, 0))


def wrong_input_of_two(
    model: nn.Module, inputs: tuple[Tensor, Tensor], targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Each of the two inputs gets the other one's map."""
    with torch.enable_grad():
        leaves = [part.detach().clone().requires_grad_() for part in inputs]
        score = model(*leaves).gather(1, targets[:, None]).sum()
        first, second = torch.autograd.grad(score, leaves)
    return second, first


FAULTS = (
    stateless("the gradient at the mirrored image, not mirrored back", "gradient", of_flipped_image),
    stateless("the gradient at an image of noise", "gradient", of_noise_image),
    stateless("the gradient at a black image: one map per class", "gradient", of_black_image),
    stateless("the image times the gradient at a black image", "integrated_gradients", black_gradient_x_image),
    stateless("the image is normalized twice", "gradient", normalized_twice),
    stateless("the image is divided by 255 once more", "gradient", divided_by_255),
    stateless("the image's negative is explained", "gradient", negative_image),
    stateless("noise a hundred times too strong", "smoothgrad", far_too_noisy),
    stateless("the image times the mean of its gradient", "input_x_gradient", image_x_its_mean_gradient),
    stateless("the factor x is forgotten", "input_x_gradient", image_forgotten),
    stateless("the path runs from the image away, not from zero to it", "integrated_gradients", path_beyond_the_image),
    stateless("the steps of the path are mixed up with the images of the batch", "integrated_gradients",
              interpolated_in_wrong_order),
    stateless("the steps are summed, not averaged", "integrated_gradients", steps_summed),
    Fault("baseline_of_another_image", "the baseline is the first image it ever saw", "integrated_gradients",
          saved_baseline),
    stateless("a window is filled from the neighbor in the batch", "occlusion", filled_from_neighbor),
    stateless("each of two inputs gets the other one's gradient", "gradient_of_pair", wrong_input_of_two, "pairs"),
)  # fmt: skip
