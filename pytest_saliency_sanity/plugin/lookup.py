"""What pytest misses because `saliency_*` fixtures are looked up late, and misspelled fixtures.

An assertion looks a fixture up when it is called. So pytest, which reads signatures, would not parametrize a test by
it, and a misspelled name would go unnoticed. This module reads internals of pytest. If they have changed, it shows
nothing and warns of nothing: a suite never breaks because of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_saliency_sanity.checks.registration import asserted
from pytest_saliency_sanity.plugin.fixtures import CASE_FIELDS, names, uses_ours

_INTERNAL = (AttributeError, TypeError, KeyError, IndexError, ValueError)
_REGISTRIES = (
    "_arg2node2fixturedefs",
    "_arg2nodeid2fixturedefs",
    "_arg2fixturedefs",
)  # since 9.1, 9.1, before


@contextmanager
def shown_to_parametrization(metafunc: pytest.Metafunc) -> Iterator[None]:
    """Inside the block the test seems to ask for what its assertions may look up; setup will not see it."""
    try:
        added = _looked_up(metafunc)
        metafunc._arg2fixturedefs.update({name: found for name, found in added.items() if found})
    except _INTERNAL:
        added = {}
    # The very list that pytest's own parametrization and the test's setup read.
    metafunc.fixturenames.extend(added)
    try:
        yield
    finally:
        metafunc.fixturenames[:] = [name for name in metafunc.fixturenames if name not in added]


def warn_of_misspelled(item: pytest.Item) -> None:
    """A fixture `saliency_input` would never be looked up, and stand-ins be audited in its place.

    Raises:
        pytest.PytestWarning: where the project's filter makes an error of it, which then is this test's.
    """
    __tracebackhide__ = True
    if uses_ours(item):
        for written, meant in _misspelled(item):
            item.warn(pytest.PytestWarning(f"no check uses the fixture {written!r}; did you mean {meant!r}?"))


def _looked_up(metafunc: pytest.Metafunc) -> dict[str, Sequence[Any]]:
    """The fixtures that the test's assertions may look up, and what these need, by name with their definitions."""
    definition = metafunc.definition
    direct = set(_directly_parametrized(definition))
    pending = [f"saliency_{field}" for field in _fields(metafunc)]
    found: dict[str, Sequence[Any]] = {}
    while pending:
        name = pending.pop(0)
        if name in found or name in metafunc.fixturenames:
            continue
        definitions = () if name in direct else _definitions(definition, name)
        if definitions or name in direct:
            found[name] = definitions
        for one in reversed(definitions):
            pending += one.argnames
            if name not in one.argnames:  # else it asks for the one that it overrides
                break
    return found


def _fields(metafunc: pytest.Metafunc) -> list[str]:
    """The fields of the case that the test may read: all, where it has the case itself."""
    if _asks_for_the_case(metafunc):
        return list(CASE_FIELDS)
    asked = [check for name, check in asserted().items() if name in metafunc.fixturenames]
    return [field for field in CASE_FIELDS if any(field in check.takes for check in asked)]


def _asks_for_the_case(metafunc: pytest.Metafunc) -> bool:
    if "saliency_case" in metafunc.definition._fixtureinfo.initialnames:
        return True
    others = (name for name in metafunc.fixturenames if name not in asserted())
    return any(
        "saliency_case" in one.argnames for name in others for one in metafunc._arg2fixturedefs.get(name, ())
    )


def _directly_parametrized(definition: pytest.Item) -> Iterator[str]:
    for mark in definition.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs["argnames"]
        if isinstance(names, str):
            names = [name.strip() for name in names.split(",")]
        indirect = mark.args[2] if len(mark.args) > 2 else mark.kwargs.get("indirect", False)
        if indirect is not True:
            yield from (name for name in names if name not in (indirect or ()))


def _misspelled(item: pytest.Item) -> list[tuple[str, str]]:
    try:
        return list(_nearly_right(item))
    except _INTERNAL:
        return []


def _nearly_right(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """Fixtures that the test sees and the checks do not, and which of theirs has nearly the same name."""
    manager = item.session._fixturemanager
    defined = {name for registry in _REGISTRIES for name in getattr(manager, registry, ())}
    for name in sorted(name for name in defined - names() if name.startswith("sal")):
        for meant in difflib.get_close_matches(name, names(), 1, cutoff=0.9):
            if _definitions(item, name) and not _is_overridden(item, meant):
                yield name, meant


def _is_overridden(item: pytest.Item, name: str) -> bool:
    """Whether the project says what the fixture is, so that a similar name is no mistake."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return name in parameters or len(_definitions(item, name)) > 1


def _definitions(node: pytest.Item, name: str) -> Sequence[Any]:
    """The definitions of a fixture that a test sees, the closest one last."""
    manager = node.session._fixturemanager
    try:
        return manager.getfixturedefs(name, node) or ()
    except (AttributeError, TypeError):  # pytest before 8.1
        return manager.getfixturedefs(name, node.nodeid) or ()  # type: ignore[arg-type]  # pyright: ignore  # an id, there
