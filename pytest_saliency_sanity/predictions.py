"""What a model predicts, read from its outputs (N, K): logits, or probabilities that a sigmoid or a softmax made."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import Forward, Inputs, logits

# What only rearranges or averages numbers, behind a sigmoid or a softmax; the names of autograd's nodes.
_REARRANGING = (
    "Alias", "AsStrided", "Cat", "Clamp", "Clone", "Expand", "Index", "Mean", "Narrow", "Permute", "Reshape", "Select",
    "Slice", "Split", "Squeeze", "Stack", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView", "Unsqueeze", "View",
)  # fmt: skip
_MAKING_PROBABILITIES = ("HardSigmoid", "Hardsigmoid", "Sigmoid", "Softmax")


def in_unit_range(outputs: Tensor) -> bool:
    """Whether all outputs lie in 0 … 1, as probabilities do."""
    return outputs.numel() > 0 and bool(((outputs >= 0) & (outputs <= 1)).all())


def are_shares(outputs: Tensor) -> bool:
    """Whether every row of outputs (…, K), of two or more, lies in 0 … 1 and sums to 1, as a softmax does."""
    if outputs.shape[-1] < 2 or not in_unit_range(outputs):
        return False
    return bool(((outputs.sum(-1) - 1).abs() <= torch.finfo(outputs.dtype).eps ** 0.5).all())


def decision(outputs: Tensor) -> float:
    """The value above which an output speaks for its class: .5 where all lie in 0 … 1, else 0.

    Logits that all lie in 0 … 1 would, cut at 0, be one answer for all images.
    """
    return 0.5 if in_unit_range(outputs) else 0.0


def predicted_classes(outputs: Tensor, cut: float | None = None) -> Tensor:
    """(N,) int64 classes of outputs (N, K): the largest; of a single one 1 above `cut` (or `decision`), else 0."""
    if outputs.shape[1] > 1:
        return outputs.argmax(1)
    return (outputs[:, 0] > (decision(outputs) if cut is None else cut)).long()


def predicted_labels(outputs: Tensor) -> Tensor:
    """(N, K) bool: which of several labels an image has, those whose output is above `decision`."""
    return outputs > decision(outputs)


def probabilities(outputs: Tensor, ready: bool = False) -> Tensor:
    """Probabilities of outputs (…, K): the softmax, of a single one its sigmoid.

    Args:
        ready: whether the outputs are known to be probabilities; those of a softmax are recognized.
    """
    if ready or are_shares(outputs):
        return outputs
    return outputs.sigmoid() if outputs.shape[-1] == 1 else outputs.softmax(-1)


def ends_in_probabilities(outputs: Tensor) -> bool:
    """Whether the graph of the outputs ends in a sigmoid or a softmax."""
    node = outputs.grad_fn
    while node is not None:
        name = node.name().removeprefix("torch::autograd::").partition("Backward")[0]
        if name in _MAKING_PROBABILITIES:
            return True
        if name not in _REARRANGING:
            return False
        node = next((before for before, _ in node.next_functions if before is not None), None)
    return False


def returns_probabilities(model: Any, inputs: Inputs, forward: Forward | None, outputs: Tensor) -> bool:
    """Whether outputs of a model are probabilities: all lie in 0 … 1, and its graph says the same, where it has one.

    Args:
        inputs: for one more forward pass, of few images, where the range alone does not tell.
        outputs: (…, K), of as many images as there are.
    """
    if are_shares(outputs) or not in_unit_range(outputs):
        return are_shares(outputs)
    with entered(torch.inference_mode(False)), entered(torch.enable_grad()):
        found = logits(model, _asking(inputs), forward)
    return found.grad_fn is None or ends_in_probabilities(found)


def _asking(inputs: Inputs) -> Inputs:
    return tuple(map(_asking_one, inputs)) if isinstance(inputs, (tuple, list)) else _asking_one(inputs)


def _asking_one(values: Tensor) -> Tensor:
    copied = values.detach().clone()
    return copied.requires_grad_() if copied.is_floating_point() else copied
