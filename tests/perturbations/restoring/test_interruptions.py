"""Nothing is left changed, whatever is raised wherever while something is taken from the user or given back."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pytest_saliency_sanity import (
    check_consistency,
    check_contract,
    check_data_sensitivity,
    check_distancing,
    check_insertion_deletion,
    check_localization,
    check_model_sensitivity,
    check_occlusion_sensitivity,
    check_target_sensitivity,
    loans,
)
from pytest_saliency_sanity.explainers import gradcam, gradient, guided_backprop
from pytest_saliency_sanity.perturbations import (
    bottom_up,
    cascading,
    evaluating,
    find_blocks,
    independent,
    negated_head,
    preserved,
    randomized,
    replayed,
)
from pytest_saliency_sanity.perturbations.restoring import modes, preservation, streams
from pytest_saliency_sanity.trained_networks.networks import TrueAndPermuted
from tests.perturbations.restoring.interruptions import EXCEPTIONS, Place, left_changed, places, world

LIMIT = 40  # lines of one piece of work in the default run


def network(seed: int = 0) -> nn.Sequential:
    """One that has all there is to give back: modes, frozen parameters, gradients, buffers, hooks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
        )
    model[1].weight.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    model.eval()[2].train()
    model[0].register_forward_hook(lambda *arguments: None)
    return model


MODEL, OTHERS = network(), [network(seed) for seed in (1, 2, 3)]
IMAGES = torch.rand(6, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 0, 1, 0, 1])
BLOCKS = find_blocks(MODEL, IMAGES)


def used(context: Callable[..., Any], *arguments: Any) -> Callable[[], None]:
    """Enters a context and takes its steps, if it has any."""

    def work() -> None:
        with context(*arguments) as found:
            for _ in found if isinstance(found, Iterator) else ():
                pass

    return work


CONTEXTS: dict[str, Callable[[], Any]] = {
    "preserved": used(preserved, MODEL),
    "evaluating": used(evaluating, MODEL),
    "replayed": used(replayed, 0),
    "cascading": used(cascading, MODEL, IMAGES),
    "bottom_up": used(bottom_up, MODEL, BLOCKS),
    "independent": used(independent, MODEL, BLOCKS),
    "randomized": used(randomized, MODEL, IMAGES),
    "negated_head": used(negated_head, MODEL, BLOCKS),
}
TRAINED = TrueAndPermuted(true=[MODEL, OTHERS[0]], permuted=OTHERS[1:])
CHECKS: dict[str, Callable[[], Any]] = {
    "contract": partial(check_contract, gradient, MODEL, IMAGES),
    "model": partial(check_model_sensitivity, gradient, MODEL, IMAGES, profile="smoke"),
    "target": partial(check_target_sensitivity, gradient, MODEL, IMAGES, profile="smoke"),
    "data": partial(check_data_sensitivity, gradient, models=TRAINED, inputs=IMAGES),
    "occlusion": partial(check_occlusion_sensitivity, gradient, MODEL, IMAGES, profile="smoke"),
    "insertion_deletion": partial(
        check_insertion_deletion, gradient, MODEL, IMAGES, profile="smoke", steps=4, min_insertion=0.1
    ),
    "consistency": partial(check_consistency, gradient, MODEL, IMAGES, profile="smoke"),
    "localization": partial(
        check_localization, gradient, MODEL, IMAGES, regions=(torch.arange(6) < 3).expand(6, 6, 6), profile="smoke"
    ),
    "distancing": partial(
        check_distancing, gradient, MODEL, IMAGES, LABELS, labels=LABELS, classes=(0, 1), alphas=(1.0,), epochs=1,
        min_agreement=0.0,
    ),
    "cam": partial(check_contract, partial(gradcam, layer="0"), MODEL, IMAGES),
    "backprop": partial(check_contract, guided_backprop, MODEL, IMAGES),
}  # fmt: skip
MODELS = [MODEL, *OTHERS]


