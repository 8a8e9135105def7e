"""The command in a message repeats exactly the test that printed it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

FAULTY = """
    import pytest
    from judging import judge

    class TestExplainers:
        @pytest.mark.parametrize("name", ["sobel", "it's \\"$HOME\\" [`x`]", "two words", "\\u00e9"])
        def test_faulty(self, name):
            judge("fail", explainer="sobel")

    def test_other():
        judge("fail", explainer="other")
"""


def commands(result: pytest.RunResult) -> list[str]:
    return re.findall(r"^E +replay: (.*)$", result.stdout.str(), flags=re.MULTILINE)


def replayed(pytester: pytest.Pytester, command: str) -> pytest.RunResult:
    """The command run by its words, with this Python's pytest."""
    words = shlex.split(command)
    return pytester.run(sys.executable, "-m", *words, "-p", "no:hypothesispytest")


def test_the_command(project: pytest.Pytester) -> None:
    project.makepyfile(test_it="from judging import judge\ndef test_faulty(): judge('fail')")
    assert commands(project.runpytest()) == [
        'pytest "test_it.py::test_faulty" --saliency-profile ci --saliency-seed 0'
    ]


def test_what_was_set_is_in_it(project: pytest.Pytester) -> None:
    project.makepyprojecttoml("[tool.saliency_sanity]\nmax_seconds = 30\nprofile = 'smoke'")
    project.makepyfile(test_it="from judging import judge\ndef test_faulty(): judge('fail')")
    (command,) = commands(project.runpytest("--saliency-seed=5", "--saliency-inconclusive=fail"))
    assert command == (
        'pytest "test_it.py::test_faulty" --saliency-profile smoke --saliency-inconclusive fail '
        "--saliency-max-seconds 30 --saliency-seed 5"
    )


def test_it_runs_that_test_alone_and_prints_itself(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=FAULTY)
    printed = commands(project.runpytest("--saliency-seed=5", "--saliency-profile=release"))
    assert len(printed) == 5
    for command in (printed[0], printed[1], printed[4]):
        result = replayed(project, command)
        result.assert_outcomes(failed=1)
        assert commands(result) == [command]


def test_the_same_under_xdist(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=FAULTY)
    assert sorted(commands(project.runpytest("-n2"))) == sorted(commands(project.runpytest()))


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_a_project_inside_the_directory(project: pytest.Pytester, workers: list[str]) -> None:
    inner = _inner(project)
    result = project.runpytest("inner", *workers)
    result.stdout.fnmatch_lines(f"rootdir: {inner}")
    (command,) = commands(result)
    assert f'"{Path("inner", "tests", "test_it.py")}::test_faulty"' in command
    replayed(project, command).assert_outcomes(failed=1)


def test_from_inside_the_project(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_inner(project) / "tests")
    (command,) = commands(project.runpytest(".."))
    assert '"test_it.py::test_faulty"' in command
    replayed(project, command).assert_outcomes(failed=1)


def test_another_rootdir_and_file_of_options(project: pytest.Pytester) -> None:
    _inner(project)
    (project.path / "other.ini").write_text("[pytest]\n")
    (command,) = commands(project.runpytest("inner", "-c", "other.ini", "--rootdir", "."))
    assert command.startswith(
        f'pytest "{Path("inner", "tests", "test_it.py")}::test_faulty" --rootdir "." -c "other.ini" '
    )
    replayed(project, command).assert_outcomes(failed=1)


def test_a_test_that_is_deselected_by_default(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\naddopts = -m 'not slow'\nmarkers = slow")
    project.makepyfile(
        test_it="""
        import pytest
        from judging import judge

        @pytest.mark.slow
        def test_faulty():
            judge("fail")
        """
    )
    (command,) = commands(project.runpytest("-m", "slow"))
    assert command == 'pytest "test_it.py::test_faulty" -m "" --saliency-profile ci --saliency-seed 0'
    replayed(project, command).assert_outcomes(failed=1)


def _inner(project: pytest.Pytester) -> Path:
    """A project of its own in the directory, as an example project is."""
    tests = project.path / "inner" / "tests"
    tests.mkdir(parents=True)
    (project.path / "judging.py").rename(tests / "judging.py")
    (tests / "test_it.py").write_text("from judging import judge\ndef test_faulty(): judge('fail')\n")
    (project.path / "inner" / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return project.path / "inner"
