"""Where channels are: axes, views, bad values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pytest_saliency_sanity.layout import (
    axis_of,
    channels_back,
    channels_first,
    check_channel_axis,
    current_channel_axis,
    space_of,
    using_channel_axis,
)


@pytest.mark.parametrize(
    "shape, axis, place, space",
    [
        ((2, 3, 5), None, 1, (5,)),
        ((2, 3, 5), 1, 1, (5,)),
        ((2, 3, 5), -1, 2, (3,)),
        ((2, 3, 5), 2, 2, (3,)),
        ((2, 3, 5), -2, 1, (5,)),
        ((2, 4, 6, 3), -1, 3, (4, 6)),
        ((2, 4, 6, 3), None, 1, (6, 3)),
        ((2, 7), None, 1, ()),
        ((2, 7), -1, 1, ()),
    ],
)
def test_axes(shape: tuple[int, ...], axis: int | None, place: int, space: tuple[int, ...]) -> None:
    part = torch.rand(shape)
    assert axis_of(part, axis) == place and space_of(part, axis) == space
    first = channels_first(part, axis)
    assert first.shape == (shape[0], shape[place], *space) and first.data_ptr() == part.data_ptr()
    assert torch.equal(channels_back(first, axis), part)


@pytest.mark.parametrize(
    "axis, error, text",
    [
        ("last", TypeError, "channel_axis must be a whole number, such as 1 or -1, not 'last'"),
        (True, TypeError, "channel_axis must be a whole number, such as 1 or -1, not True"),
        (1.0, TypeError, "channel_axis must be a whole number, such as 1 or -1, not 1.0"),
        (0, ValueError, "channel_axis=0 cannot be the axis of the channels in inputs of shape (2, 3, 5)"),
        (3, ValueError, "channel_axis=3 cannot be the axis of the channels in inputs of shape (2, 3, 5)"),
        (-3, ValueError, "channel_axis=-3 cannot be the axis of the channels in inputs of shape (2, 3, 5)"),
    ],
)
def test_what_is_no_axis(axis: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        check_channel_axis(axis, (torch.rand(2, 3, 5),))
    assert text in str(raised.value)


def test_numbers_of_numpy_are_axes_and_tables_have_none() -> None:
    assert check_channel_axis(np.int64(-1), (torch.rand(2, 3, 5),)) == -1
    assert check_channel_axis(None, (torch.rand(2, 3),)) is None
    with pytest.raises(ValueError, match=r"three or more dimensions, not of shape \(2, 3\)"):
        check_channel_axis(-1, (torch.rand(2, 3),))


def test_contexts_nest() -> None:
    with using_channel_axis(-1):
        with using_channel_axis(1):
            assert current_channel_axis() == 1
        assert current_channel_axis() == -1
    assert current_channel_axis() is None
