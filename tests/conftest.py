"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_saliency_sanity import settings
from tests import machine
from tests.covering import leave_the_rest_to_extended

pytest_plugins = ["pytester"]

# Before anything imports torch: several test processes with several threads each fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
machine.play()


def pytest_report_header() -> list[str]:
    if machine.number() is None:
        return []
    return [f"{machine.VARIABLE}: plays machine {machine.number()}, relative noise of {machine.NOISE:g}"]


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """What `covering` leaves out is extended; the slowest tests run first, so no worker waits for them at the end."""
    leave_the_rest_to_extended(items)
    yield
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Defaults, and no records: explainers that are bad on purpose are no news of this run."""
    with settings.using(settings.Settings()):
        yield
