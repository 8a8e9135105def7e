"""How often a check waits for the model's device: once for each call of an explainer that is compared."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_saliency_sanity import check_model_sensitivity, check_target_sensitivity
from pytest_saliency_sanity.explainers import gradient, input_x_gradient, sobel
from pytest_saliency_sanity.sensitivity import growth
from tests.checks.models import cnn, images

WAITS = {
    "item", "cpu", "tolist", "numpy", "nonzero", "equal", "allclose", "unique", "masked_select", "__bool__",
    "__float__", "__int__", "__index__", "__array__",
}  # fmt: skip
WAITED: Counter[str] = Counter()


class OnDevice(Tensor):
    """A tensor of a device that is not there: what is computed from it is on it as well, until it is copied."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        found = super().__torch_function__(func, types, args, kwargs or {})
        if name in WAITS or _picks(name, args) or _copies(name, args):
            WAITED[name] += 1
            return found.as_subclass(Tensor) if isinstance(found, Tensor) else found
        return found


def _picks(name: str, args: tuple[Any, ...]) -> bool:
    """Whether values are picked by a mask: how many there are has to be known."""
    places = args[1] if name == "__getitem__" and isinstance(args[1], tuple) else args[1:2]
    return name == "__getitem__" and any(
        isinstance(place, Tensor) and place.dtype == torch.bool for place in places
    )


def _copies(name: str, args: tuple[Any, ...]) -> bool:
    return name == "to" and any(str(arg) == "cpu" for arg in args[1:])


def on_device(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            module._parameters[name] = nn.Parameter(parameter.detach().as_subclass(OnDevice))
    return model


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the device is waited for while maps of a depth are explained and compared, call by call."""
    counted: list[int] = []
    fill = growth.fill

    @functools.wraps(fill)
    def counting(*args: Any, **kwargs: Any) -> None:
        before = WAITED.total()
        fill(*args, **kwargs)
        counted.append(WAITED.total() - before)

    monkeypatch.setattr(growth, "fill", counting)
    return counted


@pytest.mark.parametrize("check", [check_model_sensitivity, check_target_sensitivity])
@pytest.mark.parametrize("explainer", [gradient, input_x_gradient])
def test_one_wait_for_each_depth(
    check: Callable[..., Any], explainer: Callable[..., Any], waits: list[int]
) -> None:
    verdict = check(explainer, on_device(cnn()), images(16).as_subclass(OnDevice))
    assert verdict.outcome in ("pass", "fail"), verdict
    assert len(waits) > 4 and set(waits) == {1}, Counter(waits)


def test_no_wait_for_maps_that_are_not_there(waits: list[int]) -> None:
    """Sobel's filter returns maps of the CPU; what is waited for are those of its control."""
    assert (
        check_model_sensitivity(sobel, on_device(cnn()), images(16).as_subclass(OnDevice)).outcome == "fail"
    )
    assert set(waits) <= {0, 1}, Counter(waits)


def test_what_is_waited_for_besides_does_not_grow_with_the_draws(waits: list[int]) -> None:
    """Reading the model, telling what re-initialization did, giving back: once a check."""
    model, inputs = on_device(cnn()), images(16).as_subclass(OnDevice)
    besides, calls = [], []
    for profile in ("ci", "release"):
        WAITED.clear()
        waits.clear()
        check_model_sensitivity(gradient, model, inputs, profile=profile)
        besides.append(WAITED.total() - sum(waits))
        calls.append(len(waits))
    assert calls[1] > 1.5 * calls[0] and besides[1] <= besides[0], (besides, calls)


def test_the_fake_device_counts_what_a_real_one_waits_for() -> None:
    WAITED.clear()
    value = torch.ones(3).as_subclass(OnDevice)
    assert isinstance(value * 2, OnDevice) and not WAITED
    bool(value.sum() > 1), value[value > 0], value.sum().item(), torch.equal(value, value), value.cpu()
    assert WAITED.total() == 5 and not isinstance(value.cpu(), OnDevice)
