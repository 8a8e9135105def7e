"""The example project's files for CI: they are valid, and the lines that they run do what they say."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pytest_saliency_sanity.report.document import Report
from tests import machine
from tests.manual import ROOT, page

EXAMPLE = ROOT / "example_project"
GITHUB, GITLAB, HOOK = ".github/workflows/saliency.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml"
SCHEMAS = {
    "vendor.github-workflows": GITHUB,
    "custom.github-workflows-require-timeout": GITHUB,
    "vendor.gitlab-ci": GITLAB,
}
LEFT_OUT = {'pip install ".[test]"': "from the package index; the environment of this run has all of it"}
ONE_TEST = '-k "pen_strokes and looks_at_the_model"'
WHOLE = "saliency sanity: 23 passed, 0 failed, 8 failed as expected, 0 inconclusive, 0 errors"


def loaded(file: str) -> Any:
    return YAML(typ="safe").load(EXAMPLE / file)


def steps() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The job of GitHub's workflow, and each of its steps."""
    for name, job in loaded(GITHUB)["jobs"].items():
        for step in job["steps"]:
            yield name, step


def lines(file: str) -> list[str]:
    """What a file hands to a shell."""
    if file == GITHUB:
        return [step["run"] for _, step in steps() if "run" in step]
    if file == GITLAB:
        return [line for part in ("before_script", "script") for line in loaded(file)["saliency"][part]]
    return [hook["entry"] for repository in loaded(file)["repos"] for hook in repository["hooks"]]


def uploaded(file: str) -> list[str]:
    """The paths that leave the machine of CI."""
    if file == GITHUB:
        found = [step["with"]["path"] for _, step in steps() if "upload-artifact" in step.get("uses", "")]
        return [path for paths in found for path in paths.split()]
    artifacts = loaded(file)["saliency"]["artifacts"]
    return [*artifacts["paths"], artifacts["reports"]["junit"]]


def valid(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_it_is_valid(schema: str, tmp_path: Path) -> None:
    done = valid(schema, EXAMPLE / SCHEMAS[schema])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.extended
@pytest.mark.parametrize(
    "schema, right, wrong",
    [
        ("vendor.github-workflows", "runs-on:", "run-on:"),
        ("custom.github-workflows-require-timeout", "timeout-minutes: 5", "name: five"),
        ("vendor.gitlab-ci", "when: always", "when: ever"),
    ],
)
def test_what_is_not_is_found(schema: str, right: str, wrong: str, tmp_path: Path) -> None:
    text = (EXAMPLE / SCHEMAS[schema]).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "file.yml").write_text(text.replace(right, wrong), encoding="utf-8")
    assert valid(schema, tmp_path / "file.yml").returncode != 0


