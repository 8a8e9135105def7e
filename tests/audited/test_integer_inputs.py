"""Inputs of integers: which way out is told, by what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_contract, check_model_sensitivity
from pytest_saliency_sanity.explainers import gradient, input_x_gradient
from tests.checks.models import cnn, seeded, signal_cnn, tabular

IDS = torch.arange(40).view(4, 10) % 7
PIXELS = torch.arange(4 * 144).view(4, 1, 12, 12) % 256


class Reader(nn.Module):
    """A classifier of token ids (N, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(7, 6)
        self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.read(self.tokens(ids))

    def read(self, embeddings: Tensor) -> Tensor:
        return self.head(self.hidden(embeddings).relu().mean(1))


class Named(Reader):
    """The same, as transformers write it."""

    def get_input_embeddings(self) -> nn.Module:
        return self.tokens


class Refusing(Reader):
    def get_input_embeddings(self) -> nn.Module:
        raise NotImplementedError


OF_IMAGES, OF_NUMBERS = "for images of 0 to 255 pass inputs.float() / 255", "pass inputs.float()"
OF_TOKENS = "token ids have no derivative, so say which layer's output is to be explained: embed='tokens'"
OF_EITHER = (
    "for a table of numbers pass inputs.float(); token ids have no derivative, so say which layer's output is to be "
    "explained: embed='the name of the layer'"
)
CASES: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "ids": (Reader, IDS, OF_TOKENS),
    "ids of 32 bits": (Reader, IDS.int(), OF_TOKENS),
    "an array of ids": (Reader, IDS.numpy(), OF_TOKENS),
    "ids and a mask": (Reader, (IDS, torch.ones_like(IDS)), OF_TOKENS),
    "several texts an image": (Reader, IDS.view(4, 2, 5), OF_TOKENS),
    "ids of a parallel model": (lambda: nn.DataParallel(Reader()), IDS, OF_TOKENS),
    "ids, as transformers": (Named, IDS, OF_TOKENS),
    "ids, none named": (Refusing, IDS, OF_TOKENS),
    "a table": (tabular, torch.ones(4, 24, dtype=torch.int64), OF_EITHER),
    "flags": (tabular, torch.ones(4, 24, dtype=torch.bool), OF_NUMBERS),
    "pixels of 8 bits": (cnn, PIXELS.to(torch.uint8), OF_IMAGES),
    "pixels of 64 bits": (cnn, PIXELS, OF_IMAGES),
    "pixels of 16 bits": (cnn, PIXELS * 100, OF_NUMBERS),
    "a signal": (signal_cnn, torch.ones(4, 2, 40, dtype=torch.int16), OF_NUMBERS),
    "complex numbers": (signal_cnn, torch.ones(4, 2, 40, dtype=torch.complex64), "pass the real and imaginary parts"),
}  # fmt: skip


@pytest.mark.parametrize("make, inputs, way_out", CASES.values(), ids=CASES)
@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity])
def test_the_way_out(
    check: Callable[..., Any], make: Callable[[], nn.Module], inputs: Any, way_out: str
) -> None:
    with pytest.raises(TypeError, match=r"^inputs must be floating point, normalized as") as raised:
        check(gradient, seeded(make), inputs)
    assert way_out in str(raised.value)
    assert ("/ 255" in str(raised.value)) == (way_out == OF_IMAGES)


def test_the_way_out_works_with_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
    )
    model = seeded(lambda: transformers.BertForSequenceClassification(config)).eval()
    ids = torch.randint(50, (8, 9), generator=torch.Generator().manual_seed(0))
    with pytest.raises(TypeError, match=r"embed='bert\.embeddings\.word_embeddings'"):
        check_contract(gradient, model, ids)
    verdict = check_contract(input_x_gradient, model, ids, embed="bert.embeddings.word_embeddings")
    assert verdict.outcome == "pass"
