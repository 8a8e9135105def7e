"""The output of a layer in place of token ids: read, replaced, and refused where it is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity.embedding import (
    current_embed,
    embeddings,
    found_layer,
    from_embeddings,
    using_embed,
)
from pytest_saliency_sanity.outputs import logits, using_forward
from tests.checks.models import Reading, seeded, texts

IDS, MASK = texts(6)


def test_they_are_what_the_layer_returns() -> None:
    model = seeded(Reading).eval()
    assert torch.equal(embeddings(model, (IDS, MASK), "words"), model.words(IDS))


def test_the_model_reads_others_in_their_place() -> None:
    model = seeded(Reading).eval()
    forward = from_embeddings((IDS, MASK), "words")
    own = embeddings(model, (IDS, MASK), "words")
    assert torch.equal(forward(model, own), model(IDS, MASK))
    assert not torch.allclose(forward(model, own + 1), model(IDS, MASK))


def test_several_copies_of_a_batch_belong_to_the_inputs_in_turn() -> None:
    model = seeded(Reading).eval()
    twice = from_embeddings((IDS, MASK), "words")(
        model, embeddings(model, (IDS, MASK), "words").repeat(2, 1, 1)
    )
    torch.testing.assert_close(twice, model(IDS, MASK).repeat(2, 1))


def test_a_batch_that_fits_no_inputs_is_refused() -> None:
    model = seeded(Reading).eval()
    with pytest.raises(ValueError, match="5 embeddings do not belong to 6 inputs"):
        from_embeddings((IDS, MASK), "words")(model, torch.zeros(5, IDS.shape[1], 16))


def test_the_users_forward_is_called() -> None:
    model = seeded(Reading).eval()
    with using_forward(lambda model, inputs: 2 * model(*inputs)):
        own, forward = embeddings(model, (IDS, MASK), "words"), from_embeddings((IDS, MASK), "words")
        with using_forward(forward):
            found = logits(model, own)
    torch.testing.assert_close(found, 2 * model(IDS, MASK))


def test_no_hook_stays() -> None:
    model = seeded(Reading).eval()
    with pytest.raises(RuntimeError):
        from_embeddings((IDS, MASK), "words")(model, torch.zeros(6, 1, 3))
    embeddings(model, (IDS, MASK), "words")
    assert not model.words._forward_hooks


def test_contexts_nest() -> None:
    with using_embed("words"):
        with using_embed(None):
            assert current_embed() is None
        assert current_embed() == "words"
    assert current_embed() is None


class Odd(Reading):
    """Layers whose output cannot be explained."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.pair, self.flat = nn.Linear(16, 16), nn.LSTM(16, 16), nn.Flatten()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.pair(self.words(ids))
        self.flat(self.words(ids))
        return super().forward(ids, mask)


@pytest.mark.parametrize(
    "layer, error, message",
    [
        (3, TypeError, "embed must be the name of a layer of the model, such as 'embeddings', not 3"),
        ("word", ValueError, "Odd has no such layer; the nearest are 'words'"),
        ("", ValueError, "embed='': Odd has no such layer; the nearest are"),
        ("unused", ValueError, "the model calls this layer 0 times"),
        ("words", ValueError, "the model calls this layer 3 times in a forward pass; name one that it calls once"),
        ("pair", TypeError, "it returns tuple; a floating-point tensor"),
        ("flat", ValueError, r"it returns a tensor of shape \(6, 384\) for 6 inputs; \(N, L, D\) is needed"),
    ],
)  # fmt: skip
def test_what_is_no_embedding_is_refused(layer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        embeddings(seeded(Odd).eval(), (IDS, MASK), layer)


def test_a_layer_is_found_by_its_name() -> None:
    model = seeded(Reading)
    assert found_layer(model, "encoder.layers.0") is model.encoder.layers[0]
