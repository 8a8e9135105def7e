"""Signals (N, C, L), embeddings (N, L, D) and images (N, H, W, C): over which axis maps are summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import (
    Verdict,
    check_consistency,
    check_contract,
    check_model_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.audited.subject import held, subject
from pytest_saliency_sanity.examination.first_maps import examine
from pytest_saliency_sanity.examination.meter import Meter
from pytest_saliency_sanity.explainers import (
    center_prior,
    gradcam,
    gradient,
    local_deviation,
    mask_estimation,
    occlusion,
    rise,
    sobel,
)
from pytest_saliency_sanity.layout import using_channel_axis
from tests.checks.models import cnn, images, seeded, signal_cnn

LENGTH, WIDTH = 14, 10
CHECKS = [check_contract, check_model_sensitivity, check_target_sensitivity, check_consistency]


class Reading(nn.Module):
    """A classifier of embeddings (N, L, D), which looks at one position after the other, then at all of them."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, 32), nn.Linear(32, 32)
        self.hidden, self.head = nn.Linear(32 * LENGTH, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        each = self.second(self.first(x).relu()).relu()
        return self.head(self.hidden(each.flatten(1)).relu())


def reading(width: int = WIDTH) -> nn.Module:
    return seeded(lambda: Reading(width)).eval()


class ChannelsLast(nn.Module):
    """A network of images or signals with their channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.movedim(-1, 1))


def embeddings(width: int = WIDTH, n: int = 12) -> Tensor:
    return torch.randn(n, LENGTH, width, generator=torch.Generator().manual_seed(3))


def summed(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """(N, L), the gradient summed over the embedding, as captum's users do."""
    return gradient(model, inputs, targets).sum(-1)


def kept(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """(N, L, 1)."""
    return summed(model, inputs, targets)[..., None]


def maps_of(explainer: Any, model: nn.Module, inputs: Any, **options: Any) -> Any:
    """The first images' maps as a check reads them, and what it found out."""
    audited = subject(explainer, model, inputs, None, limit=8, **options)
    with held(audited) as given:
        return examine(given, Meter())


# What a map is summed over.


@pytest.mark.parametrize("channel_axis", [None, -1, 2])
@pytest.mark.parametrize("explainer", [summed, kept])
def test_a_map_of_positions_is_accepted(explainer: Any, channel_axis: int | None) -> None:
    model = reading()
    found = maps_of(explainer, model, embeddings(), channel_axis=channel_axis)
    whole = maps_of(gradient, model, embeddings(), channel_axis=-1)
    assert found.maps[0].shape == whole.maps[0].shape == (8, LENGTH)
    torch.testing.assert_close(found.maps[0], whole.maps[0])
    assert found.channel_axis is not None and found.signals is None


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("explainer", [summed, kept, gradient])
def test_embeddings_get_a_verdict(check: Callable[..., Verdict], explainer: Any) -> None:
    verdict = check(explainer, reading(), embeddings(n=16), channel_axis=-1)
    assert verdict.outcome == "pass", verdict
    assert not any("channel_axis" in note for note in verdict.notes)


@pytest.mark.parametrize("check", CHECKS)
def test_a_map_of_positions_says_that_inputs_are_embeddings(check: Callable[..., Verdict]) -> None:
    verdict = check(summed, reading(), embeddings(n=16))
    assert verdict.outcome == "pass", verdict
    assert not any("channel_axis" in note for note in verdict.notes)


@pytest.mark.parametrize("check", CHECKS)
def test_where_shapes_leave_it_open_the_way_out_is_told(check: Callable[..., Verdict]) -> None:
    model, inputs = reading(LENGTH), embeddings(LENGTH)
    verdict = check(summed, model, inputs, profile="smoke")
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.channel_axis")
    assert (
        "it returned maps of shape (8, 14) for inputs of shape (8, 14, 14), which may be signals (N, C, L) or "
        "embeddings (N, L, D); pass channel_axis=1 for signals, channel_axis=-1 for embeddings"
    ) in verdict.summary
    for axis in (-1, 1):
        assert check(summed, model, inputs, channel_axis=axis, profile="smoke").reason != "gate.channel_axis"


def test_whole_maps_without_a_word_are_those_of_signals_with_a_note() -> None:
    model = reading()
    found = maps_of(gradient, model, embeddings())
    assert found.maps[0].shape == (8, WIDTH) and found.channel_axis is None
    verdict = check_contract(gradient, model, embeddings())
    assert verdict.notes == (
        "inputs of shape (N, 14, 10) were read as signals (N, C, L), and their maps were summed over axis 1; pass "
        "channel_axis=-1 for embeddings (N, L, D), or channel_axis=1 if they are signals",
    )
    assert check_contract(gradient, model, embeddings(), channel_axis=1).notes == ()


def test_signals_need_no_word() -> None:
    signals = images(8, (2, 40))
    for explainer in (gradient, lambda *given: gradient(*given).sum(1), occlusion):
        found = maps_of(explainer, signal_cnn(), signals)
        assert found.maps[0].shape == (8, 40) and found.channel_axis is None and found.signals is None
        assert check_contract(explainer, signal_cnn(), signals).notes == ()


@pytest.mark.parametrize("shape", [(8,), (8, 13), (8, 1, 1), (8, LENGTH, WIDTH, 1)])
@pytest.mark.parametrize("channel_axis", [None, -1])
def test_shapes_of_no_layout_are_refused(shape: tuple[int, ...], channel_axis: int | None) -> None:
    verdict = check_contract(
        lambda model, inputs, targets: torch.rand(shape),
        reading(),
        embeddings(),
        channel_axis=channel_axis,
    )
    assert (verdict.outcome, verdict.reason) == ("error", "contract.shape")
    expected = "(8, 14, 10), (8, 14, 1), (8, 14)" if channel_axis else "(8, 14, 10), (8, 1, 10), (8, 10)"
    assert f"the shape must be one of {expected}" in verdict.summary


def test_signals_are_no_embeddings_where_the_user_says_so() -> None:
    verdict = check_contract(summed, reading(), embeddings(), channel_axis=1)
    assert (
        verdict.reason == "contract.shape"
        and "the shape must be one of (8, 14, 10), (8, 1, 10), (8, 10)" in verdict.summary
    )


# Images with their channels last are those with their channels first.


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("explainer", [gradient, occlusion, sobel, center_prior])
def test_channels_last_get_the_verdict_of_channels_first(
    check: Callable[..., Verdict], explainer: Any
) -> None:
    first = images(12, (3, 12, 12))
    expected = check(explainer, cnn(channels=3), first, profile="smoke")
    found = check(
        explainer, ChannelsLast(cnn(channels=3)), first.movedim(1, -1), channel_axis=-1, profile="smoke"
    )
    assert (found.outcome, found.reason, found.hint) == (expected.outcome, expected.reason, expected.hint)
    assert found.statistic == (expected.statistic and pytest.approx(expected.statistic, abs=0.05))


SPATIAL = {
    "occlusion": occlusion, "rise": rise, "mask_estimation": mask_estimation, "gradcam": gradcam, "sobel": sobel,
    "local_deviation": local_deviation, "center_prior": center_prior,
}  # fmt: skip


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("several", [False, True])
def test_spatial_explainers_know_where_the_channels_are(name: str, several: bool) -> None:
    if several and name in ("rise", "mask_estimation", "gradcam"):
        pytest.skip("of one input")
    model, first, targets = cnn(channels=3), images(4, (3, 12, 12)), torch.arange(4)
    last = first.movedim(1, -1).contiguous()
    forward = (lambda x, y: model(x + y)) if several else model
    back = (lambda x, y: model((x + y).movedim(-1, 1))) if several else ChannelsLast(model)
    torch.manual_seed(0)
    expected = SPATIAL[name](forward, (first, first / 2) if several else first, targets)
    torch.manual_seed(0)
    with using_channel_axis(-1):
        found = SPATIAL[name](back, (last, last / 2) if several else last, targets)
    for one, other in zip(expected, found, strict=True) if several else [(expected, found)]:
        torch.testing.assert_close(other.movedim(-1, 1), one)


# Bad values.


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "axis, error, text",
    [
        ("last", TypeError, "channel_axis must be a whole number, such as 1 or -1, not 'last'"),
        (0, ValueError, "channel_axis=0 cannot be the axis of the channels"),
        (4, ValueError, "channel_axis=4 cannot be the axis of the channels"),
    ],
)
def test_bad_axes(check: Callable[..., Verdict], axis: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check(gradient, reading(), embeddings(), channel_axis=axis)


def test_photographs_have_channels_first() -> None:
    with pytest.raises(
        ValueError, match=r"channel_axis=-1 needs inputs=: stand-in photographs are \(N, C, H, W\)"
    ):
        check_contract(gradient, cnn(), channel_axis=-1)


def test_one_position_is_nothing_to_rank() -> None:
    with pytest.raises(ValueError, match="one value per image"):
        check_contract(gradient, reading(), embeddings()[:, :1], channel_axis=-1)


# Channels that cancel.


class Normed(Reading):
    """The gradient before a LayerNorm adds up to 0 over the embedding, whatever the weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.norm(x))


def by_input(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    return (gradient(model, inputs, targets) * inputs).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_maps_whose_channels_cancel_are_no_maps(dtype: torch.dtype) -> None:
    model = seeded(Normed).eval().to(dtype)
    verdict = check_contract(gradient, model, embeddings(), channel_axis=-1)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", "gate.channels")
    assert "such as (gradient * inputs).sum(-1) or gradient.norm(dim=-1)" in verdict.summary
    assert check_contract(by_input, model, embeddings(), channel_axis=-1).outcome == "pass"


def test_channels_that_are_0_do_not_cancel() -> None:
    def nothing(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
        return torch.zeros_like(inputs)

    assert check_contract(nothing, reading(), embeddings(), channel_axis=-1).reason == "constant"
