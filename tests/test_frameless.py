"""What a verdict keeps of an exception: the text, and where it was raised, and nothing that lives there."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import (
    ExplainerContractError,
    assert_contract,
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
)
from pytest_saliency_sanity.frameless import without_frames
from pytest_saliency_sanity.trained_networks.networks import TrueAndPermuted

IMAGES = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])


class Custom(Exception):
    def __init__(self, model: Any, code: int) -> None:
        super().__init__(f"code {code}")
        self.model, self.code, self.more = model, code, {"models": [model]}


class OwnText(Exception):
    """Its text is made of an object that it holds."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def __str__(self) -> str:
        return f"{type(self.model).__name__} of {len(self.model)} layers"


def plain(model: Any) -> None:
    raise ValueError("no such layer")


def attribute(model: Any) -> None:
    model.no_such_layer  # noqa: B018


def of_a_tensor(model: Any) -> None:
    raise KeyError(model[1].weight)


def of_the_model(model: Any) -> None:
    raise RuntimeError("this model", model)


def custom(model: Any) -> None:
    raise Custom(model, 7)


def own_text(model: Any) -> None:
    raise OwnText(model)


def chained(model: Any) -> None:
    try:
        attribute(model)
    except AttributeError as error:
        raise ValueError("from another") from error


def in_context(model: Any) -> None:
    try:
        of_a_tensor(model)
    except KeyError:
        raise ValueError("while another was handled")  # noqa: B904


def suppressed(model: Any) -> None:
    try:
        of_a_tensor(model)
    except KeyError:
        raise ValueError("in place of another") from None


def group(model: Any) -> None:
    errors = []
    for fail in (attribute, chained):
        try:
            fail(model)
        except Exception as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)  # noqa: F821


def stop_iteration(model: Any) -> None:
    raise StopIteration(model)


def of_torch(model: Any) -> None:
    model(torch.ones(2, 3))


def no_map(model: Any) -> str:
    return "no map"


RAISING = [
    plain, attribute, of_a_tensor, of_the_model, custom, own_text, chained, in_context, suppressed, stop_iteration,
    of_torch, no_map,
]  # fmt: skip
if sys.version_info >= (3, 11):
    RAISING.append(group)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


def _data(explainer: Any, model: nn.Module) -> Any:
    networks = TrueAndPermuted(true=[model, network(1)], permuted=[network(2), network(3)])
    return check_data_sensitivity(explainer, models=networks, inputs=IMAGES)


CHECKS: dict[str, Callable[..., Any]] = {
    "contract": lambda explainer, model: check_contract(explainer, model, IMAGES),
    "model": lambda explainer, model: check_model_sensitivity(explainer, model, IMAGES),
    "target": lambda explainer, model: check_target_sensitivity(explainer, model, IMAGES),
    "data": _data,
    "occlusion": lambda explainer, model: check_occlusion_sensitivity(explainer, model, IMAGES),
    "insertion_deletion": lambda explainer, model: check_insertion_deletion(
        explainer, model, IMAGES, min_insertion=0.1
    ),
    "consistency": lambda explainer, model: check_consistency(explainer, model, IMAGES),
    "localization": lambda explainer, model: check_localization(
        explainer, model, IMAGES, regions=(torch.arange(6) < 3).expand(6, 6, 6)
    ),
    "distancing": lambda explainer, model: check_distancing(
        explainer, model, IMAGES, LABELS, labels=LABELS, classes=(0, 1), alphas=(1.0,), epochs=1, min_agreement=0.0
    ),
}  # fmt: skip


def explaining(fail: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda model, inputs, targets: fail(model)


EACH = [
    pytest.param(check, fail, id=f"{name}-{fail.__name__}")
    for name, check in CHECKS.items()
    for fail in RAISING
]


@pytest.mark.covering
@pytest.mark.parametrize("check, fail", EACH)
def test_a_verdict_does_not_keep_the_model(check: Callable[..., Any], fail: Callable[[Any], Any]) -> None:
    model = network()
    alive = weakref.ref(model)
    verdict = check(explaining(fail), model)
    if "of_" not in fail.__name__:  # labels at random may be none that a network beats chance on
        assert verdict.outcome in ("error", "inconclusive")
    del model
    gc.collect()
    assert alive() is None
    assert verdict.render()


@pytest.mark.parametrize("fail", [plain, custom, chained, of_torch], ids=lambda fail: fail.__name__)
def test_no_garbage_collection_is_needed(fail: Callable[[Any], Any]) -> None:
    model = network()
    alive = weakref.ref(model)
    gc.disable()
    try:
        verdict = check_contract(explaining(fail), model, IMAGES)
        del model
        assert alive() is None and verdict.outcome == "error"
    finally:
        gc.enable()


@pytest.mark.parametrize("fail", RAISING[:-2], ids=lambda fail: fail.__name__)
def test_type_text_and_place_are_kept(fail: Callable[[Any], Any]) -> None:
    model = network()
    try:
        fail(model)
    except Exception as error:
        kind, text, line = type(error), str(error), error.__traceback__.tb_next.tb_lineno
        representation = repr(error)
        caught = error
    kept = without_frames(caught)
    if kind is OwnText:
        assert isinstance(kept, RuntimeError) and str(kept) == f"OwnText: {text}"
    else:
        assert kept is caught and (type(kept), str(kept), repr(kept)) == (kind, text, representation)
    (note,) = kept.__notes__
    assert note.startswith("Raised at (most recent call last):\n")
    assert f"line {line}, in {fail.__name__}" in note and "test_frameless.py" in note
    assert without_frames(kept).__notes__ == [note]


def test_a_chain_stays_a_chain() -> None:
    with pytest.raises(ValueError, match="from another") as caught:
        chained(network())
    kept = without_frames(caught.value)
    assert isinstance(kept.__cause__, AttributeError) and kept.__cause__.__traceback__ is None
    assert "in attribute" in kept.__cause__.__notes__[0]


@pytest.mark.skipif("sys.version_info < (3, 11)", reason="notes come with Python 3.11")
def test_the_assertion_shows_the_line_of_the_explainer() -> None:
    with pytest.raises(ExplainerContractError) as caught:
        assert_contract(explaining(chained), network(), IMAGES)
    shown = "".join(traceback.format_exception(caught.value))
    assert "in chained" in shown and "model.no_such_layer" in shown and "ValueError: from another" in shown


def test_a_circle_of_exceptions_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert without_frames(one) is one


class Holder:
    """A forward function that holds its model, as a method."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def forward(self, model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        return self.model(inputs)


@pytest.mark.parametrize("as_method", [True, False])
def test_the_controls_that_a_run_shares_do_not_keep_the_model(as_method: bool) -> None:
    from pytest_saliency_sanity.explainers import sobel

    model = network()
    alive, holder = weakref.ref(model), Holder(model)
    forward = holder.forward if as_method else lambda model, inputs, own=holder: own.forward(model, inputs)
    images = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    verdict = check_model_sensitivity(sobel, model, images, forward=forward)
    assert verdict.evidence["control_cost"]["calls"] > 0
    del model, holder, forward
    gc.collect()
    assert alive() is None
