"""What README and manual show that is no Python: commands are run, and what they print is held against what is shown.

Each kind of block has its place in `KINDS`, which says who executes it; a block without a place is an error.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.calibration import pages
from tests.manual import PAGES, README, ROOT, Block, fenced, inline_commands, page
from tests.test_code_blocks import CONFTEST
from tests.test_example_project import COMMAND, SHOWN, SUMMARY

CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
# Commands that nothing executes as they stand, with the reason.
LEFT_OUT = {
    "pip install pytest-saliency-sanity": "from the package index; .ci/run installs the wheel that it builds",
    "pip install .": "the stage `wheel` of .ci/run builds this very wheel and installs it",
    "pip install dask-jobqueue": "the page says that this part was not executed",
    "pip install dask-cuda": "the page says that this part was not executed",
    "pytest -n 2": "another plugin's, which .ci/run starts this very suite with",
    "pytest --splits 4 --group 1": "another plugin's; tests/plugin/test_other_plugins.py",
    "pip install quantus": "another library, which one benchmark compares with where it is installed",
}
BY_CI = (  # parts of lines that install or start this very suite
    "python3 -m venv .venv",
    '.venv/bin/pip install -q -e ".[test]"',
    ".venv/bin/pytest -n 2",
    ".venv/bin/python -m sphinx -b html docs docs/_build",
)
RUN_BESIDE = {  # commands of this repository that other extended tests run, with the test
    "tests.calibration.libraries": "tests/calibration/test_libraries.py",
    "tests.mutation": "tests/mutation/test_faults.py",
    "tests.mutation.faults": "tests/mutation/test_faults.py",
    "tests.mutation.libraries": "tests/mutation/test_libraries.py",
    "tests.figures.distancing": "tests/figures/test_distancing.py",
    "tests.figures.variations": "tests/figures/test_variations.py",
    "tests.figures.front_page": "tests/figures/test_pictures.py",
    "tests.figures.page": "tests/figures/test_pictures.py",
}
TOO_LONG = {  # no arguments make these short: that they are taken is tested, what they print is not
    "tests.benchmarks.bars": "it runs other benchmarks, for hours",
    "tests.benchmarks.baselines": "it runs the example project's tests once for each network",
    "tests.benchmarks.model_sensitivity": "a check on photographs of 224×224 pixels, many times",
    "tests.benchmarks.executor": "it starts a pool for each run, and audits for minutes",
    "tests.benchmarks.parity": "a check for each change and network, some with many samples",
    "tests.benchmarks.plan": "it runs the example project’s tests, and a check on images of 224×224 pixels",
    "tests.benchmarks.suites": "it runs the example project's tests under a profiler",
    "tests.benchmarks.growth": "a check for each size, in a process of its own, for minutes",
}
SHORT = (  # what `extended` runs of the others
    "tests.benchmarks.similarities --maps 4 --size 64 --turns 1",
    "tests.calibration.model_sensitivity --networks mlp --seeds 0 --explainers gradient sobel --jobs 1",
    "tests.calibration.target_sensitivity --networks mlp --seeds 0 --jobs 1",
    "tests.calibration.data_sensitivity --networks mlp --seeds 0 --explainers gradient sobel --jobs 1",
    "tests.calibration.one_sided --networks mlp --seeds 0 --explainers vargrad --jobs 1",
    "tests.calibration.one_sided_faults --networks mlp --seeds 0 --explainers sobel --jobs 1",
    "tests.calibration.planted_images --networks plain --seeds 20 --explainers sobel --jobs 1",
    "tests.calibration.tasks --networks edges:grid_cnn --seeds 0 --explainers sobel --jobs 1",
    "tests.calibration.known_truth --networks images:and --explainers gradient sobel --jobs 1",
    "tests.calibration.suspicions --networks mlp --seeds 0 --jobs 1",
    "tests.calibration.contrast --samples 500",
    "tests.benchmarks.audit --images 8 --explainers sobel gradient --checks target_sensitivity",
    "tests.benchmarks.insertion --images 2 --steps 8 --without-peers",
    "tests.benchmarks.memorizing mlp --alone",
    "tests.benchmarks.metrics --images 8 --explainers Sobel",
    "tests.benchmarks.ranks",
    "tests.benchmarks.ways --only originals one_sort",
    "tests.benchmarks.startup 2",
    "tests.networks mlp",
)
WHOLE_RUNS = {  # lines that take minutes, with the extended test that runs them
    "pytest --saliency-explainer captum:InputXGradient --saliency-model torchvision:resnet18": (
        "tests/suite/test_command_line.py"
    ),
}
BLOCKS = list(fenced())
WRITTEN = "\n".join(block for text in PAGES.values() for block in pages.blocks(text).values())
FAILURES = {shown for _, shown in SHOWN}
# By name: which blocks these are, and where they are executed.
KINDS: Mapping[str, Callable[[Block], bool]] = {
    "tests/test_code_blocks.py": lambda block: block.language == "python",
    "tests/calibration/test_published.py": lambda block: f"```text\n{block.text}```" in WRITTEN,
    "tests/test_example_project.py": lambda block: (
        block.language == "text" and (block.text in FAILURES or block.text == f"{SUMMARY}\n")
    ),
    "tests/checks/test_axioms.py": lambda block: (
        block.page == "docs/explanation/axioms.md" and block.language == "text"
    ),
    "tests/checks/test_parity.py": lambda block: (
        block.page == "docs/explanation/parity.md" and block.language == "text"
    ),
    "test_a_replay_line_repeats_its_test": lambda block: (
        block.language == "text" and block.text.startswith("replay: ")
    ),
    "test_each_line_of_a_console_is_executed": lambda block: block.language == "console",
    "test_the_commands_of_the_page_in_a_project": lambda block: block.language == "toml",
}


OURS = "python -m pytest_saliency_sanity "


def lines() -> list[tuple[str, str]]:
    """The page and each line of its console blocks."""
    return [
        (block.page, line)
        for block in BLOCKS
        if block.language == "console"
        for line in block.text.splitlines()
        if line not in WHOLE_RUNS
    ]


def in_a_project() -> dict[str, list[str]]:
    """By page the lines that run pytest in some project, which is made of the page and of the README's test."""
    found: dict[str, list[str]] = {}
    for where, line in lines():
        if line == "pytest" or line.startswith(("pytest --", OURS)):
            found.setdefault(where, []).append(line)
    return found


