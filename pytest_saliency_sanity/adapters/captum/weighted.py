"""Weighted sums of the logits as what captum explains, which takes one class for each input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from pytest_saliency_sanity.adapters.models import as_weights
from pytest_saliency_sanity.loans import Loan, lent

_CALLED = ("forward_func", "model")  # what objects of captum call the model that they hold


class Weighted(nn.Module):
    """A model that returns the weighted sum (N, 1) of its logits; the weights (N, K) are its last argument.

    As arguments captum repeats them with the inputs.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, *inputs: Tensor) -> Tensor:
        """Scores (N, 1)."""
        return _weighted(self.model, *inputs)


def weighted_in_place(owner: Any) -> Loan[None]:
    """Within this context an object, and those that it consists of, explains the weighted sum of its model's logits."""
    before = [
        (vars(one), name, vars(one)[name]) for one in _parts(owner) for name in _CALLED if name in vars(one)
    ]
    instead = {id(called): _around(called) for _, _, called in before}

    def take() -> None:
        for home, name, called in before:
            home[name] = instead[id(called)]

    def give_back() -> None:
        for home, name, called in before:
            home[name] = called

    return lent(take, give_back)


def _parts(owner: Any) -> Iterator[Any]:
    """The object, and what a NoiseTunnel wraps or guided GradCAM is made of."""
    from captum.attr import Attribution

    yield owner
    for part in vars(owner).values():
        if isinstance(part, Attribution):
            yield from _parts(part)


def _around(called: Any) -> Any:
    return Weighted(called) if isinstance(called, nn.Module) else lambda *inputs: _weighted(called, *inputs)


def _weighted(called: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    outputs = called(*inputs[:-1])
    return (outputs * as_weights(inputs[-1], outputs)).sum(1, keepdim=True)
