"""Classes, labels and probabilities in outputs that are logits, or probabilities already."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.predictions import (
    are_shares,
    decision,
    ends_in_probabilities,
    predicted_classes,
    predicted_labels,
    probabilities,
    returns_probabilities,
)

LOGITS = torch.tensor([[-2.0], [0.2], [0.7], [3.0]])


@pytest.mark.parametrize(
    "outputs, classes",
    [
        (LOGITS, [0, 1, 1, 1]),
        (LOGITS.sigmoid(), [0, 1, 1, 1]),
        (LOGITS.sigmoid().half(), [0, 1, 1, 1]),
        (torch.tensor([[0.2], [0.7]]), [0, 1]),
        (torch.tensor([[0.0], [1.0]]), [0, 1]),
        (torch.tensor([[0.1, 0.9], [0.6, 0.4]]), [1, 0]),
        (torch.tensor([[-3.0, -1.0], [5.0, 2.0]]), [1, 0]),
    ],
)
def test_classes(outputs: Tensor, classes: list[int]) -> None:
    assert predicted_classes(outputs).tolist() == classes


def test_a_cut_that_is_given_holds() -> None:
    few = LOGITS[1:3]
    assert predicted_classes(few).tolist() == [0, 1] and predicted_classes(few, 0.0).tolist() == [1, 1]


def test_labels_and_decision() -> None:
    logits = torch.tensor([[-1.0, 2.0, 0.5], [0.1, -4.0, -0.1]])
    assert decision(logits) == 0 and decision(logits.sigmoid()) == 0.5
    expected = [[False, True, True], [True, False, False]]
    assert predicted_labels(logits).tolist() == predicted_labels(logits.sigmoid()).tolist() == expected


def test_probabilities_are_taken_once() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for one in (logits, logits.double(), logits.bfloat16()):
        shares = one.softmax(1)
        assert are_shares(shares) and not are_shares(one)
        assert torch.equal(probabilities(one), shares) and torch.equal(probabilities(shares), shares)
    assert torch.equal(probabilities(LOGITS), LOGITS.sigmoid())
    assert torch.equal(probabilities(LOGITS.sigmoid(), ready=True), LOGITS.sigmoid())


ENDS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "sigmoid": (torch.sigmoid, True),
    "a column of it": (lambda z: torch.sigmoid(z)[:, 0], True),
    "squeezed": (lambda z: z.sigmoid().squeeze(-1), True),
    "reshaped": (lambda z: z.sigmoid().reshape(-1), True),
    "clamped": (lambda z: z.sigmoid().clamp(1e-6, 1 - 1e-6), True),
    "in another dtype": (lambda z: z.bfloat16().sigmoid().float(), True),
    "averaged": (lambda z: z.sigmoid().mean(1), True),
    "softmax": (lambda z: z.expand(-1, 3).softmax(1), True),
    "hard sigmoid": (nn.functional.hardsigmoid, True),
    "a logit": (lambda z: z, False),
    "a logit, clamped": (lambda z: z.clamp(0, 1), False),
    "a logit behind a gate": (lambda z: z * z.sigmoid(), False),
    "logarithms": (lambda z: z.expand(-1, 3).log_softmax(1), False),
}


@pytest.mark.parametrize("end, expected", ENDS.values(), ids=ENDS)
def test_the_end_of_the_graph(end: Callable[[Tensor], Tensor], expected: bool) -> None:
    layer = nn.Linear(4, 1)
    assert ends_in_probabilities(end(layer(torch.randn(3, 4)))) == expected


class Scaled(nn.Module):
    """A weight of 0.1 for each of two pixels: its logits lie in 0 … 1 as well as its sigmoid's."""

    def __init__(self, end: Callable[[Tensor], Tensor], gradients: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2, 1), 0.1), requires_grad=gradients)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(x @ self.weight)


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("end, expected", [(torch.sigmoid, True), (lambda z: z, False)])
def test_small_logits_are_no_probabilities(
    end: Callable[[Tensor], Tensor], expected: bool, gradients: bool
) -> None:
    model, inputs = Scaled(end, gradients), torch.ones(3, 2)
    with torch.no_grad():
        outputs = model(inputs)
        assert returns_probabilities(model, inputs[:1], None, outputs) == expected
    assert model.weight.grad is None and not inputs.requires_grad


def test_where_there_is_no_graph_the_range_decides() -> None:
    model, inputs = torch.no_grad()(Scaled(torch.sigmoid).forward), torch.ones(3, 2)
    assert returns_probabilities(model, inputs, None, model(inputs))
