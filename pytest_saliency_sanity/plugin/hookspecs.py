"""Hooks that a project or another plugin may implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_saliency_sanity.checks.registry import Check


@pytest.hookspec
def pytest_saliency_checks(config: pytest.Config) -> Sequence[Check]:  # type: ignore[empty-body]  # pyright: ignore
    """Further checks, which then stand beside those of this package everywhere: as fixtures, in "all", in tables.

    Called once when pytest starts, in each process; implement it in the rootdir's conftest.py or in a plugin.
    """


@pytest.hookspec
def pytest_saliency_verdict(config: pytest.Config, nodeid: str, verdict: dict[str, Any]) -> None:
    """Called with each verdict as it arrives where all reports arrive: in the controller of xdist, else in the process.

    Args:
        config: of the run.
        nodeid: the test that reached it.
        verdict: `Verdict.to_json()`, with `number` (the running number among equal checks, explainers and models) and
            `observed` (whether it decided nothing), and what `records.attached` says of its pictures. A test that is
            run again sends its verdicts again.
    """