@pytest.fixture(autouse=True)
def ringing() -> Iterator[None]:
    """Handlers of a project's own."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError("the test takes too long")

    numbers = [getattr(signal, name) for name in ("SIGALRM", "SIGTERM") if hasattr(signal, name)]
    before = {number: signal.signal(number, ring) for number in numbers}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def sampled(found: list[Place], limit: int = LIMIT) -> list[Place]:
    """At most `limit` of the places, evenly."""
    step = max(1, -(-len(found) // limit))
    return found[::step]


@pytest.mark.parametrize("work", CONTEXTS.values(), ids=CONTEXTS)
def test_at_some_lines_of_a_context(work: Callable[[], Any]) -> None:
    at = sampled(places(work))
    for number, kind in enumerate(EXCEPTIONS):
        assert list(left_changed(work, [MODEL], at[number::3], (kind,))) == []


@pytest.mark.parametrize("work", CHECKS.values(), ids=CHECKS)
def test_at_some_lines_of_a_check(work: Callable[[], Any]) -> None:
    at = sampled(places(work), 12)
    assert len(at) >= 10
    for number, kind in enumerate(EXCEPTIONS):
        assert list(left_changed(work, MODELS, at[number::3], (kind,))) == []


@pytest.mark.extended
@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("work", [*CONTEXTS.values(), *CHECKS.values()], ids=[*CONTEXTS, *CHECKS])
def test_at_each_line(work: Callable[[], Any], kind: type[BaseException]) -> None:
    work()
    assert list(left_changed(work, MODELS, places(work), (kind,))) == []


def test_this_test_finds_what_is_left_changed() -> None:
    """By a context of contextlib's, with an `__exit__` in Python, in the place of a loan."""

    class Leaving:
        def __init__(self, loan: Any) -> None:
            self.loan = loan

        def __enter__(self) -> Any:
            return self.loan.__enter__()

        def __exit__(self, *exception: Any) -> None:
            self.loan.__exit__(*exception)

    def work() -> None:
        with Leaving(evaluating(MODEL)):
            pass

    code = Leaving.__exit__.__code__
    before = world(MODEL)
    trace = sys.gettrace()

    def strike(frame: Any, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_code is code:
            raise KeyboardInterrupt
        return strike

    sys.settrace(strike)
    try:
        work()
    except KeyboardInterrupt as error:
        kept = error  # its traceback has the frame that holds the loan
    finally:
        sys.settrace(trace)
    assert world(MODEL) != before
    del kept


# Real signals.

NUMBERS = [number for name in ("SIGINT", "SIGALRM", "SIGTERM") if (number := getattr(signal, name, None))]
TARGETS: dict[str, tuple[Any, str]] = {
    "a module": (preservation, "_restore_module"),
    "a storage": (preservation, "_restore_storage"),
    "a tensor": (preservation, "_restore_tensor"),
    "the modes": (modes, "_set_modes"),
    "the generators": (streams.RandomState, "restore"),
    "an attempt": (loans._Debt, "_attempt"),
    "what is deferred": (loans, "deferred"),
    "the stash": (preservation, "_stash_gradients"),
}


def arriving(target: Callable[..., Any], when: str, raise_it: Callable[[int], Any]) -> Callable[..., Any]:
    """The function, with something that happens before or behind it, each time."""
    calls = []

    def function(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if when == "before":
            raise_it(len(calls))
        result = target(*arguments, **options)
        if when == "behind":
            raise_it(len(calls))
        return result

    return function


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no SIGALRM")
@pytest.mark.covering(2)
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("when", ["before", "behind"])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("work", ["cascading", "evaluating", "contract"])
def test_a_signal_during_restoring(
    monkeypatch: pytest.MonkeyPatch, work: str, target: tuple[Any, str], when: str, number: int
) -> None:
    """The first and every one of them, however often it arrives."""
    owner, name = target
    before = world(MODEL)
    monkeypatch.setattr(
        owner, name, arriving(getattr(owner, name), when, lambda call: signal.raise_signal(number))
    )
    with contextlib.suppress(TimeoutError, KeyboardInterrupt):
        {**CONTEXTS, **CHECKS}[work]()
    monkeypatch.undo()
    assert world(MODEL) == before


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", EXCEPTIONS)
@pytest.mark.parametrize("failures", [1, 2, 5])
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_giving_back_is_tried_again_until_it_is_done(
    monkeypatch: pytest.MonkeyPatch, target: tuple[Any, str], failures: int, kind: type[BaseException]
) -> None:
    owner, name = target
    before = world(MODEL)
    context = cascading(MODEL, BLOCKS)

    def fail(call: int) -> None:
        if call <= failures:
            raise kind(str(call))

    with pytest.raises((ZeroDivisionError, kind)) as caught, context as steps:
        list(steps)
        MODEL.train()
        monkeypatch.setattr(owner, name, arriving(getattr(owner, name), "before", fail))
        raise ZeroDivisionError
    monkeypatch.undo()
    assert world(MODEL) == before
    if caught.type is kind:
        assert caught.value.args == ("1",)  # the first; the others are chained to it


def test_a_model_that_cannot_be_restored_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no space left")

    model = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="no space left"), preserved(model):
        monkeypatch.setattr(preservation, "_restore_storage", fail)


def test_an_interrupt_in_the_measurement_ends_it_at_once() -> None:
    before, calls = world(MODEL), []

    def explainer(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        signal.raise_signal(signal.SIGINT)
        return gradient(model, inputs, targets)

    with pytest.raises(KeyboardInterrupt):
        check_model_sensitivity(explainer, MODEL, IMAGES)
    assert len(calls) == 1 and world(MODEL) == before


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no timers")
def test_alarms_over_a_network_of_many_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """One every millisecond: whenever it rings, all 400 modules are back in their modes."""
    # In such a storm one rings while Python closes a generator, whose exception nobody can get, and pytest's hook for
    # these is rung at in its turn.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    layers = [nn.Sequential(nn.Linear(36, 36), nn.ReLU()) for _ in range(133)]
    model = nn.Sequential(nn.Flatten(), *layers, nn.Linear(36, 3)).train()
    interrupted = 0

    def ring(number: int, frame: Any) -> None:
        while frame is not None:  # nowhere else: it would end the test
            if frame.f_code is check_contract.__code__:
                raise TimeoutError
            frame = frame.f_back

    signal.signal(signal.SIGALRM, ring)
    before = world(model)
    for number in range(20):
        signal.setitimer(signal.ITIMER_REAL, 0.002 + 0.0015 * number, 0.001)
        try:
            check_contract(gradient, model, IMAGES)
        except TimeoutError:
            interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert world(model) == before
    assert interrupted >= 10


# An alarm that rings inside the model or the explainer.


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no SIGALRM")
@pytest.mark.covering(2)
@pytest.mark.parametrize("error", [TimeoutError, RuntimeError, ValueError, TypeError])
@pytest.mark.parametrize("place", ["model", "explainer", "backward", "stand-ins"])
@pytest.mark.parametrize("check", [check_contract, check_model_sensitivity, check_target_sensitivity])
def test_an_alarm_is_neither_swallowed_nor_taken_for_an_error_of_the_model(
    check: Callable[..., Any], place: str, error: type[Exception]
) -> None:
    def ring(number: int, frame: Any) -> None:
        raise error("too long")

    signal.signal(signal.SIGALRM, ring)

    class Rings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if place in ("model", "stand-ins"):
                signal.raise_signal(signal.SIGALRM)
            return self.layer(x).mean((2, 3))

    def explainer(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if place == "explainer":
            signal.raise_signal(signal.SIGALRM)
        inputs.requires_grad_()
        scores = model(inputs)
        if place == "backward":
            scores.register_hook(lambda grad: signal.raise_signal(signal.SIGALRM))
        return torch.autograd.grad(scores.sum(), inputs)[0]

    model = Rings()
    before = world(model)
    with pytest.raises(error, match="too long"):
        check(explainer, model, None if place == "stand-ins" else IMAGES)
    assert world(model) == before


@pytest.mark.parametrize("error", [TimeoutError, RuntimeError])
def test_what_they_raise_themselves_is_told_as_before(error: type[Exception]) -> None:
    def explainer(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise error("no answer of the server")

    assert check_contract(explainer, MODEL, IMAGES).reason == "contract.exception"
    broken = nn.Sequential(nn.Flatten(), nn.Linear(7, 3))
    with pytest.raises(ValueError, match="the model raised RuntimeError for inputs of shape"):
        check_contract(gradient, broken, IMAGES)
