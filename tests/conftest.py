"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_saliency_sanity import settings

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Defaults, and no records: explainers that are bad on purpose are no news of this run."""
    with settings.using(settings.Settings()):
        yield
