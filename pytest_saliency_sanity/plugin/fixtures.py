"""What a test asks for: the project's case, and the assertions with the case filled in.

A project overrides the `saliency_*` fixtures that it has in its conftest.py; each is looked up only when a
check needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity.case import Case

Assertion = Callable[..., Any]

# Every assertion that has a fixture, and its check: the assertion takes what the check's signature names.
ASSERTIONS: Mapping[str, str] = {
    "assert_consistent": "check_consistency",
    "assert_contract": "check_contract",
    "assert_data_sensitive": "check_data_sensitivity",
    "assert_insertion_deletion": "check_insertion_deletion",
    "assert_localized": "check_localization",
    "assert_model_sensitive": "check_model_sensitivity",
    "assert_occlusion_sensitive": "check_occlusion_sensitivity",
    "assert_target_sensitive": "check_target_sensitivity",
}
CASE_FIELDS = tuple(field.name for field in fields(Case))
NAMES = frozenset(["saliency_case", *ASSERTIONS, *(f"saliency_{name}" for name in CASE_FIELDS)])
TRAINING = frozenset(["assert_data_sensitive"])
# What each check's signature names of the case: known here without importing the checks, which import torch.
_WITH_LABELS = ("model", "inputs", "targets", "labels")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "assert_consistent": ("model", "inputs", "targets", "channel_axis"),
    "assert_contract": ("model", "inputs", "targets", "channel_axis"),
    "assert_data_sensitive": ("inputs", "targets", "labels", "train_set", "make_model", "channel_axis"),
    "assert_insertion_deletion": _WITH_LABELS,
    "assert_localized": (*_WITH_LABELS, "regions"),
    "assert_model_sensitive": (*_WITH_LABELS, "channel_axis"),
    "assert_occlusion_sensitive": _WITH_LABELS,
    "assert_target_sensitive": (*_WITH_LABELS, "channel_axis"),
}
_ASYNC = (
    "the fixture {fixture} is async, and a check does not await it: define it with `def` (asyncio.run(...) runs a "
    "coroutine in it), or let the test ask for {fixture} by name where a plugin awaits it (pytest-asyncio, anyio)"
)
_MANY = (list, tuple, set, frozenset)
_OF_THE_INPUTS = ("targets", "labels", "regions", "channel_axis")


@pytest.fixture(scope="session")
def saliency_model() -> Any:
    """The model whose explanations are audited; None until a conftest.py overrides it."""
    return None


@pytest.fixture(scope="session")
def saliency_inputs() -> Any:
    """Inputs to explain, (N, C, *S) or a tuple of such; None, the default, means stand-in photographs."""
    return None


@pytest.fixture(scope="session")
def saliency_targets() -> Any:
    """Targets of `saliency_inputs`, (N,) int64 or (N, K); None, the default, means the model's prediction."""
    return None


@pytest.fixture(scope="session")
def saliency_labels() -> Any:
    """True labels of `saliency_inputs`, (N,) int64 or (N, K) of 0 and 1; with them the model's accuracy is checked."""
    return None


@pytest.fixture(scope="session")
def saliency_train_set() -> Any:
    """A pair of tensors or a map-style dataset, for checks that train."""
    return None


@pytest.fixture(scope="session")
def saliency_make_model() -> Any:
    """A function that builds an untrained model, for checks that train."""
    return None


@pytest.fixture(scope="session")
def saliency_regions() -> Any:
    """What explanations of `saliency_inputs` should point at: boxes or boolean masks."""
    return None


@pytest.fixture(scope="session")
def saliency_channel_axis() -> Any:
    """Where the channels of `saliency_inputs` are: None, the default, for (N, C, *S); -1 for embeddings (N, L, D)."""
    return None


@pytest.fixture
def saliency_case(request: pytest.FixtureRequest) -> Case:
    """Everything that the project's `saliency_*` fixtures say, each looked up when it is used."""
    case = object.__new__(_FixtureCase)
    object.__setattr__(case, "_lookup", request.getfixturevalue)
    return case


@pytest.fixture
def assert_consistent(saliency_case: Case) -> Assertion:
    """assert_consistent(explainer, model=None, inputs=None, ...): two runs give nearly the same map."""
    return _filled("assert_consistent", saliency_case)


@pytest.fixture
def assert_contract(saliency_case: Case) -> Assertion:
    """assert_contract(explainer, model=None, inputs=None, ...): the explainer keeps its contract."""
    return _filled("assert_contract", saliency_case)


@pytest.fixture
def assert_data_sensitive(saliency_case: Case) -> Assertion:
    """assert_data_sensitive(explainer, make_model=None, train_set=None, inputs=None, ...): other data, another map."""
    return _filled("assert_data_sensitive", saliency_case)


