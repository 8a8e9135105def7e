"""pytest starts without torch: the plugin imports nothing heavy, and this test would notice if it did."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("captum", "numpy", "scipy", "skimage", "torch", "torchvision")
PROGRAM = """
import sys
{planted}
import pytest
import pytest_saliency_sanity.plugin
assert pytest_saliency_sanity.__all__ and dir(pytest_saliency_sanity)
print(*(name for name in {heavy!r} if name in sys.modules))
"""
HELP = """
import contextlib, io, sys, pytest
{planted}
with contextlib.redirect_stdout(io.StringIO()) as shown:
    code = pytest.main(["--help", "-p", "no:cacheprovider"])
assert code == 0 and "--saliency-seed" in shown.getvalue()
print(*(name for name in {heavy!r} if name in sys.modules))
"""


def imported(program: str, planted: str = "") -> list[str]:
    """The heavy packages that a fresh interpreter has after running the program."""
    code = program.format(planted=planted, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("program", [PROGRAM, HELP], ids=["import", "pytest --help"])
def test_nothing_heavy_is_imported(program: str) -> None:
    assert imported(program) == []


@pytest.mark.parametrize("program", [PROGRAM, HELP], ids=["import", "pytest --help"])
def test_a_planted_import_is_noticed(program: str) -> None:
    assert imported(program, planted="import numpy") == ["numpy"]


def test_a_run_without_a_check_imports_no_torch(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys
        from judging import check

        def test_it(saliency_case, assert_model_sensitive):
            check("pass")
            assert saliency_case.inputs is None
            assert "torch" not in sys.modules
        """
    )
    project.runpytest_subprocess().assert_outcomes(passed=1)
