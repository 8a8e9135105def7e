"""Which tests there are, and which of them ran: what is gone can be told from what was only left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_saliency_sanity.plugin import worker_output

_COLLECTED = pytest.StashKey[set[str]]()
_LEFT_OUT = "left_out"


def note(item: pytest.Item) -> None:
    """Remember that a test was collected, whether it is selected later or not."""
    item.config.stash.setdefault(_COLLECTED, set()).add(item.nodeid)


def tell(session: pytest.Session) -> None:
    """On a worker: say whether tests were left out, which its list of tests does not show."""
    collected = session.config.stash.get(_COLLECTED, set())
    left_out = not collected <= {item.nodeid for item in session.items}
    worker_output.say(session.config, **{_LEFT_OUT: left_out})


class Presence:
    """The tests of a run.

    Attributes:
        ran: node ids of the tests that ran, or were skipped.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._known: set[str] = set()
        # Whether the known tests are all those of their files, deselected ones included; --lf leaves out tests before
        # they are collected.
        self._complete = not any("::" in str(argument) for argument in config.args)
        self._complete &= not config.getoption("lf", False)
        self.ran: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._known.add(item.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._known.update(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._complete &= (
            worker_output.told(node).get(_LEFT_OUT) is False
        )  # a worker that crashed says nothing

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran.add(report.nodeid)

    def is_gone(self, nodeid: str) -> bool:
        """Whether a test that a baseline names is not there any more."""
        if nodeid in self._known:
            return False
        path = nodeid.partition("::")[0]
        if not path.endswith(".py"):  # of flags, not of a file
            return False
        collected = any(known.partition("::")[0] == path for known in self._known)
        return not Path(self._root, path).exists() or (collected and self._complete)
