"""The example project, run as the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "example_project", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600).stdout


def test_honest_explainers_pass_and_the_known_failures_are_expected():
    output = run()
    assert re.search(
        r"saliency sanity: 12 passed, 0 failed, 4 failed as expected, 0 inconclusive, 0 errors", output
    ), output
    assert re.search(r"=+ \d+ passed, 4 xfailed in .*=+", output), output


def test_the_readme_shows_the_failure_as_it_prints():
    output = run("-k", "guided_backprop and model", "--runxfail")
    shown = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    for line in shown.splitlines():
        # Digits after the point differ with the processor's arithmetic; words and layout do not.
        pattern = re.sub(r"-?\d\\\.\d\d", r"-?\\d\\.\\d\\d", re.escape(line.rstrip()))
        assert re.search(rf"^{pattern}\s*$", output, re.M), (line, output)
