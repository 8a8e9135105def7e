"""Which explainers' contracts have a test of their own in this run: the others fail where their contract is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

CONTRACT = "contract"
_REPORTED = pytest.StashKey[set[tuple[str, str]]]()


def remember(session: pytest.Session) -> None:
    """Read what was selected; each worker of xdist collects and selects the same."""
    asked = ((item, _asked(item)) for item in session.items)
    session.config.stash[_REPORTED] = {
        (_function(item), explainer) for item, (explainer, check) in asked if check == CONTRACT
    }


def reports_contract(item: pytest.Item) -> Callable[[str], bool]:
    """Whether another item of the same function is the contract of the explainer of that name."""
    reported = item.config.stash.get(_REPORTED, set())
    return lambda explainer: (_function(item), explainer) in reported


def _asked(item: pytest.Item) -> tuple[str, str]:
    """The names of an item's explainer and check; empty where it is none of ours."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    found = getattr(item, "sanity_check", None) or parameters.get("sanity_check")
    return getattr(found, "explainer", ""), getattr(found, "name", "")


def _function(item: pytest.Item) -> str:
    return type(item).__name__ if hasattr(item, "sanity_check") else item.nodeid.partition("[")[0]
