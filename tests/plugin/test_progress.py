"""Progress of training: on the terminal though output is captured, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WRITES = """
    from pytest_saliency_sanity import settings

    def test_writes():
        print("captured")
        settings.current().progress.write("half done")
"""
SILENT = """
    from pytest_saliency_sanity import settings

    def test_silent():
        assert settings.current().progress is None
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_on_a_terminal(pytester: pytest.Pytester, capture: str) -> None:
    path = pytester.makepyfile(WRITES)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "pytest", f"--capture={capture}", "-p", "no:hypothesispytest", str(path)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=pytester.path)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert result.returncode == 0
    assert "half done" in shown
    assert "half done" not in result.stdout
    assert ("captured" in result.stdout) == (capture == "no")


def test_not_in_a_log_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SILENT)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    pytester.runpytest_subprocess("-n1").assert_outcomes(passed=1)
