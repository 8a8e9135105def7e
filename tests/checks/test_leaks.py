"""Explainers that leave hooks or memory behind are found by the contract, and named; caches and copies are not."""

from __future__ import annotations

import copy
import functools
import gc
import itertools
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_modules
from torch.optim import optimizer as optimizers
from torch.overrides import TorchFunctionMode

from pytest_saliency_sanity import Case, Verdict, audit, check_contract, check_model_sensitivity
from pytest_saliency_sanity.examination import kept_memory, leaks
from pytest_saliency_sanity.explainers import gradient
from pytest_saliency_sanity.perturbations.restoring.process_hooks import process_hooks
from pytest_saliency_sanity.suite import evaluation
from tests.checks.models import cnn, images, seeded
from tests.examination.explaining import Explainer, kept, made_of

KEPT: list[Any] = []


def test_beside_another_thread_no_object_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tuple that the thread is just making could not be ended: SystemError, in that thread."""

    def keeping(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        KEPT.append(gradient(model, inputs, targets))
        return KEPT[-1]

    monkeypatch.setattr(gc, "get_objects", lambda **_: pytest.fail("objects are listed"))
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: all(not ended for _ in itertools.count()))
    thread.start()
    try:
        assert check_contract(keeping, cnn(), images(8)).outcome == "pass"
    finally:
        ended.append(True)
        thread.join()
        KEPT.clear()


def test_an_executor_that_has_nothing_to_do_is_no_thread_at_work() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(int).result() == 0
        assert kept_memory.alone()
        ready, ended = threading.Event(), list[bool]()
        working = pool.submit(lambda: (ready.set(), all(not ended for _ in itertools.count())))
        ready.wait()
        assert not kept_memory.alone()
        ended.append(True)
        working.result()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    KEPT.clear()


def _marked(cases: Mapping[str, tuple[Any, ...]], *quick: str) -> list[Any]:
    """All cases, those that are not quick for the extended tests."""
    return [
        pytest.param(*given, id=name, marks=() if name in quick else pytest.mark.extended)
        for name, given in cases.items()
    ]


def asked(explainer: Explainer, model: nn.Module | None = None, **options: Any) -> Verdict:
    return check_contract(explainer, model or cnn(), images(), name="mine", **options)


def plain(model: nn.Module, inputs: Tensor, targets: Tensor, **options: bool) -> Tensor:
    """The gradient of the very inputs, as tutorials write it."""
    score = model(inputs.requires_grad_()).gather(1, targets[:, None]).sum()
    return torch.autograd.grad(score, inputs, **options)[0]


def beside(act: Callable[[Tensor], Any]) -> Explainer:
    """The plain gradient, by an explainer that does something with its inputs before."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        act(inputs.requires_grad_())
        return plain(model, inputs, targets)

    return explainer


# Hooks.