@pytest.fixture
def assert_insertion_deletion(saliency_case: Case) -> Assertion:
    """assert_insertion_deletion(explainer, model=None, inputs=None, ...): the score follows the relevant pixels."""
    return _filled("assert_insertion_deletion", saliency_case)


@pytest.fixture
def assert_localized(saliency_case: Case) -> Assertion:
    """assert_localized(explainer, model=None, inputs=None, ..., regions=None): the map points at the regions."""
    return _filled("assert_localized", saliency_case)


@pytest.fixture
def assert_model_sensitive(saliency_case: Case) -> Assertion:
    """assert_model_sensitive(explainer, model=None, inputs=None, ...): another model gives another map."""
    return _filled("assert_model_sensitive", saliency_case)


@pytest.fixture
def assert_occlusion_sensitive(saliency_case: Case) -> Assertion:
    """assert_occlusion_sensitive(explainer, model=None, inputs=None, ...): hiding what the map points at hurts."""
    return _filled("assert_occlusion_sensitive", saliency_case)


@pytest.fixture
def assert_target_sensitive(saliency_case: Case) -> Assertion:
    """assert_target_sensitive(explainer, model=None, inputs=None, ...): another target gives another map."""
    return _filled("assert_target_sensitive", saliency_case)


def used(item: pytest.Item) -> frozenset[str]:
    """The names of the fixtures that a test uses, directly or through others; items of any plugin may have none."""
    names = getattr(item, "fixturenames", ())
    return (
        frozenset(name for name in names if isinstance(name, str))
        if isinstance(names, _MANY)
        else frozenset()
    )


def uses_ours(item: pytest.Item) -> bool:
    """Whether a test uses a fixture of this plugin."""
    return not NAMES.isdisjoint(used(item))


class _FixtureCase(Case):
    """A case whose missing fields are fixtures: looked up on first use, then kept."""

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name not in CASE_FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, _awaited(f"saliency_{name}", self._lookup))
        return self.__dict__[name]

    def __repr__(self) -> str:
        # pytest shows the fixtures of a failing test: that must not look up what the test left alone.
        used = [f"{name}={self.__dict__[name]!r}" for name in CASE_FIELDS if name in self.__dict__]
        return f"Case({', '.join([*used, '...'])})"


def _awaited(fixture: str, lookup: Callable[[str], Any]) -> Any:
    """The fixture's value, if it has one: where no plugin awaits a coroutine, pytest hands it over or fails."""
    __tracebackhide__ = True
    try:
        value = lookup(fixture)
    except pytest.fail.Exception as error:
        if "async fixture" in str(error) and repr(fixture) in str(error):
            raise TypeError(_ASYNC.format(fixture=fixture)) from None
        raise
    if not (inspect.iscoroutine(value) or inspect.isasyncgen(value)):
        return value
    if inspect.iscoroutine(value):
        value.close()  # else Python warns that it was never awaited
    raise TypeError(_ASYNC.format(fixture=fixture))


def _filled(name: str, case: Case) -> Assertion:
    """The library's assertion, with what is not given taken from the case."""

    def assertion(explainer: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        given = _bound(name, explainer, *args, **options)
        _complete(given, case)
        return getattr(pytest_saliency_sanity, name)(**given.arguments)

    assertion.__name__ = assertion.__qualname__ = name
    assertion.__doc__ = f"`pytest_saliency_sanity.{name}`; what is not given comes from saliency_* fixtures."
    return assertion


def _bound(name: str, /, *args: Any, **options: Any) -> inspect.BoundArguments:
    __tracebackhide__ = True
    # The package loads the check here, when a test calls it: the checks import torch.
    signature = inspect.signature(getattr(pytest_saliency_sanity, ASSERTIONS[name]))
    try:
        return signature.bind_partial(*args, **options)
    except TypeError as error:
        raise TypeError(f"{name}: {error}; it takes {', '.join(signature.parameters)}") from None


def _complete(given: inspect.BoundArguments, case: Case) -> None:
    """Take what was not given from the case; the check's signature says which fields it knows."""
    __tracebackhide__ = True
    wanted = [name for name in CASE_FIELDS if name in given.signature.parameters]
    if given.arguments.get("inputs") is not None:  # the case's targets belong to the case's inputs
        wanted = [name for name in wanted if name not in _OF_THE_INPUTS]
    for name in wanted:
        if given.arguments.get(name) is None:
            given.arguments[name] = _found(case, name)


def _found(case: Case, name: str) -> Any:
    __tracebackhide__ = True
    value = getattr(case, name)
    if name == "model" and value is None:
        raise TypeError("there is no model: pass one, or define the fixture saliency_model in conftest.py")
    return value