def test_only_the_comment_may_write_and_there_no_code_of_the_project_runs() -> None:
    workflow = loaded(GITHUB)
    assert workflow["permissions"] == {"contents": "read"}
    may_write = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    assert may_write == {"comment": {"pull-requests": "write"}}
    used = [
        step.get("uses", step.get("run", "")).split("@")[0] for name, step in steps() if name == "comment"
    ]
    assert used[0] == "actions/download-artifact" and used[1].startswith("gh pr comment ") and len(used) == 2
    assert "pull_request_target" not in workflow["on"]
    (checkout,) = (step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@"))
    assert checkout["with"]["persist-credentials"] is False


def test_a_comment_that_cannot_be_written_fails_nothing() -> None:
    assert all(step["continue-on-error"] is True for name, step in steps() if name == "comment")
    condition = loaded(GITHUB)["jobs"]["comment"]["if"]
    assert "head.repo.full_name == github.repository" in condition  # the token of a fork may only read


def test_each_action_is_pinned_to_a_major_version() -> None:
    actions = [step["uses"] for _, step in steps() if "uses" in step]
    assert len(actions) >= 6
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


def test_nothing_of_the_event_is_pasted_into_a_shell() -> None:
    assert not [line for line in lines(GITHUB) if "${{" in line]


def test_the_cache_is_that_of_the_networks_by_files_that_are_there() -> None:
    (cache,) = (step["with"] for _, step in steps() if step.get("uses", "").startswith("actions/cache@"))
    assert f"--saliency-cache={cache['path']}" in lines(GITHUB)[1]
    patterns = re.findall(r"'([^']+)'", cache["key"])
    assert len(patterns) == 4 and all(any(EXAMPLE.glob(pattern)) for pattern in patterns)
    (_, networks) = loaded(GITLAB)["saliency"]["cache"]
    assert f"--saliency-cache={networks['paths'][0]}" in lines(GITLAB)[1]
    assert all((EXAMPLE / file).is_file() for file in networks["key"]["files"])


def test_both_ask_the_same() -> None:
    assert [line for line in lines(GITHUB) if "pytest" in line] == [
        line for line in lines(GITLAB) if "pytest" in line
    ]


def test_each_line_is_executed_here_or_left_out() -> None:
    for file in (GITHUB, GITLAB, HOOK):
        assert any(line.startswith("pytest ") for line in lines(file))
        assert all(line.startswith(("pytest ", "gh ")) or line in LEFT_OUT for line in lines(file)), file
    assert set(LEFT_OUT) <= {*lines(GITHUB), *lines(GITLAB)}


def test_the_manual_shows_these_files() -> None:
    shown = re.findall(r"```\{literalinclude\} \.\./\.\./example_project/(\S+)", page("howto/gate_a_merge"))
    assert shown == [GITHUB, GITLAB, HOOK]


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def checkout(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example project, as CI has it; trained networks are shared with other tests of this run."""
    there = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("saliency-report", ".saliency-networks", ".pytest_cache", "__pycache__")
    shutil.copytree(EXAMPLE, there, ignore=left_out)
    shared = tmp_path_factory.getbasetemp().parent / f"example_networks-{machine.fingerprint()}"
    shared.mkdir(exist_ok=True)
    (there / ".saliency-networks").symlink_to(shared)
    return there


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Run:
    """Runs a line in the copy as GitHub does; `pytest` is that of this Python, and `gh` writes down what it is told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    _program(programs / "pytest", f'exec "{sys.executable}" -m pytest -p no:cacheprovider "$@"')
    _program(
        programs / "gh",
        f'printf "%s\\n" "$@" > "{tmp_path / "told"}"; cat "${{@: -1}}" >> "{tmp_path / "told"}"',
    )

    def line_of(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        of_ci = {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line], cwd=checkout, env={**outside, **of_ci, **path, **environment},
            capture_output=True, text=True, timeout=900,
        )  # fmt: skip

    return line_of


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def train_less(checkout: Path) -> None:
    """One epoch instead of eight, for a test that asks for no good network."""
    training = checkout / "digit_reader" / "training.py"
    text = training.read_text(encoding="utf-8")
    assert "epochs: int = 8" in text
    training.write_text(text.replace("epochs: int = 8", "epochs: int = 1"), encoding="utf-8")


def test_a_line_of_the_workflow_leaves_all_that_is_uploaded(run: Run, checkout: Path, tmp_path: Path) -> None:
    """With one test of the project; all of them are an extended test."""
    train_less(checkout)
    (line,) = (line for line in lines(GITHUB) if line.startswith("pytest "))
    done = run(line, PYTEST_ADDOPTS=ONE_TEST)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_uploaded(checkout, GITHUB)
    assert "1 failed as expected" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    (comment,) = (line for line in lines(GITHUB) if line.startswith("gh "))
    assert run(comment, PULL_REQUEST="14").returncode == 0
    told = (tmp_path / "told").read_text(encoding="utf-8")
    assert told.startswith(
        "pr\ncomment\n14\n--edit-last\n--create-if-none\n--body-file\nsaliency-report/comment.md\n"
    )
    assert "1 failed as expected" in told


def assert_uploaded(checkout: Path, file: str) -> None:
    """Whatever the file uploads is there, and has the run's verdicts."""
    for path in uploaded(file):
        found = checkout / path
        assert found.stat().st_size if found.is_file() else any(found.iterdir()), path
    report = Report.read(checkout / "saliency-report" / "verdicts.json")
    properties = ElementTree.parse(checkout / "saliency-report" / "junit.xml").iter("property")
    in_junit = [one for one in properties if one.attrib["name"] == "saliency_verdict"]
    assert len(report.entries) == len(in_junit) >= 1
    assert list((checkout / "saliency-report" / "maps").glob("*.png"))


@pytest.mark.extended
@pytest.mark.parametrize("file", [GITHUB, GITLAB])
def test_the_whole_line_is_green(run: Run, checkout: Path, file: str) -> None:
    (line,) = (line for line in lines(file) if line.startswith("pytest "))
    done = run(line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert WHOLE in done.stdout
    assert_uploaded(checkout, file)


@pytest.mark.extended
def test_the_hook_is_green(run: Run) -> None:
    (line,) = lines(HOOK)
    done = run(line, CI="", GITHUB_ACTIONS="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed, \d+ deselected, 7 xfailed", done.stdout), done.stdout


@pytest.mark.extended
@pytest.mark.parametrize("file", [GITHUB, GITLAB, HOOK])
def test_an_explanation_that_ignores_the_model_is_stopped(run: Run, checkout: Path, file: str) -> None:
    train_less(checkout)
    explanations = checkout / "digit_reader" / "explanations.py"
    with explanations.open("a", encoding="utf-8") as text:
        text.write("\n\ndef stroke_evidence(model, images, targets, *, steps=20):\n")
        text.write("    return pen_strokes(model, images, targets)\n")
    (line,) = (line for line in lines(file) if line.startswith("pytest "))
    done = run(line, PYTEST_ADDOPTS='-k "stroke_evidence and looks_at_the_model"')
    assert done.returncode == 1, done.stdout + done.stderr
    assert "stroke_evidence ignores the model" in done.stdout
    if file != HOOK:
        assert (
            "REGRESSION     tests/test_explanations.py::test_looks_at_the_model[stroke_evidence]"
            in done.stdout
        )
        assert_uploaded(checkout, file)
