"""Which tests there are, and which of them ran: what is gone can be told from what was only left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_SELECTING = ("keyword", "markexpr", "deselect", "lf", "newfirst", "stepwise")


class Presence:
    """The tests of a run.

    Attributes:
        ran: node ids of the tests that ran, or were skipped.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._selects = any(config.getoption(name, None) for name in _SELECTING)
        self._known: set[str] = set()
        # Whether the known tests are all those of their files, deselected ones included.
        self._complete = not any("::" in str(argument) for argument in config.args)
        self.ran: set[str] = set()

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._known.add(item.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._known.update(ids)
        self._complete = (
            self._complete and not self._selects
        )  # a worker says what is left after the selection

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
