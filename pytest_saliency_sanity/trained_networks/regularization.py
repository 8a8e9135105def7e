"""What keeps a network from memorizing its labels, switched off and given back: dropout of any spelling."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pytest_saliency_sanity.loans import Loan, entered, lent, loan
from pytest_saliency_sanity.perturbations.restoring.modes import in_training_mode, keeping_modes


@loan
def memorizing(model: nn.Module) -> Iterator[None]:
    """Gradients on; dropout between recurrent layers off; modes, dropout and gradients as they should be after."""
    with (
        lent(lambda: None, lambda: model.zero_grad(set_to_none=True)),
        keeping_modes(model),
        _without_dropout(model),
        entered(torch.enable_grad()),
    ):
        yield


def train_what_needs_it(model: nn.Module) -> None:
    """Evaluation mode, in which no dropout of any spelling is on, but for the modules that would not train in it."""
    for module in in_training_mode(model).modules():
        module.training = module.training and _needs_training_mode(module)


def _without_dropout(model: nn.Module) -> Loan[None]:
    before = [(module, module.dropout) for module in model.modules() if isinstance(module, nn.RNNBase)]
    return lent(lambda: _set_dropout([(module, 0.0) for module, _ in before]), lambda: _set_dropout(before))


def _set_dropout(rates: list[tuple[nn.RNNBase, float]]) -> None:
    for module, rate in rates:
        module.dropout = rate


def _needs_training_mode(module: nn.Module) -> bool:
    # cuDNN cannot differentiate a recurrent network in evaluation mode.
    return isinstance(getattr(module, "running_mean", None), Tensor) or isinstance(module, nn.RNNBase)
