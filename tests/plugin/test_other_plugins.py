"""Beside other plugins: the same verdicts, the same exit codes.

Those of the `test` extra run by default. The others would disturb this suite (pytest-randomly shuffles it), so each is
installed into a folder of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = """
    import pytest
    from judging import check, judge
    from pytest_saliency_sanity.errors import SanityCheckFailed

    @pytest.mark.parametrize("name", ["gradient", "gradcam", "occlusion"])
    def test_honest(name):
        judge("pass", explainer=name)

    def test_faulty():
        judge("pass", explainer="first")
        judge("fail", explainer="sobel")

    def test_unclear():
        judge("inconclusive", explainer="noisy")

    @pytest.mark.xfail(raises=SanityCheckFailed, strict=True)
    def test_known():
        judge("fail", explainer="guided")

    def test_observed():
        check("fail", explainer="seen")
"""
FORKING = """
    import pytest

    def pytest_addoption(parser):  # as pytest-forked does
        parser.addoption("--forked", action="store_true", dest="forked", default=False)

    def pytest_configure(config):
        config.addinivalue_line("markers", "forked: in a fork")
"""
OURS = """
    import pytest

    def test_ours(saliency_case):
        pass

    def test_other():
        pass
"""
_UNREACHABLE = ("Retrying (", "(from versions: none)")  # what pip says where it finds no index


class Project:
    """A project with a verdict of each kind, and what its runs leave behind."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.run_pytest = pytester.runpytest  # in this process, unless other packages are needed

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit code, and the JSON without what differs from run to run."""
        file = self.pytester.path / "report.json"
        file.unlink(missing_ok=True)
        result = self.run_pytest(*arguments, f"--saliency-json={file}", "-rA")
        self.output = result.stdout.str() + result.stderr.str()
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return int(result.ret), {name: part for name, part in found.items() if name != "run"}

    def verdicts(self, *arguments: str) -> tuple[int, dict[str, list[str]]]:
        """The exit code, and by test which explainers have verdicts."""
        code, found = self.run(*arguments)
        named: dict[str, list[str]] = {}
        for one in found["verdicts"]:
            named.setdefault(one["nodeid"].partition("::")[2], []).append(one["verdict"]["explainer"])
        return code, named


@pytest.fixture
def judged(project: pytest.Pytester) -> Project:
    project.makepyfile(test_it=TESTS)
    return Project(project)


@pytest.fixture
def installed(judged: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts packages into a folder that only the inner runs see."""

    def install(*requirements: str) -> None:
        there = tmp_path / "installed"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--retries",
            "1",
            "--no-deps",
            "--target",
            str(there),
        ]
        done = subprocess.run([*pip, *requirements], capture_output=True, text=True)
        if done.returncode and any(words in done.stderr for words in _UNREACHABLE):
            pytest.skip(f"no package index has {requirements}: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        monkeypatch.setenv("PYTHONPATH", str(there))
        judged.run_pytest = judged.pytester.runpytest_subprocess

    return install


SAME = {
    "-n 2": (("-n2",), ""),
    "--dist loadscope": (("-n2", "--dist=loadscope"), ""),
    "--dist worksteal": (("-n2", "--dist=worksteal"), ""),
    "--reruns": (("--reruns=1",), "pytest_rerunfailures"),
    "--reruns -n 2": (("--reruns=1", "-n2"), "pytest_rerunfailures"),
    "--html": (("--html=page.html", "--self-contained-html"), "pytest_html"),
    "--ff": (("--ff",), ""),
}
QUICK = ("--reruns", "--html")  # without workers


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.extended) for name in SAME]
)
def test_the_same_report(judged: Project, name: str) -> None:
    arguments, needed = SAME[name]
    pytest.importorskip(needed or "xdist")
    expected = judged.run()
    assert expected[0] == pytest.ExitCode.TESTS_FAILED
    assert judged.run(*arguments) == expected
    assert "INTERNALERROR" not in judged.output and "LOST" not in judged.output


GREEN = ("-k", "honest or known or observed")


@pytest.mark.parametrize("arguments", [pytest.param(("-n2",), marks=pytest.mark.extended), ("--reruns=1",)])
def test_a_green_run_stays_green(judged: Project, arguments: tuple[str, ...]) -> None:
    expected = judged.run(*GREEN)
    assert expected[0] == pytest.ExitCode.OK
    assert judged.run(*GREEN, *arguments) == expected


@pytest.mark.parametrize("workers", [(), pytest.param(("-n2",), marks=pytest.mark.extended)])
def test_the_last_failed(judged: Project, workers: tuple[str, ...]) -> None:
    judged.run(*workers)
    expected = (1, {"test_faulty": ["first", "sobel"], "test_unclear": ["noisy"]})
    assert judged.verdicts("--lf", *workers) == expected


