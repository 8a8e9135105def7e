"""Inner projects with a small network that is quick to audit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy  # noqa: F401 - before any inner run, which forgets the modules that it is the first to import
import pytest
import torch
import torch._dynamo
from torch import nn

import pytest_saliency_sanity.suite.auditing
import pytest_saliency_sanity.suite.classes
import pytest_saliency_sanity.suite.parametrization  # noqa: F401
from pytest_saliency_sanity import Audit, Case, audit, settings
from tests.plugin.quick import WITHOUT_THEM

CONFTEST = """
    import pytest
    import torch
    from torch import nn

    @pytest.fixture(scope="session")
    def saliency_model():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(512, 5),
        ).eval()

    @pytest.fixture(scope="session")
    def saliency_inputs():
        return torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
"""


@pytest.fixture(autouse=True)
def _quiet_inner_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PYTEST_ADDOPTS",
        f"{WITHOUT_THEM} -W ignore::pytest.PytestAssertRewriteWarning -p no:cacheprovider",
    )


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a model and inputs, and no training data."""
    pytester.makeconftest(CONFTEST)
    return pytester


@pytest.fixture(scope="session")
def case() -> Case:
    """The same model and inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(512, 5),
        ).eval()  # fmt: skip
    return Case(model=model, inputs=torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)))


@pytest.fixture(scope="session")
def serial(case: Case) -> Audit:
    """All kinds of explainers, audited in this process."""
    from tests.suite.audits import CHECKS, EXPLAINERS

    with settings.using(settings.Settings()):
        return audit(EXPLAINERS, case, CHECKS, progress=False)


@pytest.fixture
def anew() -> Iterator[None]:
    """No settings of the test that asks, and no contract that was asked before."""
    from pytest_saliency_sanity.suite import evaluation

    with settings.using(settings.Settings()):
        evaluation._contracts.clear()
        yield
