"""Built-in explainers of token ids: their map is that of the embeddings, computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_saliency_sanity.embedding import using_embed
from pytest_saliency_sanity.explainers import (
    constant,
    gradient,
    guided_backprop,
    input_copy,
    input_x_gradient,
    integrated_gradients,
    mask_estimation,
    noise,
    occlusion,
    rise,
    smoothgrad,
    sobel,
    vargrad,
)
from pytest_saliency_sanity.layout import using_channel_axis
from pytest_saliency_sanity.outputs import using_forward
from tests.checks.models import Reading, seeded, texts

IDS, MASK = texts(6)
TARGETS = torch.arange(6) % 4


class FromEmbeddings(Reading):
    """The same network, written for embeddings (N, L, D) and a mask."""

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(embedded + self.places.weight, src_key_padding_mask=~mask.bool())
        return self.head((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


@pytest.mark.parametrize(
    "explainer",
    [
        gradient, input_x_gradient, integrated_gradients, smoothgrad, vargrad, guided_backprop, noise, constant,
        input_copy, occlusion, sobel,
    ],
)  # fmt: skip
def test_the_map_is_that_of_the_embeddings(explainer: Callable[..., Any]) -> None:
    model, by_hand = seeded(Reading).eval(), seeded(FromEmbeddings).eval()

    def read(network: Any, embedded: Tensor) -> Tensor:
        return network(embedded, MASK.repeat(len(embedded) // 6, 1))

    torch.manual_seed(1)
    with using_embed("words"):
        found = explainer(model, (IDS, MASK), TARGETS)
    torch.manual_seed(1)
    with using_forward(read), using_channel_axis(-1):
        expected = explainer(by_hand, by_hand.words(IDS).detach(), TARGETS)
    torch.testing.assert_close(found, expected)
    assert found.shape[:2] == IDS.shape


@pytest.mark.parametrize("explainer", [occlusion, rise, mask_estimation])
def test_hidden_tokens_are_those_of_the_text(explainer: Callable[..., Any]) -> None:
    model = seeded(Reading).eval()
    ids: list[Tensor] = []
    own: list[Tensor] = []

    def begin(module: Any, args: tuple[Tensor, ...]) -> None:
        ids.append(args[0])

    def read(module: Any, args: tuple[Tensor, ...]) -> None:
        given, known = args[0] - model.places.weight, model.words.weight[ids[-1]]
        along = (given * known).sum(2, keepdim=True) / known.square().sum(2, keepdim=True).clamp_min(1e-9)
        own.append((given - along * known).abs().amax((1, 2)))  # a mask makes them smaller

    with model.register_forward_pre_hook(begin), model.encoder.register_forward_pre_hook(read):
        torch.manual_seed(0)
        with using_embed("words"):
            explainer(model, (IDS, MASK), TARGETS)
    assert torch.cat(own).max() < 1e-4, "a row of embeddings belongs to another text"
    assert len(torch.cat(own)) > 2 * len(IDS)
