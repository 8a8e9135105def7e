"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pytest_saliency_sanity import settings

pytest_plugins = ["pytester"]

# Before anything imports torch: several test processes with several threads each fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Defaults, and no records: explainers that are bad on purpose are no news of this run."""
    with settings.using(settings.Settings()):
        yield