@pytest.mark.parametrize("flag", ["-x", "--maxfail=1"])
def test_it_stops_at_a_failure(judged: Project, flag: str) -> None:
    honest = {f"test_honest[{name}]": [name] for name in ("gradcam", "gradient", "occlusion")}
    assert judged.verdicts(flag) == (1, {**honest, "test_faulty": ["first", "sobel"]})


@pytest.mark.extended
def test_it_stops_at_a_failure_of_a_worker(judged: Project) -> None:
    code, found = judged.verdicts("-x", "-n2")
    assert code == pytest.ExitCode.INTERRUPTED  # xdist's
    assert found["test_faulty"] == ["first", "sobel"] or found["test_unclear"] == ["noisy"]
    assert "LOST" not in judged.output


PARTS = {
    "--lf": ("--lf",),
    "--lf -n 2": ("--lf", "-n2"),
    "-x": ("-x",),
    "-k -n 2": ("-k", "honest", "-n2"),
    "conftest -n 2": ("--part", "-n2"),
}
LEAVES_OUT = """
    def pytest_addoption(parser):
        parser.addoption("--part", action="store_true")

    def pytest_collection_modifyitems(config, items):
        if config.getoption("--part"):
            items[:] = items[:2]
"""


@pytest.mark.parametrize(
    "name", [name if name[-1] != "2" else pytest.param(name, marks=pytest.mark.extended) for name in PARTS]
)
def test_a_baseline_loses_nothing_that_was_left_out(
    judged: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("CI", raising=False)
    judged.pytester.makeconftest(LEAVES_OUT)
    baseline = judged.pytester.path / "b.json"
    judged.run(f"--saliency-baseline={baseline}", "--saliency-baseline-update=create")
    made = baseline.read_bytes()
    judged.run(f"--saliency-baseline={baseline}", "--saliency-baseline-update=trim", *PARTS[name])
    assert baseline.read_bytes() == made
    judged.run(f"--saliency-baseline={baseline}", *PARTS[name])
    assert "not reached" not in judged.output


CRASH = """

    def test_crash():
        judge("pass", explainer="before")
        import os
        os._exit(3)
"""


def test_a_crash_loses_no_other_verdict(judged: Project) -> None:
    _, expected = judged.run()
    judged.pytester.makepyfile(test_it=TESTS + CRASH)
    code, found = judged.run("-n2")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert found["verdicts"] == expected["verdicts"]
    assert found["lost"] == [
        "test_it.py::test_crash: its worker crashed; what the test had reached did not arrive"
    ]
    assert "\nCRASHED      test_it.py::test_crash: its worker crashed;" in judged.output
    assert "\nFAILED test_it.py::test_crash" in judged.output
    assert "INTERNALERROR" not in judged.output and "LOST" not in judged.output


@pytest.mark.extended
def test_a_test_that_crashed_and_ran_again_is_no_loss(judged: Project) -> None:
    pytest.importorskip("pytest_rerunfailures")
    once = CRASH.replace(
        "os._exit(3)",
        "open('crashed', 'a').close() if os.path.exists('crashed') else "
        "(open('crashed', 'a').close(), os._exit(3))",
    )
    judged.pytester.makepyfile(test_it=TESTS + once)
    code, found = judged.run("-n2", "--reruns=1", "-k", "crash or honest")
    assert (code, found["lost"]) == (pytest.ExitCode.OK, [])
    assert len(found["verdicts"]) == 4


@pytest.mark.extended
def test_a_crash_where_nothing_is_audited_is_none_of_ours(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_it="import os\ndef test_crash(): os._exit(3)")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    result = pytester.runpytest("-n1", "--max-worker-restart=0")
    assert "saliency sanity" not in result.stdout.str()
    assert not (pytester.path / "summary.md").exists()


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_forked_is_refused_with_the_reason(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makeconftest(FORKING)
    pytester.makepyfile(test_it=OURS)
    result = pytester.runpytest("--forked", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: pytest-forked cannot run tests with fixtures of pytest-saliency-sanity: torch's threads can hang "
            "after a fork, and verdicts do not come back from it. Leave out --forked, or these tests "
            '(-m "not saliency"): test_it.py::test_ours'
        ]
    )
    assert "INTERNALERROR" not in result.stdout.str()
    if not workers:
        assert pytester.runpytest("--forked", "-m", "not saliency").ret == pytest.ExitCode.OK
        assert pytester.runpytest().ret == pytest.ExitCode.OK


def test_the_marker_alone_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FORKING)
    pytester.makepyfile(
        test_it=OURS.replace("    def test_ours", "    @pytest.mark.forked\n    def test_ours")
    )
    assert pytester.runpytest().ret == pytest.ExitCode.USAGE_ERROR
    assert pytester.runpytest("--collect-only").ret == pytest.ExitCode.OK


