"""Inner projects for pytest inside pytest."""

from __future__ import annotations

from pathlib import Path

# Before any inner run, which forgets the modules that it is the first to import: numpy and matplotlib cannot be loaded
# twice in a process, and there would be a second Verdict class.
import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401
import numpy  # noqa: F401
import pytest

import pytest_saliency_sanity.report.page
import pytest_saliency_sanity.report.page.figures
import pytest_saliency_sanity.verdict  # noqa: F401
from tests.plugin.quick import WITHOUT_THEM

MIXED = """
    import pytest
    from judging import judge
    from pytest_saliency_sanity.errors import SanityCheckFailed

    def test_honest():
        judge("pass", explainer="gradient")

    def test_faulty():
        judge("fail")

    def test_unclear():
        judge("inconclusive", explainer="noisy")

    def test_broken():
        judge("error", explainer="broken")

    @pytest.mark.xfail(raises=SanityCheckFailed, strict=True, reason="known to ignore the model")
    def test_known():
        judge("fail", explainer="guided")
"""


@pytest.fixture(autouse=True)
def _quiet_inner_runs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # The outer run has imported our modules before the inner one could rewrite them, which has nothing to rewrite.
    quiet = f"{WITHOUT_THEM} -W ignore::pytest.PytestAssertRewriteWarning"
    monkeypatch.setenv("PYTEST_ADDOPTS", quiet)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """An empty project beside judging.py."""
    pytester.copy_example("judging.py")
    return pytester


@pytest.fixture
def mixed(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose tests have one verdict of each kind, and a known failure."""
    project.makepyfile(test_mixed=MIXED)
    return project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An inner run in this process has filters of its own, which begin where these end."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.filterwarnings("default"))
