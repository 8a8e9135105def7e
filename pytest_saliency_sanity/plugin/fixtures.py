"""What a test asks for: the project's case, and the assertions with the case filled in.

A project overrides the `saliency_*` fixtures that it has in its conftest.py; each is looked up only when a
check needs it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity.case import Case
from pytest_saliency_sanity.checks.registration import asserted
from pytest_saliency_sanity.checks.registry import ASSERTED, Check

Assertion = Callable[..., Any]
CASE_FIELDS = tuple(field.name for field in fields(Case))
FIELD_FIXTURES = frozenset(["saliency_case", *(f"saliency_{name}" for name in CASE_FIELDS)])
_ASYNC = (
    "the fixture {fixture} is async, and a check does not await it: define it with `def` (and run the coroutine "
    "with asyncio.run(...)), or let the test request {fixture} by name if a plugin awaits it (pytest-asyncio, anyio)"
)
_MANY = (list, tuple, set, frozenset)
_OF_THE_INPUTS = ("targets", "labels", "regions", "channel_axis", "embed")


# What a project says in its conftest.py, by the fields of a case.
_FIELDS = {
    "model": "The model whose explanations are audited; None until a conftest.py overrides it.",
    "inputs": "Inputs to explain, (N, C, *S) or a tuple of such; None, the default, means stand-in photographs.",
    "targets": "Targets of `saliency_inputs`, (N,) int64 or (N, K); None, the default, means the model's prediction.",
    "labels": "True labels of `saliency_inputs`, (N,) int64 or (N, K) of 0 and 1; with them the model's accuracy is "
    "checked.",
    "train_set": "A pair of tensors or a map-style dataset, for checks that train.",
    "make_model": "A function that builds an untrained model, for checks that train.",
    "regions": "What explanations of `saliency_inputs` should point at: boxes or boolean masks.",
    "channel_axis": "Where the channels of `saliency_inputs` are: None, the default, for (N, C, *S); -1 for embeddings "
    "(N, L, D).",
    "embed": "For models of token ids, the name of the layer whose output is explained; None, the default, for none.",
    "reference": "Where maps of the last release are kept, for `assert_parity`: a file (.safetensors), or a folder "
    "with a file for each explainer.",
}


def _field(name: str, words: str) -> Any:
    """The fixture of a field, which a project overrides."""

    def absent() -> Any:
        return None

    absent.__name__ = absent.__qualname__ = f"saliency_{name}"
    absent.__doc__ = words
    return pytest.fixture(scope="session")(absent)


FIELDS = {f"saliency_{name}": _field(name, words) for name, words in _FIELDS.items()}


@pytest.fixture
def saliency_case(request: pytest.FixtureRequest) -> Case:
    """Everything that the project's `saliency_*` fixtures say, each looked up when it is used."""
    case = object.__new__(_FixtureCase)
    object.__setattr__(case, "_lookup", request.getfixturevalue)
    return case


def fixture_of(check: Check) -> Any:
    """The fixture of a check's assertion: what is not given comes from the project's case."""
    name = str(check.assertion)

    def assertion(saliency_case: Case) -> Assertion:
        return _filled(check, name, saliency_case)

    assertion.__name__ = assertion.__qualname__ = name
    given = ", ".join(f"{field}=None" for field in check.takes)
    assertion.__doc__ = f"{name}(explainer, {given}, ...):\n{check.question}"
    return pytest.fixture(assertion)


ASSERTIONS = {name: fixture_of(check) for name, check in ASSERTED.items()}


def names() -> frozenset[str]:
    """All fixtures of this plugin, those of other packages' checks included."""
    return FIELD_FIXTURES | asserted().keys()


def training() -> frozenset[str]:
    """Those that train networks."""
    return frozenset(name for name, check in asserted().items() if check.trains)


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
    return not names().isdisjoint(used(item))


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


def _filled(check: Check, name: str, case: Case) -> Assertion:
    """The library's assertion, with what is not given taken from the case."""

    def assertion(explainer: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        given = _bound(check, name, explainer, *args, **options)
        _complete(given, case)
        own = getattr(pytest_saliency_sanity, name, None)
        return (own or check.load_assertion())(**given.arguments)

    assertion.__name__ = assertion.__qualname__ = name
    assertion.__doc__ = f"`pytest_saliency_sanity.{name}`; what is not given comes from saliency_* fixtures."
    return assertion


def _bound(check: Check, name: str, /, *args: Any, **options: Any) -> inspect.BoundArguments:
    __tracebackhide__ = True
    # The package loads the check here, when a test calls it: the checks import torch.
    signature = inspect.signature(getattr(pytest_saliency_sanity, check.function, None) or check.load())
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
