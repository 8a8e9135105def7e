"""Explanations written for this project: which pixels speak for the digit `targets`.

All take images (N, 1, 28, 28) and targets (N,), and return maps (N, 1, 28, 28).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def stroke_evidence(model: nn.Module, images: Tensor, targets: Tensor, *, steps: int = 20) -> Tensor:
    """How much each pixel of ink adds to the lead of the digit over its strongest rival.

    The ink fades in from blank paper in `steps` steps, as in integrated gradients: the maps sum to the lead
    on the image minus the lead on blank paper, up to the error of the sum.
    """
    rivals = strongest_rivals(model, images, targets)
    total = torch.zeros_like(images)
    for step in range(steps):
        faded = (images * ((step + 0.5) / steps)).detach().requires_grad_()
        total += torch.autograd.grad(lead(model, faded, targets, rivals).sum(), faded)[0]
    return images * total / steps


def strongest_rivals(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The digits (N,) with the largest logit but for `targets`."""
    with torch.no_grad():
        return model(images).scatter(1, targets[:, None], -torch.inf).argmax(1)


def lead(model: nn.Module, images: Tensor, targets: Tensor, rivals: Tensor) -> Tensor:
    """The logit of `targets` minus that of `rivals`, (N,)."""
    logits = model(images)
    return (logits.gather(1, targets[:, None]) - logits.gather(1, rivals[:, None]))[:, 0]


def pen_strokes(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The outline of the digit, by Sobel's filter. Our users liked its crisp lines.

    It looks at neither the model nor the target, so it explains nothing: tests/test_explanations.py says so.
    """
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    filters = torch.stack([across, across.T])[:, None].to(images)
    return F.conv2d(images, filters, padding=1).norm(dim=1, keepdim=True)