def test_a_marker_of_that_name_without_the_plugin_is_not(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = forked")
    pytester.makepyfile(
        test_it=OURS.replace("    def test_ours", "    @pytest.mark.forked\n    def test_ours")
    )
    assert pytester.runpytest().ret == pytest.ExitCode.OK


def test_many_refused_tests_are_counted(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FORKING)
    many = "@pytest.mark.parametrize('n', range(5))\n    def test_ours(n, "
    pytester.makepyfile(test_it=OURS.replace("def test_ours(", many))
    result = pytester.runpytest("--forked")
    result.stderr.fnmatch_lines(["*: test_it.py::test_ours?0?, test_it.py::test_ours?1?, *?2?, and 2 more"])


@pytest.mark.extended
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_the_real_forked(judged: Project, installed: Callable[..., None], workers: tuple[str, ...]) -> None:
    installed("pytest-forked", "py")
    judged.pytester.makepyfile(test_it=OURS)
    assert judged.run("--forked", *workers)[0] == pytest.ExitCode.USAGE_ERROR
    assert "torch's threads can hang after a fork" in judged.output
    assert judged.run("--forked", "-m", "not saliency", *workers)[0] != pytest.ExitCode.USAGE_ERROR


@pytest.mark.extended
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_shuffled_by_randomly(
    judged: Project, installed: Callable[..., None], workers: tuple[str, ...]
) -> None:
    code, expected = judged.run()
    installed("pytest-randomly")
    for arguments in ((), ("--randomly-seed=1",), ("-p", "no:randomly")):
        again, found = judged.run(*arguments, *workers)
        assert (again, without_seed(found)) == (code, expected)
        (seed,) = re.findall(r"^Using --randomly-seed=(\d+)", judged.output, re.M) or [""]
        replays = [one["verdict"]["replay"] for one in found["verdicts"]]
        assert all((f" --randomly-seed {seed} " in replay) == bool(seed) for replay in replays)


def without_seed(report: dict[str, Any]) -> dict[str, Any]:
    """The report as it is where nothing was shuffled: a replay command repeats the seed."""
    again: dict[str, Any] = json.loads(re.sub(r" --randomly-seed \d+", "", json.dumps(report)))
    return again


@pytest.mark.extended
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_measured_by_cov(judged: Project, installed: Callable[..., None], workers: tuple[str, ...]) -> None:
    expected = judged.run()
    installed("pytest-cov", "coverage")
    assert judged.run("--cov=.", "--cov-report=term", *workers) == expected
    assert "test_it.py" in judged.output and "TOTAL" in judged.output


SLOW = """

    def test_slow():
        judge("pass", explainer="before")
        import time
        time.sleep(60)
"""


@pytest.mark.extended
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_timeout_takes_its_test_alone(
    judged: Project, installed: Callable[..., None], workers: tuple[str, ...]
) -> None:
    _, expected = judged.run()
    installed("pytest-timeout")
    judged.pytester.makepyfile(test_it=TESTS + SLOW)
    code, found = judged.run("--timeout=2", *workers)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert [one for one in found["verdicts"] if "test_slow" not in one["nodeid"]] == expected["verdicts"]
    (before,) = (one for one in found["verdicts"] if "test_slow" in one["nodeid"])
    assert (before["verdict"]["explainer"], before["counted"]) == ("before", "pass")
    assert "Timeout (>2" in judged.output


@pytest.mark.extended
@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_groups_of_split_are_the_whole(
    judged: Project, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    _, expected = judged.run("--saliency-baseline=b.json", "--saliency-baseline-update=create")
    made = (judged.pytester.path / "b.json").read_bytes()
    installed("pytest-split")
    verdicts = []
    for group in ("1", "2"):
        flags = (
            "--splits",
            "2",
            "--group",
            group,
            "--saliency-baseline=b.json",
            "--saliency-baseline-update=trim",
        )
        _, found = judged.run(*flags, *workers)
        verdicts += found["verdicts"]
        assert "not reached" not in judged.output and "# add" not in judged.output
    assert sorted(map(json.dumps, verdicts)) == sorted(map(json.dumps, expected["verdicts"]))
    assert (judged.pytester.path / "b.json").read_bytes() == made