def executed(part: str) -> bool:
    """Whether `.ci/run` or the example's tests run this part of a line."""
    stages = CI.replace("sphinx -q -E -W -b", "sphinx -b")
    return (part in BY_CI and part in stages) or part == f".venv/bin/{COMMAND}"


@pytest.mark.parametrize(
    "block", BLOCKS, ids=lambda block: f"{block.page}: {block.text.splitlines()[0][:30]}"
)
def test_each_block_is_executed_somewhere(block: Block) -> None:
    assert [name for name, holds in KINDS.items() if holds(block)] != [], f"who executes this? {block}"


def test_each_line_of_a_console_is_executed() -> None:
    projects = [line for shown in in_a_project().values() for line in shown]
    for where, line in lines():
        assert line in projects or all(map(executed, line.split(" && "))), (where, line)


def test_each_whole_run_is_an_extended_test() -> None:
    for line, file in WHOLE_RUNS.items():
        assert any(line in block.text for block in BLOCKS if block.language == "console")
        assert line.removeprefix("pytest ") in (ROOT / file).read_text(encoding="utf-8")


def test_an_unknown_line_is_found() -> None:
    assert not executed("pip install something")
    assert not any(holds(Block("README.md", "console ", "ls\n")) for holds in KINDS.values())
    assert not any(
        holds(Block("README.md", "text", "saliency sanity: 1 passed\n")) for holds in KINDS.values()
    )


