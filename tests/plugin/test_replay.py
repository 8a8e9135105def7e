"""The command in a message repeats exactly the test that printed it."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from pytest_saliency_sanity import settings
from tests.plugin.judging import made

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


@pytest.mark.parametrize("workers", [[], pytest.param(["-n1"], marks=pytest.mark.extended)])
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


FAULTY_ONLY = "from judging import judge\ndef test_faulty(): judge('fail')\n"


@pytest.mark.parametrize(
    "addopts, arguments",
    [
        ("-k 'not faulty'", ["-k", "faulty"]),
        ("-o python_functions=test_*", []),
        ("--doctest-modules", []),
        ("--lf", []),
        ("--ignore=elsewhere --deselect=test_other.py::test_nothing", []),
        ("-n1", []),
        *(
            pytest.param(*case, marks=pytest.mark.extended)
            for case in (
                ("-k'not faulty'", ["-k", "faulty"]),
                ("-qk 'not faulty'", ["-k", "faulty"]),
                ("-m 'not slow' -k 'not faulty'", ["-k", "faulty", "-m", ""]),
                ("--doctest-modules -p no:cacheprovider --import-mode=importlib", []),
                ("-rfE --strict-markers --tb=short -x", []),
                ("--sw", []),
            )
        ),
    ],
)
def test_it_replays_under_any_addopts(project: pytest.Pytester, addopts: str, arguments: list[str]) -> None:
    project.makeini(f"[pytest]\naddopts = {addopts}\nmarkers = slow\npythonpath = .")
    project.makepyfile(test_it=FAULTY_ONLY)
    (command,) = commands(project.runpytest_subprocess(*arguments))
    result = replayed(project, command)
    result.assert_outcomes(failed=1)
    assert commands(result) == [command]


@pytest.mark.parametrize(
    "arguments, shown",
    [
        (["-o", "python_files=check_*.py", "check_it.py"], '-o "python_files=check_*.py"'),
        (
            ["-o", "python_functions=faulty*", "-o", "python_files=check_*.py"],
            '-o "python_functions=faulty*"',
        ),
        pytest.param(
            ["-p", "judging", "-o", "python_files=check_*.py"], '-p "judging"', marks=pytest.mark.extended
        ),
        (
            ["--import-mode=importlib", "-o", "python_files=check_*.py", "-o", "pythonpath=."],
            "--import-mode importlib",
        ),
        pytest.param(["--doctest-modules", "documented.py"], "--doctest-modules", marks=pytest.mark.extended),
        (["--doctest-glob=*.text", "page.text"], '--doctest-glob "*.text"'),
    ],
)
def test_what_a_run_collects_by_is_in_it(project: pytest.Pytester, arguments: list[str], shown: str) -> None:
    project.makepyfile(
        check_it="from judging import judge\ndef test_faulty(): judge('fail')\nfaulty_one = test_faulty"
    )
    example = ">>> from judging import judge\n>>> judge('fail')\n"
    (project.path / "documented.py").write_text(
        f'def f():\n    """Read.\n\n    {example[:-1].replace(chr(10), chr(10) + "    ")}\n    """\n'
    )
    (project.path / "page.text").write_text(example)
    project.makeini("[pytest]")  # pytest 7 takes -o pythonpath= only where there is a file of options
    result = project.runpytest_subprocess(*arguments)
    (command, *_) = set(re.findall(r"^(?:E +)?replay: (pytest .*)$", result.stdout.str(), flags=re.MULTILINE))
    assert f" {shown} " in command
    again = replayed(project, command)
    assert command in again.stdout.str() and again.ret == 1
    again.stdout.fnmatch_lines("saliency sanity: 0 passed, 1 failed, 0 inconclusive, 0 errors")


def test_an_expression_of_the_environment_is_taken_back(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makepyfile(test_it=FAULTY)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -k 'other or words'")
    printed = commands(project.runpytest_subprocess())
    assert len(printed) == 2 and all(' -k "" ' in command for command in printed)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -k nothing")
    replayed(project, printed[0]).assert_outcomes(failed=1)


OWN_OPTIONS = """
    import pytest

    def pytest_addoption(parser):
        parser.addoption("--runslow", action="store_true")
        parser.addoption("--stage", default="none")

    def pytest_collection_modifyitems(config, items):
        if not config.getoption("--runslow") or config.getoption("--stage") == "none":
            for item in items:
                item.add_marker(pytest.mark.skip(reason="slow"))
"""


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_options_of_the_project_are_repeated(project: pytest.Pytester, workers: list[str]) -> None:
    project.makeconftest(OWN_OPTIONS)
    project.makepyfile(test_it=FAULTY_ONLY)
    (command,) = commands(
        project.runpytest_subprocess("--runslow", "test_it.py", "--stage=two words", *workers)
    )
    assert ' --runslow "--stage=two words" --saliency-profile ci' in command
    replayed(project, command).assert_outcomes(failed=1)


def test_where_a_value_may_be_missing_it_says_what_to_add(project: pytest.Pytester) -> None:
    project.makeconftest(OWN_OPTIONS)
    project.makepyfile(test_it=FAULTY_ONLY)
    (command,) = commands(project.runpytest_subprocess("--runslow", "--stage", "one"))
    assert command.endswith(
        " --runslow --saliency-profile ci --saliency-seed 0  # add --stage as in that run"
    )
    replayed(project, command.partition("  # ")[0] + " --stage one").assert_outcomes(failed=1)


def test_a_check_puts_its_seed_before_the_remark() -> None:
    from pytest_saliency_sanity.examination.conclusion import concluded

    with settings.using(settings.Settings(replay="pytest test_it.py  # add --stage as in that run")):
        verdict = concluded(made("fail", seed=3))
    assert verdict.replay == "pytest test_it.py --saliency-seed 3  # add --stage as in that run"


def _inner(project: pytest.Pytester) -> Path:
    """A project of its own in the directory, as an example project is."""
    tests = project.path / "inner" / "tests"
    tests.mkdir(parents=True)
    (project.path / "judging.py").rename(tests / "judging.py")
    (tests / "test_it.py").write_text("from judging import judge\ndef test_faulty(): judge('fail')\n")
    (project.path / "inner" / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return project.path / "inner"
