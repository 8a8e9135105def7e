"""Progress of training: on the terminal though output is captured, and nowhere else."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.plugin.quick import WITHOUT_THEM

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
@pytest.mark.parametrize("capture", ["fd", pytest.param("sys", marks=pytest.mark.extended), "no"])
def test_on_a_terminal(pytester: pytest.Pytester, capture: str) -> None:
    path = pytester.makepyfile(WRITES)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "pytest", f"--capture={capture}", *WITHOUT_THEM.split(), str(path)]
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


LONG = """
    import time
    from pytest_saliency_sanity import settings

    def test_long():
        for _ in range(6):
            time.sleep(0.05)
            settings.current().explained(8)
        settings.current().tell("a sentence")
"""


@pytest.mark.parametrize("workers", [(), ("-n1",)])
def test_a_line_now_and_then_in_a_log(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makepyfile(LONG)
    pytester.makeconftest("from pytest_saliency_sanity.plugin import progress\nprogress.EVERY_SECONDS = 0.12")
    result = pytester.runpytest_subprocess(*workers)
    result.assert_outcomes(passed=1)
    told = [line for line in result.errlines if line.startswith("saliency sanity: ")]
    assert told[-1] == "saliency sanity: a sentence"
    assert 1 <= len(told[:-1]) <= 3
    assert all(
        re.fullmatch(r"saliency sanity: test_\w+\.py::test_long: \d+ maps in 0 s", line) for line in told[:-1]
    )


def test_nothing_is_said_of_what_is_quick(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(LONG.replace('settings.current().tell("a sentence")', "pass"))
    assert "saliency sanity" not in pytester.runpytest_subprocess("-q").stderr.str()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")
def test_a_bar_on_a_terminal(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(LONG.replace("0.05", "0.4"))
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "pytest", *WITHOUT_THEM.split(), str(path)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=pytester.path)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert result.returncode == 0
    assert re.search(r"::test_long: \d+ maps, 00:0\d", shown)