@pytest.mark.parametrize("command", sorted({command for _, command in inline_commands()}))
def test_each_command_in_the_text_is_executed(command: str) -> None:
    """Commands of this repository take these arguments; what they print is tested beside them."""
    selects = re.fullmatch(rf'{COMMAND} -k "?([^"]*?)"? --runxfail', command)
    if command in LEFT_OUT or executed(command) or executed(f".venv/bin/{command}"):
        return
    if selects:
        assert selects[1] in {selected for selected, _ in SHOWN}
    elif command != "pytest -m extended":
        assert_accepted(re.sub(r"^OMP_NUM_THREADS=1 ", "", command))


def assert_accepted(command: str) -> None:
    """A module of the tests takes this command line; nothing after that is run."""
    python, flag, module, *arguments = shlex.split(command)
    assert (python, flag) == ("python", "-m")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        parse = argparse.ArgumentParser.parse_args

        def stop(self: argparse.ArgumentParser, *given: object) -> None:
            parse(self, *given)
            raise SystemExit("parsed")

        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [module, *arguments])
        for name in (module, f"{module}.__main__"):  # it is run, not imported, whatever another test imported
            patch.delitem(sys.modules, name, raising=False)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert ended.value.code == "parsed", command


def test_each_command_of_the_reference_is_run() -> None:
    named = set(re.findall(r"^\| `python -m ([\w.]+)", page("reference/commands"), re.M))
    short = {line.split()[0] for line in SHORT}
    assert named - RUN_BESIDE.keys() - TOO_LONG.keys() <= short
    assert named >= RUN_BESIDE.keys() | TOO_LONG.keys()
    for test in RUN_BESIDE.values():
        assert "pytest.mark.extended" in (ROOT / test).read_text(encoding="utf-8")


@pytest.mark.extended
@pytest.mark.parametrize("line", SHORT)
def test_a_short_command_prints_something(line: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stdout


def test_a_command_line_that_is_not_taken_is_found() -> None:
    with pytest.raises(AssertionError):
        assert_accepted("python -m tests.calibration.contrast --sample 3 --nonsense")


def test_what_is_left_out_is_there() -> None:
    shown = {command for _, command in inline_commands()}
    assert shown >= LEFT_OUT.keys()
    parts = {part for _, line in lines() for part in line.split(" && ")}
    assert (shown | parts) >= set(BY_CI)


@pytest.mark.extended
@pytest.mark.parametrize("where", in_a_project())
def test_the_commands_of_the_page_in_a_project(where: str, tmp_path: Path) -> None:
    """Its settings, the README's test, and each line: it passes, with the profile that it names."""
    settings = [block.text for block in BLOCKS if (block.page, block.language) == (where, "toml")]
    first = re.search(r"```python\n(.*?)```", README, re.S)
    assert first
    (tmp_path / "pyproject.toml").write_text("\n".join(settings))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(first[1] + PROFILE)
    for line in in_a_project()[where]:
        asked = re.search(r"--saliency-profile (\w+)", line)
        done = pytested(line, tmp_path, PROFILE=asked[1] if asked else "ci")
        assert done.returncode == 0, done.stdout + done.stderr
        assert line.startswith(OURS) or "2 passed" in done.stdout, done.stdout


PROFILE = """

def test_profile():
    import os
    from pytest_saliency_sanity import settings

    assert settings.current().profile == os.environ["PROFILE"]
"""


@pytest.mark.extended
def test_a_replay_line_repeats_its_test() -> None:
    (shown,) = {block.text for block in BLOCKS if KINDS["test_a_replay_line_repeats_its_test"](block)}
    done = pytested(shown.removeprefix("replay: ").strip(), ROOT)
    assert re.search(r"=+ 1 xfailed in ", done.stdout), done.stdout


def test_a_replay_line_is_one_of_a_failure() -> None:
    (shown,) = {block.text for block in BLOCKS if KINDS["test_a_replay_line_repeats_its_test"](block)}
    assert any(shown in failure for failure in FAILURES)


def pytested(line: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The line, run there by this environment's Python; not as in CI, where no baseline may be changed."""
    program, *arguments = shlex.split(line)
    module = ["-m", "pytest", "-p", "no:cacheprovider"] if program == "pytest" else []
    assert module or line.startswith(OURS)
    outside = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=directory,
        env={**outside, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
