"""Which parameters the logits have a gradient with respect to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pytest_saliency_sanity.loans import Loan, entered, lent, loan
from pytest_saliency_sanity.outputs import Forward, Inputs, logits
from pytest_saliency_sanity.perturbations.restoring.streams import random_state, restoring, stream
from pytest_saliency_sanity.signals import is_interruption

Reached = tuple[set[int], set[int]]  # what `reached` returns


def reached(network: nn.Module, inputs: Inputs, forward: Forward | None = None) -> Reached:
    """The ids of the parameters on which some logit's gradient is not zero, and of those on which there is one.

    Both are empty where none can be taken.

    Parameters below `torch.no_grad()` and `detach()` count, for their values arrive all the same; what only
    decides (an argmax, a comparison) has no gradient.
    """
    parameters = [p for p in network.parameters() if p.is_floating_point() or p.is_complex()]
    if not parameters:
        return set(), set()
    with _requiring_grad(network.parameters(), parameters), entered(torch.enable_grad()), silent():
        for seen in (True, False):  # a model that writes to its weights under no_grad cannot be seen through
            try:
                with restoring(random_state()):
                    return _with_gradient(parameters, _scores(network, inputs, forward, seen))
            except Exception as error:
                if is_interruption(error):
                    raise
    return set(), set()


@loan
def silent() -> Iterator[None]:
    """Without warnings: for passes beside the one that has shown the model's own."""
    with entered(warnings.catch_warnings()):
        warnings.simplefilter("ignore")
        yield


def _scores(network: nn.Module, inputs: Inputs, forward: Forward | None, through: bool) -> Tensor:
    if not through:
        return logits(network, inputs, forward)
    with entered(_Through()):
        return logits(network, inputs, forward)


class _Through(TorchFunctionMode):
    """Sees through what hides values from autograd."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is Tensor.detach:
            return args[0]
        with torch.enable_grad():
            return function(*args, **(kwargs or {}))


def _with_gradient(parameters: Sequence[Tensor], scores: Tensor) -> Reached:
    if not scores.requires_grad:
        return set(), set()
    # Not their sum: that of probabilities is 1 whatever the weights are.
    weights = torch.randn(scores.shape, generator=stream("gradients")).to(scores)
    gradients = torch.autograd.grad((scores * weights).sum(), parameters, allow_unused=True)
    connected = {id(p): g for p, g in zip(parameters, gradients, strict=True) if g is not None}
    return {key for key, gradient in connected.items() if bool(gradient.any())}, set(connected)


def _requiring_grad(parameters: Iterable[Tensor], these: Sequence[Tensor]) -> Loan[None]:
    before, wanted = [(p, p.requires_grad) for p in parameters], set(map(id, these))
    return lent(
        lambda: _require_grad([(p, id(p) in wanted) for p, _ in before]), lambda: _require_grad(before)
    )


def _require_grad(parameters: list[tuple[Tensor, bool]]) -> None:
    for parameter, required in parameters:
        parameter.requires_grad_(required)


def depends_on(tensor: Tensor, leaf: Tensor) -> bool:
    """Whether autograd knows a way from `leaf` to `tensor`: `requires_grad` may be due to parameters alone."""
    seen: set[Any] = set()
    waiting: list[Any] = [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if getattr(node, "variable", None) is leaf:
            return True
        seen.add(node)
        waiting += [below for below, _ in node.next_functions]
    return False
