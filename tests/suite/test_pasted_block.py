"""What a newcomer pastes into a suite, with classes of captum, on a trained network: its verdicts, under xdist too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manual import ROOT

CONFTEST = """
import pytest
from tests.documented import images, labels, model

@pytest.fixture(scope="session")
def saliency_model():
    return model

@pytest.fixture(scope="session")
def saliency_inputs():
    return images[:32]

@pytest.fixture(scope="session")
def saliency_labels():
    return labels[:32]
"""
PASTED = """
import captum.attr
from pytest_saliency_sanity import explainers, parametrize_with_sanity_checks

@parametrize_with_sanity_checks(
    {"ig": captum.attr.IntegratedGradients, "gbp": explainers.guided_backprop},
    checks="all",
    expected_failed_checks={"gbp": {"model_sensitivity": "edge-like by construction, see the manual"}})
def test_explainer(explainer, sanity_check, saliency_case):
    sanity_check(explainer, saliency_case)
"""
WITHOUT_MORE = (
    "contract", "consistency", "model_sensitivity", "target_sensitivity", "occlusion_sensitivity", "insertion_deletion",
)  # fmt: skip


def outcomes(folder: Path, *arguments: str) -> dict[str, str]:
    """Of each test, by what its id has in brackets."""
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_explainers.py").write_text(PASTED, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    found = re.findall(
        r"^(PASSED|FAILED|XFAIL|ERROR) test_explainers\.py::test_explainer\[(.+?)\]", done.stdout, re.M
    )
    assert found, done.stdout + done.stderr
    return {place: outcome for outcome, place in found}


@pytest.mark.extended
def test_its_verdicts_are_right_and_the_same_under_xdist(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    found = [outcomes(tmp_path, "-n", processes) for processes in ("0", "2")]
    assert found[0] == found[1]
    expected = {f"{name}-{check}": "PASSED" for name in ("ig", "gbp") for check in WITHOUT_MORE}
    assert found[0] == expected | {"gbp-model_sensitivity": "XFAIL", "gbp-target_sensitivity": "FAILED"}