class Passing(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


ELSEWHERE = {
    "modules": (
        lambda _: of_modules.register_module_forward_hook(lambda *given: None),
        "global forward hooks (1)",
    ),
    "modules, backward": (
        lambda _: of_modules.register_module_full_backward_hook(lambda *given: None),
        "global backward hooks (1)",
    ),
    "optimizers": (
        lambda _: optimizers.register_optimizer_step_pre_hook(lambda *given: None),
        "global optimizer pre hooks (1)",
    ),
    "inputs": (lambda inputs: inputs.register_hook(lambda gradients: None), "hooks on its inputs (1)"),
    "inputs, accumulated": (
        lambda inputs: inputs.register_post_accumulate_grad_hook(lambda tensor: None),
        "hooks on its inputs (1)",
    ),
    "a mode": (lambda _: Passing().__enter__(), "an open Passing"),
}


@pytest.mark.parametrize("leave, found", ELSEWHERE.values(), ids=ELSEWHERE)
def test_hooks_left_outside_the_model_are_found_and_named(leave: Callable[..., Any], found: str) -> None:
    before = process_hooks()
    verdict = asked(beside(leave))
    assert (verdict.outcome, verdict.reason) == ("error", "contract.hooks_elsewhere")
    assert verdict.summary == f"mine broke the contract: it left hooks outside the model: {found}"
    assert process_hooks() == before


@pytest.mark.skipif(
    not hasattr(torch._C._autograd, "_top_saved_tensors_default_hooks"), reason="this torch does not say"
)
def test_open_hooks_of_saved_tensors_are_found_and_closed() -> None:
    verdict = asked(
        beside(lambda _: torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__())
    )
    assert verdict.summary == (
        "mine broke the contract: it left hooks outside the model: an open saved_tensors_hooks"
    )
    assert process_hooks().saved is None


def test_hooks_of_others_stay() -> None:
    handle = of_modules.register_module_forward_hook(lambda *given: None)
    try:
        assert kept(asked(gradient))
        assert asked(beside(ELSEWHERE["modules"][0])).reason == "contract.hooks_elsewhere"
        assert list(of_modules._global_forward_hooks) == [handle.id]
    finally:
        handle.remove()


def test_hooks_that_every_call_adds_to_another_module_are_found() -> None:
    other = nn.Sequential(nn.Conv2d(1, 2, 3))
    verdict = asked(beside(lambda _: other[0].register_forward_hook(lambda *given: None)))
    assert (verdict.outcome, verdict.reason) == ("error", "contract.hooks_elsewhere")
    assert verdict.summary == (
        "mine broke the contract: it leaves hooks outside the model: 1 more after each of 16 calls, on Conv2d"
    )
    assert verdict.evidence["hooks_per_call"] == 1 and verdict.evidence["left_on"] == ["Conv2d"]


@pytest.mark.extended
def test_hooks_that_every_call_adds_to_a_tensor_are_found() -> None:
    other = torch.zeros(3, requires_grad=True)
    assert "on a tensor" in asked(beside(lambda _: other.register_hook(lambda gradients: None))).summary


# Memory.


def keep(maps: Tensor) -> Tensor:
    KEPT.append(maps)
    return maps


def keep_an_array(maps: Tensor) -> Tensor:
    KEPT.append(np.tile(maps.numpy(), 40))
    return maps


class Remembering:
    def __init__(self) -> None:
        self.history: list[Tensor] = []

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        self.history.append(gradient(model, inputs, targets)[:, 0])
        return self.history[-1]


def in_a_closure() -> Explainer:
    seen = []

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(gradient(model, inputs, targets))
        return seen[-1]

    return explainer


def cached_by_identity(most: int | None) -> Explainer:
    """The tensors of each call are others for the cache."""

    @functools.lru_cache(maxsize=most)
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return gradient(model, inputs, targets)

    return explainer


def on_the_model(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    model.__dict__.setdefault("seen", []).append(gradient(model, inputs, targets))
    return model.seen[-1]


GROWING: dict[str, tuple[Callable[[], Explainer], str]] = {
    "a list": (lambda: made_of(keep), "`KEPT` of tests.checks.test_leaks (a list)"),
    "arrays": (lambda: made_of(keep_an_array), "`KEPT` of tests.checks.test_leaks (a list)"),
    "an attribute": (Remembering, "`history` of Remembering (a list)"),
    "a closure": (in_a_closure, "`seen` of in_a_closure.explainer (a list)"),
    "a cache": (lambda: cached_by_identity(None), "the cache of cached_by_identity.explainer"),
    "the model": (lambda: on_the_model, "`seen` of Sequential (a list)"),
}


@pytest.mark.parametrize("make, where", _marked(GROWING, "a list"))
def test_memory_that_grows_is_measured_and_named(make: Callable[[], Explainer], where: str) -> None:
    verdict = asked(make())
    assert (verdict.outcome, verdict.reason) == ("error", "contract.memory")
    assert not evaluation.broken(verdict)  # other checks can be asked
    found = verdict.evidence
    assert verdict.summary == (
        f"mine broke the contract: its memory grows with every call: by {found['bytes_per_call']:,} bytes, as much as "
        f"{found['maps_per_call']:.1f} maps, in each of 16 calls with the same 2 images; kept in {where}"
    )
    assert found["kept_in"] == [where.removeprefix("kept in ")]
    assert found["bytes_per_call"] == found["maps_per_call"] * 12 * 12 * 4
    assert found["maps_per_call"] >= 2  # of two images


@pytest.mark.extended
def test_a_graph_that_is_kept_is_counted() -> None:
    """The maps are the least of it: what the backward pass needs is kept as well."""

    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return keep(plain(model, inputs, targets, create_graph=True) * inputs)

    verdict = asked(explainer)
    assert verdict.reason == "contract.memory"
    assert verdict.evidence["maps_per_call"] > 10
    assert verdict.evidence["kept_in"] == ["`KEPT` of tests.checks.test_leaks (a list)"]


@pytest.mark.extended
def test_other_checks_do_not_mind() -> None:
    assert check_model_sensitivity(made_of(keep), cnn(), images(16)).outcome == "pass"
    found = audit(
        {"mine": made_of(keep)}, Case(model=cnn(), inputs=images(16)), ["contract", "target_sensitivity"]
    )
    assert [one.outcome for one in found.results] == ["error", "pass"]


# What is no leak.


class Once:
    """Fills a cache, hooks a copy of the model, in its first call."""

    def __init__(self) -> None:
        self.cache: list[Any] = []

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        if not self.cache:
            self.cache += [torch.zeros(10**6), copy.deepcopy(model)]
            self.cache[1][0].register_forward_hook(lambda *given: None)
        return gradient(self.cache[1], inputs, targets)


class Memo:
    """Knows what it has seen."""

    def __init__(self) -> None:
        self.known: dict[bytes, Tensor] = {}

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        key = inputs.numpy().tobytes() + targets.numpy().tobytes()
        if key not in self.known:
            self.known[key] = gradient(model, inputs, targets)
        return self.known[key]


class Recent(Remembering):
    def __init__(self) -> None:
        super().__init__()
        self.history = deque(maxlen=100)  # type: ignore[assignment]


class Copying:
    """Hooks another copy of the model in each call, and keeps the last."""

    def __call__(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        self.copy = copy.deepcopy(model)
        self.copy[0].register_forward_hook(lambda *given: None)
        return gradient(self.copy, inputs, targets)


def circular(maps: Tensor) -> Tensor:
    circle: list[Any] = [maps]
    circle.append(circle)
    return maps


def attached(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return plain(model, inputs, targets, create_graph=True) * inputs


HONEST: dict[str, Callable[[], Explainer]] = {
    "plain": lambda: gradient,
    "one cache": Once,
    "memo": Memo,
    "bounded cache": lambda: cached_by_identity(4),
    "large bounded cache": lambda: cached_by_identity(128),
    "recent": Recent,
    "copies": Copying,
    "circles": lambda: made_of(circular),
    "attached": lambda: attached,
}
QUICK = [name for name in HONEST if name not in ("large bounded cache", "recent")]


@pytest.mark.parametrize("make", _marked({name: (make,) for name, make in HONEST.items()}, *QUICK))
def test_what_stays_bounded_is_no_leak(make: Callable[[], Explainer]) -> None:
    assert kept(asked(make()))


class Logging(nn.Module):
    """A model that keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.seen = cnn(), []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.network[0](x).detach())
        return self.network(x)


@pytest.mark.extended
def test_what_the_model_itself_keeps_is_not_the_explainers() -> None:
    verdict = asked(gradient, seeded(Logging).eval())
    assert kept(verdict)
    assert verdict.notes == (leaks._OF_THE_MODEL,)


def test_an_explainer_that_leaks_nothing_is_not_called_again() -> None:
    asked(gradient)
    assert asked(gradient).evidence["cost"]["calls"] == 6


def test_nothing_of_the_watch_stays() -> None:
    handles, callbacks = torch.utils.hooks.RemovableHandle.__init__, list(gc.callbacks)
    asked(Memo())
    assert torch.utils.hooks.RemovableHandle.__init__ is handles
    assert gc.callbacks == callbacks


def test_an_exception_in_the_explainer_leaves_no_global_hook() -> None:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        ELSEWHERE["modules"][0](inputs)
        raise ValueError("no")

    before = process_hooks()
    assert asked(explainer).reason == "contract.exception"
    assert process_hooks() == before


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU: what its allocator has given is counted"
)
def test_graphs_on_a_gpu_are_counted() -> None:
    def explainer(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        scores = model(inputs.requires_grad_())
        KEPT.append(scores.grad_fn)
        return torch.autograd.grad(scores.gather(1, targets[:, None]).sum(), inputs, retain_graph=True)[0]

    wide = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 4)
    )
    verdict = check_contract(explainer, wide.cuda(), images().cuda())
    assert verdict.reason == "contract.memory" and re.search("kept in `KEPT`", verdict.summary)
