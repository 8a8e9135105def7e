"""What the README promises is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity import explainers, settings
from pytest_saliency_sanity.checks.model_sensitivity import ONE_SIDED, SIGNED
from tests import machine

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


CI = (ROOT / ".ci" / "run").read_text()


def stage(name: str) -> str:
    """What a stage of .ci/run does, in one line."""
    return re.search(rf"^{name}\(\) \{{ (.*?); \}}", CI, re.M).group(1)


def test_ci_runs_the_readmes_test_command():
    commands = re.search(r"```console\n(.*?)```", README, re.S).group(1).splitlines()
    assert len(commands) == 2
    assert f"{stage('install')} && {stage('tests')}" == f"rm -rf .venv; {commands[1]}"
    assert 'for stage in "${@:-install}" $([ $# -gt 0 ] || echo lint types wheel tests); do' in CI
    assert 'set -euo pipefail\ncd "$(dirname "$0")/.."\n' in CI


@pytest.mark.parametrize(
    "arguments, ran", [((), "install lint types wheel tests"), (("lint", "types"), "lint types")]
)
def test_the_stages_of_ci(arguments, ran, tmp_path):
    """Of a copy whose stages do nothing; the first one that fails ends it."""
    there = tmp_path / ".ci"
    there.mkdir()
    script = re.sub(r"^(install|lint|types|tests)\(\) \{ .*; \}", r"\1() { true; }", CI, flags=re.M)
    script = re.sub(r"^wheel\(\) \{.*?^\}", "wheel() { true; }", script, flags=re.M | re.S)
    (there / "run").write_text(script)
    done = subprocess.run(["bash", there / "run", *arguments], capture_output=True, text=True, check=True)
    assert re.findall(r"^== (\w+)$", done.stdout, re.M) == ran.split()
    assert re.search(rf"^== took: {', '.join(f'{one} [0-9]+ s' for one in ran.split())}$", done.stdout, re.M)
    (there / "run").write_text(script.replace("types() { true; }", "types() { false; }"))
    stopped = subprocess.run(["bash", there / "run", *arguments], capture_output=True, text=True)
    assert stopped.returncode != 0 and "== tests" not in stopped.stdout


@pytest.mark.parametrize("day, number", [("001", 1), ("008", 8), ("010", 0), ("099", 9), ("366", 6)])
def test_ci_plays_another_machine_each_day(day, number, tmp_path):
    """`date` is a script here; numbers that begin with 0 are decimal all the same."""
    setting = next(
        line for line in (ROOT / ".ci" / "run").read_text().splitlines() if machine.VARIABLE in line
    )
    (tmp_path / "date").write_text(f'#!/bin/sh\n[ "$1" = +%j ] && echo {day}\n')
    (tmp_path / "date").chmod(0o755)
    command = f'PATH="{tmp_path}:$PATH"; {setting}; echo "${machine.VARIABLE}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == f"{number}\n"


def test_contributing_names_the_same_command():
    command = re.search(r"```console\n.*\n(.*)\n```", README).group(1)
    assert command in (ROOT / "CONTRIBUTING.md").read_text()


def test_the_names_exist():
    for name in re.findall(r"`((?:assert|check)_\w+)`", README):
        assert callable(getattr(pytest_saliency_sanity, name))
    listed = re.search(r"`pytest_saliency_sanity.explainers` has (.*?);", README, re.S).group(1)
    for name in re.findall(r"`(\w+)`", listed):
        assert callable(getattr(explainers, name))


def test_the_settings_are_all_there():
    assert re.findall(r"^\| `--saliency-\S+.*?\| `(\w+)` \|", README, re.M) == [
        "profile",
        "seed",
        "inconclusive",
        "max_seconds",
        "cache",
    ]
    assert set(settings.SETTABLE) == {"profile", "seed", "inconclusive", "max_seconds", "cache"}
    for profile in settings.PROFILES.values():
        assert f"{profile.images} × {profile.draws}" in README.replace(" images × ", " × ").replace(
            " draws", ""
        )


def test_the_thresholds_are_the_codes():
    assert f"`threshold={SIGNED}`" in README
    assert f"only above {ONE_SIDED} (`one_sided_threshold=`)" in README


def test_the_modules_that_it_names_can_be_run():
    for module in set(re.findall(r"python -m (tests[\w.]+)", README)):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
