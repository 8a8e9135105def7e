"""What README and manual promise is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import PurePosixPath

import pytest

import pytest_saliency_sanity
from pytest_saliency_sanity import explainers, planted, settings
from pytest_saliency_sanity.checks import data_sensitivity, target_sensitivity
from pytest_saliency_sanity.checks.consistency import MIN_AGREEMENT
from pytest_saliency_sanity.checks.model_sensitivity import ONE_SIDED, SIGNED
from pytest_saliency_sanity.checks.registry import ASSERTED, CHECKS
from tests import machine
from tests.manual import PAGES, README, ROOT, WHOLE, page, prose, rows

CI = (ROOT / ".ci" / "run").read_text()


def stage(name: str) -> str:
    """What a stage of .ci/run does, in one line."""
    return re.search(rf"^{name}\(\) \{{ (.*?); \}}", CI, re.M).group(1)


def test_ci_runs_the_readmes_test_command():
    commands = re.search(r"```console\n(.*?)```", README, re.S).group(1).splitlines()
    assert len(commands) == 2
    installed = stage("install").removesuffix(" && compiled && browser")
    assert f"{installed} && {stage('tests')}" == f"rm -rf .venv; {commands[1]}"
    assert 'for stage in "${@:-install}" $([ $# -gt 0 ] || echo lint+types+docs+wheel tests); do' in CI
    assert 'set -euo pipefail\ncd "$(dirname "$0")/.."\n' in CI


@pytest.mark.parametrize(
    "arguments, ran",
    [
        ((), "install lint+types+docs+wheel tests"),
        (("lint", "types"), "lint types"),
        (("types+docs", "tests"), "types+docs tests"),
    ],
)
def test_the_stages_of_ci(arguments, ran, tmp_path):
    """Of a copy whose stages say their name; one that fails ends it, when those beside it are over."""
    there = tmp_path / ".ci"
    there.mkdir()
    script = re.sub(r"^(install|lint|types|docs|tests)\(\) \{ .*; \}", r"\1() { echo \1; }", CI, flags=re.M)
    script = re.sub(r"^wheel\(\) \{.*?^\}", "wheel() { echo wheel; }", script, flags=re.M | re.S)
    (there / "run").write_text(script)
    done = subprocess.run(["bash", there / "run", *arguments], capture_output=True, text=True, check=True)
    assert re.findall(r"^== ([\w+]+)$", done.stdout, re.M) == ran.split()
    assert re.findall(r"^\w+$", done.stdout, re.M) == ran.replace("+", " ").split()
    took = ", ".join(f"{re.escape(one)} [0-9]+ s" for one in ran.split())
    assert re.search(rf"^== took: {took}$", done.stdout, re.M)
    (there / "run").write_text(script.replace("types() { echo types; }", "types() { false; echo types; }"))
    stopped = subprocess.run(["bash", there / "run", *arguments], capture_output=True, text=True)
    assert stopped.returncode != 0 and "== tests" not in stopped.stdout
    assert "\ntypes\n" not in stopped.stdout and ("docs" in ran) == ("\ndocs\n" in stopped.stdout)


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


def test_contributing_has_a_row_for_each_stage():
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    default = re.search(r"echo ([\w+ ]+)\);", CI).group(1).replace("+", " ")
    assert re.findall(r"^\| `(\w+)` \| ", contributing.split("## The house")[0], re.M) == [
        "install",
        *default.split(),
        "lowest",  # only where it is named
    ]
    assert "\nlowest() {" in CI


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 180


def test_install_and_test_are_on_the_first_screen():
    first_screen = README.splitlines()[:40]
    assert "```console" in first_screen
    assert any(line.startswith("def test_") for line in first_screen)


def test_the_names_exist():
    names = set(re.findall(r"`((?:assert|check)_\w+)", WHOLE))
    assert len(names) > 15
    for name in names:
        assert callable(getattr(pytest_saliency_sanity, name))
    listed = re.search(
        r"`pytest_saliency_sanity.explainers` has (.*?);", page("reference/explainers"), re.S
    ).group(1)
    named = re.findall(r"`(\w+)`", listed)
    assert "Twelve methods of the literature come with the plugin" in README and len(named) == 12
    for name in named:
        assert callable(getattr(explainers, name))


def test_the_reference_has_every_explainer_and_every_check():
    described = re.findall(r"^\.\. auto\w+:: (\w+)$", page("reference/explainers"), re.M)
    assert sorted({*described, "CONTROLS"}) == sorted(explainers.__all__)
    described = re.findall(r"^\.\. auto\w+:: (\w+)$", page("reference/planted"), re.M)
    constants = {name for name in planted.__all__ if name.isupper()}
    assert sorted({*described, *constants}) == sorted(planted.__all__)
    checks = re.findall(r"^\.\. autofunction:: (\w+)$", page("reference/checks"), re.M)
    assert checks == [check.function for check in CHECKS]


def test_the_tables_of_the_checks_are_those_of_the_registry():
    front = rows(README, "| assertion |")
    assert [row[0] for row in front] == [f"`{name}`" for name in ASSERTED]
    assert all(all(row) for row in front)
    assert rows(page("reference/checks"), "| in a test |") == [
        [
            f"`{check.assertion}`" if check.assertion else "",
            f"`{check.function}`",
            check.question,
            check.source,
        ]
        for check in CHECKS
    ]
    for check in CHECKS:
        assert f"`{check.function}`" in README


def test_the_columns_of_messages_are_those_of_the_registry():
    shown = rows(page("reference/verdicts"), "| check |")
    assert [(heading, what) for _, heading, what in shown] == [
        item for check in CHECKS for item in check.columns.items() if item[1]
    ]


def test_the_settings_are_all_there():
    text = page("reference/settings")
    assert re.findall(r"^\| `--saliency-\S+.*?\| `(\w+)` \|", text, re.M) == [
        "profile",
        "seed",
        "inconclusive",
        "max_seconds",
        "cache",
        "min_verdicts",
        "artifacts",
        "baseline",
    ]
    without_flag = re.findall(r"^\| \| `(\w+)` \|", text, re.M)
    assert without_flag == ["junit", "pictures"]
    with_flag = re.findall(r"^\| `--saliency-\S+.*?\| `(\w+)` \|", text, re.M)
    assert {*with_flag, *without_flag} == set(settings.SETTABLE)
    for profile in settings.PROFILES.values():
        assert f"{profile.images} × {profile.draws}" in text.replace(" images × ", " × ").replace(
            " draws", ""
        )


def test_the_profiles_are_the_codes():
    assert rows(page("reference/settings"), "| profile |") == [
        [
            f"`{one.name}`",
            str(one.images),
            str(one.draws),
            ", ".join(one.depths),
            f"{one.max_seconds:g} s",
            f"{one.inconclusive}s its test",
        ]
        for one in settings.PROFILES.values()
    ]


def test_the_thresholds_are_the_codes():
    for name in ("howto/choose_a_threshold", "explanation/error_rates"):
        assert f"`threshold={SIGNED}`" in prose(name)
    assert f"only above {ONE_SIDED} (`one_sided_threshold=`)" in prose("howto/choose_a_threshold")
    assert f"only above {ONE_SIDED} (`one_sided_threshold=`)" in prose("explanation/model_sensitivity")
    for check, module in (("data", data_sensitivity), ("target", target_sensitivity)):
        text = prose(f"explanation/{check}_sensitivity")
        assert f"`threshold=` ({module.SIGNED})" in text
    assert f"`threshold=` ({SIGNED})" in prose("explanation/model_sensitivity")
    assert f"`threshold={data_sensitivity.SIGNED}`" in prose("explanation/error_rates")
    assert f"`min_agreement=` ({MIN_AGREEMENT})" in prose("explanation/consistency")


def test_the_error_rates_of_the_front_page_are_those_of_the_table():
    rates = page("explanation/error_rates")
    honest, faulty = re.search(
        r"(\d+ of \d+) honest explainers.* and (\d+ of \d+) faulty", README, re.S
    ).groups()
    assert f"honest explainers that fail: {honest} " in rates
    assert f"faulty explainers that pass: {faulty} " in rates


def test_the_modules_that_they_name_can_be_run():
    modules = set(re.findall(r"python\s+-m\s+(tests[\w.]+)", WHOLE))
    assert len(modules) == 34
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
        assert f"`python -m {module}" in page("reference/commands"), module


def test_links_lead_somewhere():
    for name, text in PAGES.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, heading = target.partition("#")
            there = (PurePosixPath(name).parent / path).as_posix() if path else name
            found = (ROOT / there).resolve()
            assert found.exists(), (name, target)
            if heading:
                titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.M)
                slugs = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
                assert heading in slugs, (name, target)
