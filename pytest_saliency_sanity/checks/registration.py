"""All checks that there are: this package's, those of entry points, and those that were registered in this process."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterable
from typing import Any

from pytest_saliency_sanity.checks.registry import CHECKS, Check
from pytest_saliency_sanity.text import shown

GROUP = "pytest_saliency_sanity.checks"  # of entry points, each of which is a `Check`
_registered: dict[str, Check] = {}


def known() -> tuple[Check, ...]:
    """All checks: those of this package, those of entry points, those that were registered."""
    return (*CHECKS, *_of_entry_points(), *_registered.values())


def asserted() -> dict[str, Check]:
    """Those that have an assertion, by its name."""
    return {check.assertion: check for check in known() if check.assertion}


def register_check(check: Check) -> Check:
    """Let a check of another package or project stand beside those of this package, in this process.

    Raises:
        TypeError, ValueError: for what is no `Check`, for a name that another one has, for fields that no `Case` has.
    """
    _registered[check.name] = checked(check, known())
    return check


def unregister_check(check: Check) -> None:
    """Take back `register_check`."""
    _registered.pop(check.name, None)


def checked(check: Any, others: Iterable[Check] = ()) -> Check:
    """The check, if it can stand beside the others.

    Raises:
        TypeError, ValueError: in one sentence.
    """
    from pytest_saliency_sanity.case import Case

    if not isinstance(check, Check):
        raise TypeError(f"a check must be a Check(name=…, assertion=…, path=…), not {shown(check)}")
    fields = [field.name for field in dataclasses.fields(Case)]
    for name in (check.name, check.assertion or "assert_nothing"):
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(
                f"{shown(name)} cannot be the name of a check or an assertion: it is no identifier"
            )
    if not check.path:
        raise ValueError(
            f'the check {check.name!r} has no path: pass its function, or "package.module:function"'
        )
    for name in (*check.takes, *check.needs):
        if name not in fields:
            raise ValueError(
                f"the check {check.name!r} takes {name!r} of a Case, which has {', '.join(fields)}"
            )
    for other in others:
        if other.name == check.name or (check.assertion and other.assertion == check.assertion):
            raise ValueError(
                f"there is a check {other.name!r} with the assertion {other.assertion!r} already"
            )
    return check


@functools.cache
def _of_entry_points() -> tuple[Check, ...]:
    found: list[Check] = []
    for point in importlib.metadata.entry_points(group=GROUP):
        found.append(checked(point.load(), (*CHECKS, *found)))
    return tuple(found)


def of_name(name: str) -> Check:
    """The check of that name."""
    return next(check for check in known() if check.name == name)
