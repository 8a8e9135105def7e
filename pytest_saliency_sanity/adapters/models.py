"""The model as other libraries take it: a module that returns logits (N, K) as a tensor."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.loans import entered
from pytest_saliency_sanity.outputs import as_targets, called, current_forward, logits


class Logits(nn.Module):
    """A model that returns its logits as a tensor (N, K), whatever the model itself returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, *inputs: Tensor) -> Tensor:
        """Logits (N, K) of one tensor of inputs, or of several."""
        return logits(self.model, inputs[0] if len(inputs) == 1 else inputs)


# Whether a model returns a tensor (N, K), asked once of each.
_plain: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


def returning_logits(model: nn.Module, inputs: Any) -> nn.Module:
    """The model itself where it returns a tensor (N, K), else a module around it that does."""
    if current_forward() is not None:
        return Logits(model)
    if model not in _plain:
        few = tuple(part[:2] for part in inputs) if isinstance(inputs, tuple) else inputs[:2]
        with entered(torch.no_grad()):
            found = called(model, few)
        _plain[model] = isinstance(found, Tensor) and found.ndim == 2
    return model if _plain[model] else Logits(model)


def as_weights(targets: Any, outputs: Tensor) -> Tensor:
    """(N, K) weights of the logits: one-hot rows of class indices (N,), or the weights that were given."""
    found = as_targets(targets, len(outputs)).to(outputs.device)
    if found.ndim == 2:
        return found.to(outputs.dtype)
    return torch.nn.functional.one_hot(found, outputs.shape[1]).to(outputs.dtype)


class Score(nn.Module):
    """A model that returns the score of each input's target, (N, 1): of weights (N, K) their weighted sum."""

    def __init__(self, model: nn.Module, targets: Any) -> None:
        super().__init__()
        self.model = model
        self.targets = targets
        self.training = model.training

    def forward(self, *inputs: Tensor) -> Tensor:
        """Scores (N, 1); one row of targets holds for all inputs, where there are more of these."""
        outputs = logits(self.model, inputs[0] if len(inputs) == 1 else inputs)
        rows = (
            self.targets.expand(len(outputs), *self.targets.shape[1:])
            if len(self.targets) == 1
            else self.targets
        )
        return (outputs * as_weights(rows, outputs)).sum(1, keepdim=True)
