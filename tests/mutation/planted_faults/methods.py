"""A step of the method is another one: another rule, another layer, another pooling."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from pytest_saliency_sanity.explainers import guided_backprop
from tests.mutation.planted_faults.fault import stateless
from tests.mutation.right import activations_and_gradients, enlarged, gradcam


def first_convolution(model: nn.Module) -> nn.Module:
    """The first one that reads more than pixels' colors."""
    return next(m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1))


def guided(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return guided_backprop(model, inputs, targets)


def wrong_layer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return gradcam(model, inputs, targets, layer=first_convolution)


def channels_not_weighted(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    activations, _ = activations_and_gradients(model, inputs, targets)
    return enlarged(activations.sum(1, keepdim=True), inputs)


def channels_weighted_by_size(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    activations, gradients = activations_and_gradients(model, inputs, targets)
    weights = gradients.mean((2, 3), keepdim=True).abs()
    return enlarged((weights * activations).sum(1, keepdim=True), inputs)


def negative_part_kept(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    activations, gradients = activations_and_gradients(model, inputs, targets)
    weights = gradients.mean((2, 3), keepdim=True)
    return enlarged((-weights * activations).sum(1, keepdim=True).relu(), inputs)


def weights_of_neighbor_channel(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    activations, gradients = activations_and_gradients(model, inputs, targets)
    weights = gradients.mean((2, 3), keepdim=True).roll(1, 1)
    return enlarged((weights * activations).sum(1, keepdim=True).relu(), inputs)


def enlarged_as_one_line(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cells are flattened before they are interpolated, so that rows run into one another."""
    activations, gradients = activations_and_gradients(model, inputs, targets)
    cam = (gradients.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True).relu()
    size = inputs.shape[2] * inputs.shape[3]
    return F.interpolate(cam.flatten(2), size, mode="linear").view(len(inputs), 1, *inputs.shape[2:])


FAULTS = (
    stateless("negative gradients are cut at each ReLU (guided backpropagation)", "gradient", guided),
    stateless("the first convolution instead of the last", "gradcam", wrong_layer),
    stateless("channels are summed without weights", "gradcam", channels_not_weighted),
    stateless("channels are weighted by the size of their weight", "gradcam", channels_weighted_by_size),
    stateless("what speaks against the class", "gradcam", negative_part_kept),
    stateless("each channel has its neighbor's weight", "gradcam", weights_of_neighbor_channel),
    stateless("cells are enlarged as one line, rows run into one another", "gradcam", enlarged_as_one_line),
)  # fmt: skip
